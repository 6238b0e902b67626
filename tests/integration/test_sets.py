"""Sets of rows written by one statement: the same values on both databases, and only where they are still held."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from models import sets
from models.base import REFUSED_VALUE, make_engine, new_id, read, write
from models.delivery import Delivery, DeliveryState
from models.event import Event, EventKind
from models.requester import find_or_make
from tests.factory import KEYRING

EVENTS: sa.Table = Event.__table__  # type: ignore[assignment]
DELIVERIES: sa.Table = Delivery.__table__  # type: ignore[assignment]

NOW = datetime(2026, 11, 21, 21, 35, 0, 123456, tzinfo=UTC)


def event(**values: Any) -> dict[str, Any]:
    return {
        "id": new_id(),
        "request_id": new_id(),
        "at": NOW,
        "type": EventKind.NOTE,
        "from_state": None,
        "to_state": "queued",
        "actor": "worker",
        "reason": None,
        "detail": None,
        "data": {},
    } | values


def delivery(requester_id: UUID, **values: Any) -> dict[str, Any]:
    return {
        "id": new_id(),
        "requester_id": requester_id,
        "url": "https://crm.example/hook",
        "type": "request.completed",
        "data": {},
        "state": DeliveryState.PENDING,
        "attempts": 0,
        "fence": 0,
        "due_at": NOW,
        "created_at": NOW,
    } | values


def rows_of(engine: sa.Engine, table: sa.Table) -> list[dict[str, Any]]:
    found = read(engine, lambda session: session.execute(sa.select(table).order_by(table.c.id)).mappings().all())
    return [dict(row) for row in found]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"detail": """it's "quoted", \\ back\\slashed, {braced}, %s and NULL"""},
        {"detail": "Zürich 電話 \N{TELEPHONE RECEIVER}\n"},
        {"data": {"nested": {"list": [1, 2.5, None, True, "x"]}, "null": None, "NULL": "null"}},
        {"at": NOW.astimezone().replace(microsecond=0)},
        {"at": NOW + timedelta(microseconds=1)},
    ],
)
def test_what_is_written_is_what_is_read(engine: sa.Engine, values: dict[str, Any]) -> None:
    rows = [event(), event(**values), event()]
    write(engine, lambda session: sets.insert(session.connection(), EVENTS, rows))
    assert rows_of(engine, EVENTS) == rows


def test_no_row_is_no_statement(engine: sa.Engine) -> None:
    assert write(engine, lambda session: sets.insert(session.connection(), EVENTS, [])) == []
    assert write(engine, lambda session: sets.update(session.connection(), EVENTS, [], ("detail",))) == 0


@pytest.mark.parametrize("detail", ["a NUL: \0", "half a pair: \ud800"])
def test_what_postgresql_cannot_hold_is_refused_as_such(postgresql_url: str, detail: str) -> None:

    engine = make_engine(postgresql_url, keyring=KEYRING)
    with pytest.raises(REFUSED_VALUE):
        write(engine, lambda session: sets.insert(session.connection(), EVENTS, [event(), event(detail=detail)]))
    assert rows_of(engine, EVENTS) == []
    engine.dispose()


def test_a_time_without_a_zone_is_refused(engine: sa.Engine) -> None:
    with pytest.raises((ValueError, sa.exc.StatementError), match="a time without a zone"):
        write(engine, lambda session: sets.insert(session.connection(), EVENTS, [event(at=NOW.replace(tzinfo=None))]))


def new_ones(insert: Any) -> Any:
    return insert.on_conflict_do_nothing().returning(EVENTS.c.id)


def test_rows_that_are_there_already_are_left_and_not_returned(engine: sa.Engine) -> None:
    first, second, third = event(detail="first"), event(detail="second"), event()
    write(engine, lambda session: sets.insert(session.connection(), EVENTS, [first, second]))
    again = {**first, "detail": "again"}
    returned = write(engine, lambda session: sets.insert(session.connection(), EVENTS, [again, third], new_ones))
    assert returned == [third["id"]]
    assert [row["detail"] for row in rows_of(engine, EVENTS)] == ["first", "second", None]


def test_an_update_writes_its_columns_and_no_others(engine: sa.Engine) -> None:
    rows = [event(detail=str(number)) for number in range(3)]
    write(engine, lambda session: sets.insert(session.connection(), EVENTS, rows))
    changed = [{"id": row["id"], "detail": None, "data": {"n": n}} for n, row in enumerate(reversed(rows[1:]))]
    assert write(engine, lambda session: sets.update(session.connection(), EVENTS, changed, ("detail", "data"))) == 2
    assert rows_of(engine, EVENTS) == [
        rows[0],
        rows[1] | {"detail": None, "data": {"n": 1}},
        rows[2] | {"detail": None, "data": {"n": 0}},
    ]


@pytest.mark.parametrize("are_locked", [True, False])
def test_only_what_is_still_held_is_written(engine: sa.Engine, are_locked: bool) -> None:
    requester_id = write(engine, lambda session: find_or_make(session, "crm", NOW).id)
    rows = [delivery(requester_id, fence=fence) for fence in (1, 2, 3)]
    write(engine, lambda session: sets.insert(session.connection(), DELIVERIES, rows))
    changed = [{"id": row["id"], "held_fence": 2, "attempts": 7} for row in rows]
    count = write(
        engine,
        lambda session: sets.update(
            session.connection(), DELIVERIES, changed, ("attempts",), held=("fence",), are_locked=are_locked
        ),
    )
    assert count == 1
    assert [row["attempts"] for row in rows_of(engine, DELIVERIES)] == [0, 7, 0]
