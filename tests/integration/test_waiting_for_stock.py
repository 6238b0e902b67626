"""Waiting for empty stock: parked, woken by one look for all, oldest first, ended by the deadline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from models.base import read, utc_now, write
from models.request import Kind, OnOutOfStock
from models.state import Reason, State
from models.stock_watch import StockWatch
from tests.factory import fetch, make_requests
from tests.working import NAME, ScriptedUpstream, every, history, is_paused, let_pass, moves
from worker import steering
from worker.fault import Fault
from worker.relay import count_all
from worker.runtime import Runtime
from worker.stock import look
from worker.upstreams import DIALECTS
from worker.upstreams.base import (
    Accepted,
    Answer,
    BadQuery,
    Dialect,
    Misconfigured,
    Order,
    Rejected,
    StockRow,
    Unavailable,
)
from worker.workflow import advance

EMPTY = Rejected(Reason.OUT_OF_STOCK, "No number available")
INTERVAL = timedelta(seconds=61)


class CityDialect(Dialect):
    """Its stock is asked by city; a spec may insist on a `class` that only some numbers have."""

    name = NAME

    def check(self, kind: Kind, spec: Mapping[str, Any]) -> list[Fault]:
        return []

    def stock_query(self, spec: Mapping[str, Any]) -> Mapping[str, str] | None:
        return {"city": spec["city"]} if "city" in spec else None

    def is_met_by(self, spec: Mapping[str, Any], row: StockRow) -> bool:
        return spec.get("class") in (None, row.type)


@dataclass
class Shop(ScriptedUpstream):
    """Has so many numbers in stock, and says so when it is asked."""

    left: list[StockRow] = field(default_factory=list)
    queries: list[Mapping[str, str]] = field(default_factory=list)
    failure: Exception | None = None

    async def submit(self, order: Order, deadline: timedelta) -> Answer:
        self.orders.append(order)
        return Accepted(self.left.pop(0).number, str(order.request_id)) if self.left else EMPTY

    async def stock(self, query: Mapping[str, str], deadline: timedelta) -> list[StockRow]:
        self.queries.append(query)
        if self.failure is not None:
            raise self.failure
        return list(self.left)


@pytest.fixture
def client() -> Shop:
    return Shop()


@pytest.fixture(autouse=True)
def _city(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DIALECTS, NAME, CityDialect())


def rows(count: int, kind: str = "GEO") -> list[StockRow]:
    return [StockRow(f"+6128074{number:04}", "AU", None, kind, "public") for number in range(count)]


def waiting(runtime: Runtime, count: int, **fields: Any) -> list[UUID]:
    """Requests that have been refused for want of stock, in the order in which they were made."""
    now = utc_now()
    given: dict[str, Any] = {"spec": {"city": "sydney"}, "due_at": now, "deadline": now + timedelta(days=1)} | fields
    ids = make_requests(runtime.engine, count, **given)
    while advance(runtime, NAME):
        pass
    return ids


def a_minute_later(runtime: Runtime) -> None:
    let_pass(runtime.engine, INTERVAL)
    look(runtime, NAME)
    while advance(runtime, NAME):
        pass


def states(engine: Engine, ids: list[UUID]) -> list[State]:
    return [fetch(engine, id_).state for id_ in ids]


def test_one_look_serves_all_that_wait_for_the_same(runtime: Runtime, client: Shop) -> None:
    waiting(runtime, 40)
    waiting(runtime, 2, spec={"city": "perth"})
    client.orders.clear()
    a_minute_later(runtime)
    assert sorted(query["city"] for query in client.queries) == ["perth", "sydney"]
    assert client.orders == [], "nobody is asked to buy what is not there"


def test_a_request_that_waits_says_so_once_and_not_every_minute(runtime: Runtime, engine: Engine, client: Shop) -> None:
    (id_,) = waiting(runtime, 1)
    before = len(history(engine, id_))
    for _ in range(5):
        a_minute_later(runtime)
    row = fetch(engine, id_)
    assert (row.state, row.reason) == (State.QUEUED, Reason.OUT_OF_STOCK)
    assert len(history(engine, id_)) == before
    assert len(client.queries) == 5


def test_when_stock_returns_the_oldest_are_served(runtime: Runtime, engine: Engine, client: Shop) -> None:
    ids = waiting(runtime, 10)
    client.left = rows(3)
    a_minute_later(runtime)
    assert states(engine, ids) == [State.ACCEPTED] * 3 + [State.QUEUED] * 7
    client.left = rows(10)
    a_minute_later(runtime)
    assert states(engine, ids) == [State.ACCEPTED] * 10
    a_minute_later(runtime)
    assert every(engine, StockWatch) == [], "nobody waits, so nobody looks"


def test_who_insists_on_a_class_is_not_woken_for_another(runtime: Runtime, engine: Engine, client: Shop) -> None:
    (choosy,) = waiting(runtime, 1, spec={"city": "sydney", "class": "MOBILE"})
    (easy,) = waiting(runtime, 1)
    client.left = rows(1)
    a_minute_later(runtime)
    assert states(engine, [choosy, easy]) == [State.QUEUED, State.ACCEPTED]


def test_a_deadline_ends_the_wait(runtime: Runtime, engine: Engine, client: Shop) -> None:
    (id_,) = waiting(runtime, 1, deadline=utc_now() + timedelta(minutes=10))
    let_pass(engine, timedelta(minutes=11))
    while advance(runtime, NAME):
        pass
    row = fetch(engine, id_)
    assert (row.state, row.reason) == (State.FAILED, Reason.DEADLINE_PASSED)
    assert len(client.orders) == 1


def test_on_out_of_stock_fail_does_not_wait(runtime: Runtime, engine: Engine, client: Shop) -> None:
    (id_,) = waiting(runtime, 1, on_out_of_stock=OnOutOfStock.FAIL)
    assert fetch(engine, id_).state is State.FAILED
    assert every(engine, StockWatch) == []


def test_a_request_whose_watch_was_lost_tries_by_itself(runtime: Runtime, engine: Engine, client: Shop) -> None:
    (id_,) = waiting(runtime, 1)
    write(engine, lambda session: session.execute(sa.delete(StockWatch)))
    client.left = rows(1)
    let_pass(engine, timedelta(minutes=61))
    advance(runtime, NAME)
    assert fetch(engine, id_).state is State.ACCEPTED


def test_where_stock_cannot_be_asked_a_few_are_woken_and_then_more(
    runtime: Runtime, engine: Engine, client: Shop
) -> None:
    ids = waiting(runtime, 12)
    client.failure = BadQuery("no stock search")
    client.orders.clear()
    a_minute_later(runtime)
    a_minute_later(runtime)
    assert [order.request_id for order in client.orders] == [ids[0], ids[0]], "one at a time while it is empty"
    client.left = rows(20)
    for _ in range(4):
        a_minute_later(runtime)
    assert states(engine, ids) == [State.ACCEPTED] * 12


def test_an_upstream_that_cannot_say_is_asked_again_and_nobody_is_woken(
    runtime: Runtime, engine: Engine, client: Shop
) -> None:
    waiting(runtime, 1)
    client.failure = Unavailable("503")
    client.orders.clear()
    a_minute_later(runtime)
    assert client.orders == []
    client.failure, client.left = None, rows(1)
    a_minute_later(runtime)
    assert len(client.orders) == 1


def test_credentials_refused_at_a_look_pause_the_upstream_and_no_look_is_made_then(
    runtime: Runtime, engine: Engine, client: Shop
) -> None:
    waiting(runtime, 1)
    client.failure = Misconfigured("401")
    a_minute_later(runtime)
    assert is_paused(engine) == "credentials_refused"
    a_minute_later(runtime)
    assert len(client.queries) == 1
    later = utc_now() + timedelta(hours=2)
    assert read(engine, lambda session: count_all(session, later))[f"trunkline.{NAME}"][0] == 0


def test_the_relay_sees_that_a_look_is_due(runtime: Runtime, engine: Engine, client: Shop) -> None:
    waiting(runtime, 3)
    later = utc_now() + INTERVAL
    assert read(engine, lambda session: count_all(session, later))[f"trunkline.{NAME}"][0] == 1


def test_who_waits_can_be_cancelled_and_is_not_woken(runtime: Runtime, engine: Engine, client: Shop) -> None:
    first, second = waiting(runtime, 2)
    write(engine, lambda session: steering.cancel(session, first, "me", utc_now()))
    client.left = rows(5)
    a_minute_later(runtime)
    assert states(engine, [first, second]) == [State.CANCELLED, State.ACCEPTED]
    assert moves(engine, first)[-1] == ("cancelled", Reason.BY_PERSON)


def test_looks_that_help_nobody_are_made_at_their_regular_times(runtime: Runtime, engine: Engine, client: Shop) -> None:
    waiting(runtime, 1)
    client.failure = BadQuery("no stock search")
    client.orders.clear()
    for _ in range(60):  # five minutes
        let_pass(engine, timedelta(seconds=5))
        look(runtime, NAME)
        advance(runtime, NAME)
    assert 4 <= len(client.orders) <= 6
