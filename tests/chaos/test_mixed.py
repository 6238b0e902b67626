"""One bulk file for three upstreams, with orders, changes and releases: every row is done once, the books balance."""

import csv
import io
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import mixed
from tests.chaos.stack import Up, up
from tests.sandbox import eventually

HELD, ORDERED, CHANGED, GIVEN_UP = 900, 2_100, 600, 300  # the last three make the file of 3,000 rows

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


@pytest.mark.timeout(420)
def test_a_mixed_file_for_three_upstreams_is_done_row_by_row_and_the_ledger_balances(tmp_path: Path) -> None:
    with up(tmp_path / "home", **SETTINGS, TRUNKLINE_RELEASE_DELAY="1") as stack:
        first = done(stack, stack.submit(mixed.as_csv(mixed.provisions(HELD, "old"))), HELD)
        stack.sandbox.put("/_sandbox", json=WEATHER).raise_for_status()
        old = [(row["upstream"], row["number"]) for row in first]
        changed, given_up = old[:CHANGED], old[CHANGED : CHANGED + GIVEN_UP]
        rows = list(
            mixed.interleaved(
                mixed.provisions(ORDERED, "new"),
                (mixed.update(*one) for one in changed),
                (mixed.release(*one) for one in given_up),
            )
        )
        assert len(rows) == 3_000
        results = done(stack, stack.submit(mixed.as_csv(rows)), 3_000)
        assert [row["kind"] for row in results] == [row["kind"] for row in rows], "in the order of the file"

        summary = stack.summary()
        assert summary["bought_twice"] == 0
        assert (summary["orders"], summary["numbers_taken"]) == (HELD + ORDERED, HELD + ORDERED)
        assert (summary["updates"], summary["releases"]) == (CHANGED, GIVEN_UP)

        ours = held(stack)
        bought = {row["number"] for row in [*first, *results] if row["kind"] == "provision"}
        assert len(bought) == HELD + ORDERED
        assert set(ours) == bought - {number for _, number in given_up}
        assert Counter(row["upstream"] for row in ours.values()) == dict.fromkeys(mixed.UPSTREAMS, len(ours) // 3)
        for upstream, number in changed[:30]:
            configuration = ours[number]["configuration"]
            wanted = {"avanser": "61132307", "telmetrics": "4165551234", "messagemedia": "moved"}[upstream]
            assert wanted in str(configuration)
