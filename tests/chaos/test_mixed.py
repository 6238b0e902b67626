"""One bulk file for three upstreams, with orders, changes and releases: every row is done once, the books balance."""

import csv
import io
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import mixed
from tests.chaos.conftest import Size
from tests.chaos.stack import Up, up
from tests.sandbox import eventually

WEATHER = {
    "latency_ms": {"min": 5, "max": 60},
    "callback": {"delay": 0.3, "jitter": 0.2},
    "faults": [
        {"fault": fault, "upstream": upstream, "share": 0.01, "seconds": 5, "times_per_order": 1}
        for upstream in mixed.UPSTREAMS
        for fault in ("timeout_after_effect", "reset_after_effect", "error_before_effect", "rate_limited")
    ],
}

SETTINGS = {
    f"TRUNKLINE_{upstream.upper()}_{name}": value
    for upstream in mixed.UPSTREAMS
    for name, value in {
        "TIMEOUT": "3", "SETTLING": "2", "MAX_IN_FLIGHT": "100", "RATE": "400", "CALLBACK_DEADLINE": "8",
    }.items()
}  # fmt: skip


def done(stack: Up, batch: str, rows: int) -> list[dict[str, str]]:
    """The batch's results, when every row of it is completed."""
    eventually(lambda: stack.ended(batch) == rows, within=240)
    text = stack.client.get(f"/v1/batches/{batch}/results.csv").text
    results = list(csv.DictReader(io.StringIO(text)))
    assert Counter(row["state"] for row in results) == {"completed": rows}, [
        row for row in results if row["state"] != "completed"
    ][:3]
    return results


def held(stack: Up) -> dict[str, dict[str, Any]]:
    """What we hold, by number."""
    found: dict[str, dict[str, Any]] = {}
    cursor: str | None = ""
    while cursor is not None:
        page = stack.client.get("/v1/numbers", params={"limit": 1000} | ({"cursor": cursor} if cursor else {})).json()
        found |= {row["number"]: row for row in page["data"]}
        cursor = page["next_cursor"]
    return found


@pytest.mark.timeout(900)
def test_a_mixed_file_for_three_upstreams_is_done_row_by_row_and_the_ledger_balances(
    tmp_path: Path, size: Size
) -> None:
    rows_before, rows_of_file = size(180, 900), size(600, 3_000)
    ordered, changed_rows, released = (rows_of_file * tenths // 10 for tenths in (7, 2, 1))
    with up(tmp_path / "home", **SETTINGS, TRUNKLINE_RELEASE_DELAY="1") as stack:
        first = done(stack, stack.submit(mixed.as_csv(mixed.provisions(rows_before, "old"))), rows_before)
        stack.sandbox.put("/_sandbox", json=WEATHER).raise_for_status()
        old = [(row["upstream"], row["number"]) for row in first]
        changed, given_up = old[:changed_rows], old[changed_rows : changed_rows + released]
        rows = list(
            mixed.interleaved(
                mixed.provisions(ordered, "new"),
                (mixed.update(*one) for one in changed),
                (mixed.release(*one) for one in given_up),
            )
        )
        assert len(rows) == rows_of_file
        results = done(stack, stack.submit(mixed.as_csv(rows)), rows_of_file)
        assert [row["kind"] for row in results] == [row["kind"] for row in rows], "in the order of the file"

        summary = stack.summary()
        assert summary["bought_twice"] == 0
        assert (summary["orders"], summary["numbers_taken"]) == (rows_before + ordered, rows_before + ordered)
        assert (summary["updates"], summary["releases"]) == (changed_rows, released)

        ours = held(stack)
        bought = {row["number"] for row in [*first, *results] if row["kind"] == "provision"}
        assert len(bought) == rows_before + ordered
        assert set(ours) == bought - {number for _, number in given_up}
        assert Counter(row["upstream"] for row in ours.values()) == dict.fromkeys(mixed.UPSTREAMS, len(ours) // 3)
        for upstream, number in changed[:30]:
            configuration = ours[number]["configuration"]
            wanted = {"avanser": "61132307", "telmetrics": "4165551234", "messagemedia": "moved"}[upstream]
            assert wanted in str(configuration)
