"""What the bench fills tables with reads as what Trunkline itself wrote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from models.state import State
from tests.bench.filling import BATCH, fill
from tests.bench.stage import WEATHER, Stage, stage
from tests.bench.trunkline import Trunkline
from tests.conftest import or_skip
from tests.sandbox import eventually

pytestmark = pytest.mark.timeout(600)

COUNT = 3

TABLES = ("batches", "requests", "events", "deliveries", "inbox", "numbers", "request_counts")

SHAPES = ("spec", "configuration", "data")
"""JSON: compared by their keys."""

REFUSED = WEATHER | {"faults": [{"fault": "refused"}]}

Rows = dict[str, list[dict[str, Any]]]


class Resting(Trunkline):
    """With nobody who works on what is queued."""

    def restart(self) -> None:
        """Starts neither worker nor relay."""


@pytest.fixture(scope="module")
def on() -> Iterator[Stage]:
    with or_skip(), stage() as running:
        yield running


@pytest.fixture(scope="module")
def working(on: Stage) -> Iterator[Trunkline]:
    with on.play(Trunkline) as peer:
        yield peer


@pytest.fixture
def resting(on: Stage) -> Iterator[Trunkline]:
    with on.play(Resting) as peer:
        yield peer


@pytest.mark.parametrize("state", [State.COMPLETED, State.FAILED])
def test_an_end_is_filled_in_as_trunkline_writes_it(working: Trunkline, state: State) -> None:
    working.sandbox.script(**REFUSED if state is State.FAILED else WEATHER)
    before = _rows(working)
    working.submit(COUNT)
    eventually(lambda: _has_ended(working, before), within=60)
    assert_alike(working, state, before)


def test_what_waits_is_filled_in_as_trunkline_writes_it_behind_what_there_is(resting: Trunkline) -> None:
    fill(resting.conninfo, BATCH + 1)
    before = _rows(resting)
    resting.submit(COUNT)
    assert_alike(resting, State.QUEUED, before)

    fill(resting.conninfo, 1, owner="another")
    rows = _rows(resting)
    assert sorted(row["total"] for row in rows["batches"]) == [1, 1, COUNT, COUNT, BATCH]
    assert len({row["custom_id"] for row in rows["requests"]}) == BATCH + 2 + 2 * COUNT
    assert len({row["requester_id"] for row in rows["requests"]}) == 2
    counts: Counter[str] = Counter()
    for row in rows["request_counts"]:
        counts[row["state"]] += row["n"]
    assert counts == Counter(completed=BATCH + 2, queued=2 * COUNT)


def assert_alike(peer: Trunkline, state: State, before: Rows) -> None:
    """That what is filled in now has the form of what came since, in the tables and for whoever asks."""
    real = _since(before, there := _rows(peer))
    fill(peer.conninfo, COUNT, state)
    filled = _since(there, _rows(peer))
    for table, rows in real.items():
        assert _forms(table, filled[table]) == _forms(table, rows), table
        assert len(filled[table]) == len(rows) or table == "request_counts", table
    with peer.client() as client:
        for kind in (real, filled):
            (batch,) = (client.get(f"/v1/batches/{row['id']}").json() for row in kind["batches"])
            assert (batch["total"], batch["counts"][state.value]) == (COUNT, COUNT)
            for row in kind["requests"]:
                found = client.get("/v1/requests", params={"q": row["custom_id"], "state": state.value}).json()["data"]
                assert [one["id"] for one in found] == [str(row["id"])]
                assert client.get(f"/v1/requests/{row['id']}/explain").json()["state"] == state
        one, other = (
            client.get(f"/v1/requests/{kind['requests'][0]['id']}/timeline").json() for kind in (real, filled)
        )
        assert _story(one) == _story(other)


def _has_ended(peer: Trunkline, before: Rows) -> bool:
    """Also the batch, and what came of telling."""
    rows = _since(before, _rows(peer))
    is_told = len(rows["deliveries"]) == COUNT and all(row["delivered_at"] for row in rows["deliveries"])
    return is_told and all(row["finished_at"] for row in rows["batches"])


def _since(before: Rows, rows: Rows) -> Rows:
    known = {_name(row) for found in before.values() for row in found}
    return {table: [row for row in found if _name(row) not in known] for table, found in rows.items()}


def _name(row: Mapping[str, Any]) -> Any:
    return row["id"] if "id" in row else ("count", row["batch_id"])


def _rows(peer: Trunkline) -> Rows:
    with psycopg.connect(peer.conninfo, row_factory=dict_row) as connection:
        rows = {table: connection.execute(f"SELECT * FROM {table}".encode()).fetchall() for table in TABLES}  # noqa: S608
    rows["deliveries"] = [row for row in rows["deliveries"] if row["endpoint_id"]]  # not what nobody takes
    return rows


def _forms(table: str, rows: list[dict[str, Any]]) -> set[Any]:
    """Which columns are filled, with what that is no row's own."""
    if table == "request_counts":
        return {row["state"] for row in rows}
    return {tuple(sorted((name, _form(table, name, value)) for name, value in row.items())) for row in rows}


def _form(table: str, name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return str(sorted(value)) if name in SHAPES else "object"
    is_word = (
        (name in _WORDS and (name, table) != ("position", "deliveries")) or value is None or isinstance(value, bool)
    )
    return str(value) if is_word else type(value).__name__


_WORDS = (
    "state", "upstream", "kind", "reason", "type", "from_state", "to_state", "purpose", "method", "content_type",
    "attempts", "retries", "looks", "unanswered", "fence", "priority", "told", "sequence", "pool", "on_out_of_stock",
    "last_status", "total", "position", "query",
)  # fmt: skip
"""Columns that hold the same in every request of a kind."""


def _story(timeline: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    return [tuple(line.get(part) for part in ("type", "from", "to", "says", "answer")) for line in timeline["data"]]
