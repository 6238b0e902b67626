"""What came is committed before anybody hears that it is kept; those that come together share a transaction."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from models import inbox
from models.base import make_engine, new_id, utc_now
from models.inbox import Purpose, Received
from tests.factory import KEYRING
from tests.sandbox import eventually
from webhook_receiver.keeping import Keeper

TOGETHER = 8


def came(request_id: UUID | None = None, **values: Any) -> dict[str, Any]:
    now, body = utc_now(), values.get("body", b'{"status": "completed"}')
    return {
        "id": new_id(), "upstream": "avanser", "purpose": Purpose.CALLBACK, "request_id": request_id or new_id(),
        "digest": hashlib.sha256(body).hexdigest(), "method": "POST", "query": "", "content_type": "application/json",
        "body": body, "received_at": now, "due_at": now, "fence": 0, "attempts": 0,
    } | values  # fmt: skip


def kept(engine: sa.Engine) -> list[sa.Row[Any]]:
    with engine.connect() as connection:
        return list(connection.execute(sa.select(Received.__table__).order_by(Received.__table__.c.id)))


class Gate:
    """Holds the first write until it is opened, and counts how many rows each wrote."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_open, self.sizes = threading.Event(), list[int]()
        original = inbox.keep

        def keep(connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> set[UUID]:
            self.sizes.append(len(rows))
            assert self.is_open.wait(30)
            return original(connection, rows)

        monkeypatch.setattr(inbox, "keep", keep)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(monkeypatch)


def keep_together(
    keeper: Keeper, gate: Gate, rows: Sequence[Mapping[str, Any]], meanwhile: Callable[[], None] = lambda: None
) -> list[bool | BaseException]:
    """The first row is being written while all the others come; what each of them was told."""

    def one(row: Mapping[str, Any]) -> bool | BaseException:
        try:
            return keeper.keep(row)
        except Exception as error:  # noqa: BLE001 -- it is what the test looks at
            return error

    with ThreadPoolExecutor(len(rows)) as threads:
        told = [threads.submit(one, rows[0])]
        eventually(lambda: gate.sizes)
        told += [threads.submit(one, row) for row in rows[1:]]
        eventually(lambda: len(keeper._waiting) == len(rows) - 1)  # nobody else sees who waits
        meanwhile()
        gate.is_open.set()
        return [one.result() for one in told]


def test_those_that_come_while_one_is_written_are_written_together(engine: sa.Engine, gate: Gate) -> None:
    rows = [came() for _ in range(TOGETHER)]
    assert keep_together(Keeper(engine), gate, rows) == [True] * TOGETHER
    assert gate.sizes == [1, TOGETHER - 1]
    assert {row.id for row in kept(engine)} == {row["id"] for row in rows}


def test_it_is_kept_as_it_came(engine: sa.Engine) -> None:
    row = came(body=bytes(range(256)), query="a=%00&b='", content_type=None)
    assert Keeper(engine).keep(row)
    (found,) = kept(engine)
    assert {name: getattr(found, name) for name in row} == row


def test_the_same_twice_in_one_set_is_new_once(engine: sa.Engine, gate: Gate) -> None:
    request_id = new_id()
    told = keep_together(Keeper(engine), gate, [came(), *(came(request_id) for _ in range(TOGETHER))])
    assert sorted(map(bool, told)) == [False] * (TOGETHER - 1) + [True] * 2
    assert len(kept(engine)) == 2


def test_one_that_the_database_refuses_costs_no_other(postgresql_url: str, gate: Gate) -> None:
    engine = make_engine(postgresql_url, keyring=KEYRING)
    good, bad = [came() for _ in range(TOGETHER)], came(query="half a pair: \ud800")
    told = keep_together(Keeper(engine), gate, [*good, bad])
    assert told[:-1] == [True] * TOGETHER
    assert isinstance(told[-1], Exception)
    assert {row.id for row in kept(engine)} == {row["id"] for row in good}
    engine.dispose()


def test_nobody_is_told_that_it_is_kept_where_it_was_not(
    engine: sa.Engine, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper, rows = Keeper(engine), [came() for _ in range(TOGETHER)]

    def away(*_: object) -> None:
        raise OperationalError("INSERT", None, OSError("gone"))

    told = keep_together(keeper, gate, rows, meanwhile=lambda: sa.event.listen(engine, "before_cursor_execute", away))
    assert all(isinstance(one, OperationalError) for one in told), told
    sa.event.remove(engine, "before_cursor_execute", away)
    assert kept(engine) == []
    assert [keeper.keep(row) for row in rows] == [True] * TOGETHER  # it is not stuck
