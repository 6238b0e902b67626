"""The judge of the chaos tests finds what it is there to find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.judge import Result, Verdict, judge, leaks
from tests.chaos.report import table

ENDED_AT = 1_000.0


def order(custom_id: str = "a", **fields: Any) -> dict[str, Any]:
    usual = {"upstream": "avanser", "kind": "provision", "status": "completed", "custom_id": custom_id}
    return usual | {"name": "", "key": f"token of {custom_id}", "at": ENDED_AT - 1} | fields


def result(
    custom_id: str = "a", type_: str = "request.completed", *, webhook_id: str = "w", at: float = ENDED_AT - 1
) -> Result:
    return Result(webhook_id, type_, custom_id, "r", at)


def verdict(
    ledger: Sequence[dict[str, Any]],
    results: Sequence[Result],
    submitted: Sequence[str] = ("a",),
    leaked: Sequence[str] = (),
) -> Verdict:
    return judge(
        name="a case",
        seed=1,
        faults=1,
        submitted=dict.fromkeys(submitted, 1.0),
        fault_ended_at=ENDED_AT,
        ledger=ledger,
        results=results,
        leaked=leaked,
    )


def broken(found: Verdict) -> set[str]:
    return {name for name, count in found.violations.items() if count}


def test_one_order_and_one_result_are_clean() -> None:
    assert verdict([order()], [result()]).is_clean


@pytest.mark.parametrize(
    ("ledger", "results", "invariants"),
    [
        ([order()], [], {"I1"}),  # bought, and nobody knows
        ([], [], {"I1"}),
        ([order(), order(key="another")], [result()], {"I2"}),
        ([order(), order()], [result()], {"I2"}),
        ([order()], [result(), result(type_="request.failed")], {"I3"}),
        ([order()], [result(), result(webhook_id="v")], {"I4"}),
        ([order(), order("b")], [result()], {"I5"}),  # never asked for
        ([order()], [result(type_="request.failed")], {"I5"}),
        ([], [result()], {"I5"}),
        ([order(at=ENDED_AT + 61)], [result(at=ENDED_AT + 62)], {"I7"}),
    ],
)
def test_each_invariant_is_seen_to_be_broken(
    ledger: Sequence[dict[str, Any]], results: Sequence[Result], invariants: set[str]
) -> None:
    assert invariants <= broken(verdict(ledger, results))


def test_what_is_held_has_neither_ended_nor_been_lost() -> None:
    found = verdict([order()], [result(type_="request.held")])
    assert (found.is_clean, found.held) == (True, 1)


def test_a_refused_order_that_failed_at_the_upstream_was_not_bought() -> None:
    assert verdict([order(status="failed"), order(key="another")], [result()]).is_clean
    assert verdict([order(status="failed")], [result(type_="request.failed")]).is_clean


def test_draining_counts_from_the_end_of_the_fault_and_only_what_was_open_then() -> None:
    results = [result("a"), result("b", at=ENDED_AT + 2), result("c", at=ENDED_AT + 8)]
    found = verdict([order(name) for name in "abc"], results, "abc")
    assert (found.drain_p50, found.drain_p99, found.goes_on_after) == (8.0, 8.0, 2.0)


@pytest.mark.parametrize(
    "line",
    [
        "the key is s3cret-canary",
        "POST /callbacks/avanser/AAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "GET http://127.0.0.1/sms/telmetrics/1.AbCdEfGhIjKlMnOp?ani=1",
    ],
)
def test_a_secret_or_a_token_in_a_log_is_found(tmp_path: Path, line: str) -> None:
    (tmp_path / "worker.log").write_text(f"all is well\n{line}\n")
    (tmp_path / "relay.log").write_text("all is well: /callbacks/<upstream>/<token>\n")
    assert leaks(tmp_path, ["s3cret-canary"]) == ["worker.log"]
    found = verdict([order()], [result()], leaked=["worker.log"])
    assert broken(found) == {"I6"}


def test_the_table_says_of_each_verdict_what_was_broken_and_what_stands_beside_it() -> None:
    found = replace(verdict([], [result()]), more={"ordered_twice": 2})
    head, _, line = table([found.as_dict()]).splitlines()
    cells = dict(zip(head.split(" | "), line.split(" | "), strict=True))
    assert (cells["I5"], cells["I6"], cells["below"]) == ("1", "0", "300.00%")
    assert "ordered twice: 2" in line
