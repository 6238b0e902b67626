"""Picking numbers before they are ordered: each order its own, written down first, whatever dies on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models import reservation
from models.base import new_id, read, utc_now, write
from models.clock import Clock
from models.due import claim_requests
from models.reservation import KEPT_FOR, Reservation, Want, reserve
from models.state import Reason, State
from tests.factory import NOW, fetch, make_requests
from tests.working import NAME, ScriptedUpstream, history, together, until_due
from worker import steering
from worker.picking import PICKED_TOO_LATE
from worker.runtime import Runtime
from worker.upstreams.base import Answer, Candidate, Completed, Order, OutcomeUnknown, Rejected, Unavailable
from worker.workflow import advance


def stock(count: int) -> list[Candidate]:
    return [Candidate(f"id-{number:03}", f"+614000{number:05}") for number in range(count)]


@dataclass
class Seller(ScriptedUpstream):
    """Shows everybody the same list, and sells what was picked; `seen` is what stood in our books at the sale."""

    engine: Engine | None = None
    shown: list[Candidate] = field(default_factory=list)
    taken_by_others: set[str] = field(default_factory=set)
    sold: list[str] = field(default_factory=list)
    seen: list[tuple[str | None, str | None]] = field(default_factory=list)
    breaks: bool = False
    refuses: bool = False

    async def submit(self, order: Order, deadline: timedelta) -> Answer:
        self.orders.append(order)
        left = list(self.shown)
        while (picked := await order.pick(left)) is not None:
            assert self.engine is not None
            row = fetch(self.engine, order.request_id)
            self.seen.append((row.number, row.upstream_reference))
            if self.breaks:
                raise OutcomeUnknown("silence")
            if self.refuses:
                raise Unavailable("connection refused")
            if picked.reference not in self.taken_by_others:
                self.sold.append(picked.reference)
                return Completed(picked.number, picked.reference)
            left.remove(picked)
        if left:
            raise Unavailable("all are spoken for", is_failure=False)
        return Rejected(Reason.OUT_OF_STOCK)


@pytest.fixture
def client(engine: Engine) -> Seller:
    return Seller(engine=engine)


def take(engine: Engine, count: int) -> list[UUID]:
    now = utc_now()
    return make_requests(engine, count, due_at=now, deadline=now + timedelta(days=1))


def test_orders_that_see_the_same_list_get_a_number_each_without_a_fight(
    runtime: Runtime, engine: Engine, client: Seller
) -> None:
    client.shown = stock(60)
    ids = take(engine, 50)
    advance(runtime, NAME)
    assert len(client.orders) == len(set(client.sold)) == 50
    assert {fetch(engine, id_).upstream_reference for id_ in ids} == set(client.sold)


def test_a_number_stands_in_the_books_before_it_is_ordered(runtime: Runtime, engine: Engine, client: Seller) -> None:
    client.shown = stock(1)
    (id_,) = take(engine, 1)
    advance(runtime, NAME)
    assert client.seen == [("+61400000000", "id-000")]
    (note,) = (line for line in history(engine, id_) if line["type"] == "note")
    assert (note["reason"], note["number"]) == ("picked", "+61400000000")


def test_a_number_that_somebody_else_was_quicker_with_is_followed_by_the_next(
    runtime: Runtime, engine: Engine, client: Seller
) -> None:
    client.shown, client.taken_by_others = stock(3), {"id-000", "id-001"}
    (id_,) = take(engine, 1)
    advance(runtime, NAME)
    row = fetch(engine, id_)
    assert (row.state, row.number, row.upstream_reference) == (State.COMPLETED, "+61400000002", "id-002")
    assert row.contradicted_at is None
    assert len(client.orders) == 1


def test_an_order_of_unknown_outcome_asks_for_the_same_number_again(
    runtime: Runtime, engine: Engine, client: Seller
) -> None:
    client.shown, client.breaks = stock(3), True
    (id_,) = take(engine, 1)
    advance(runtime, NAME)
    row = fetch(engine, id_)
    assert (row.state, row.reason) == (State.SUBMITTING, Reason.OUTCOME_UNKNOWN)
    for _ in range(3):  # looks twice, and orders again
        until_due(engine)
        advance(runtime, NAME)
    assert [look.upstream_reference for look in client.looks] == ["id-000", "id-000"]
    again = client.orders[-1]
    assert (again.repeated, again.number, again.upstream_reference) == (True, "+61400000000", "id-000")


def test_a_refused_request_keeps_no_number_that_it_never_got(runtime: Runtime, engine: Engine, client: Seller) -> None:
    client.shown, client.taken_by_others = stock(1), {"id-000"}
    (id_,) = take(engine, 1)
    advance(runtime, NAME)
    row = fetch(engine, id_)
    assert (row.state, row.reason) == (State.QUEUED, Reason.OUT_OF_STOCK)
    assert (row.number, row.upstream_reference) == (None, None)


def test_a_worker_that_was_overtaken_may_not_order_what_it_picked(
    runtime: Runtime, engine: Engine, client: Seller
) -> None:
    client.shown = stock(2)
    (id_,) = take(engine, 1)

    def overtake(session: Session) -> None:
        claim_requests(session, NAME, 1, utc_now() + timedelta(hours=1), timedelta(hours=1))

    first = client.submit

    async def submit(order: Order, deadline: timedelta) -> Answer:
        write(engine, overtake)
        return await first(order, deadline)

    client.submit = submit  # type: ignore[method-assign]
    advance(runtime, NAME)
    assert client.sold == []
    assert fetch(engine, id_).upstream_reference is None


class Skipping(Clock):
    """Skips ahead when it is told to."""

    ahead = 0.0  # seconds

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


def test_what_was_picked_when_the_lease_was_nearly_over_is_not_ordered(
    runtime: Runtime, engine: Engine, client: Seller
) -> None:
    client.shown, runtime.clock = stock(2), (clock := Skipping())
    (id_,) = take(engine, 1)
    first = client.submit

    async def slow_search(order: Order, deadline: timedelta) -> Answer:
        clock.ahead += runtime.settings.upstreams[NAME].slack.total_seconds()
        return await first(order, deadline)

    client.submit = slow_search  # type: ignore[method-assign]
    advance(runtime, NAME)
    assert client.sold == []
    row = fetch(engine, id_)
    assert (row.state, row.detail) == (State.QUEUED, PICKED_TOO_LATE)


def wants(references: list[str], *ids: UUID) -> list[Want]:
    return [Want(id_, references) for id_ in ids]


def test_two_workers_at_the_same_moment_never_get_the_same_number(postgresql: Engine) -> None:
    references = [f"id-{number}" for number in range(40)]
    ids = [new_id() for _ in range(40)]

    def worker(part: int) -> dict[UUID, str]:
        mine = ids[part::4]
        shuffled = references[part:] + references[:part]
        return write(postgresql, lambda session: reserve(session, NAME, wants(shuffled, *mine), NOW))

    got = together(*(lambda part=part: worker(part) for part in range(4)))
    chosen = [reference for one in got for reference in one.values()]
    assert len(chosen) == len(set(chosen))
    assert len(chosen) >= 30, "a race may cost a round, not the stock"


def test_a_reservation_ends_by_itself_and_is_forgotten(engine: Engine) -> None:
    one, other = new_id(), new_id()
    assert write(engine, lambda s: reserve(s, NAME, wants(["a"], one), NOW)) == {one: "a"}
    assert write(engine, lambda s: reserve(s, NAME, wants(["a"], other), NOW)) == {}
    assert write(engine, lambda s: reserve(s, NAME, wants(["a"], one), NOW)) == {one: "a"}, "it is its own"
    assert write(engine, lambda s: reserve(s, "telmetrics", wants(["a"], other), NOW)) == {other: "a"}
    later = NOW + KEPT_FOR + timedelta(seconds=1)
    assert write(engine, lambda s: reserve(s, NAME, wants(["a"], other), later)) == {other: "a"}
    write(engine, lambda s: reservation.forget(s, later + KEPT_FOR))
    assert read(engine, lambda s: s.scalars(sa.select(Reservation)).all()) == []


def test_a_number_is_free_again_when_the_order_that_picked_it_comes_to_nothing(
    runtime: Runtime, engine: Engine, client: Seller
) -> None:
    client.shown, client.taken_by_others = stock(1), {"id-000"}
    take(engine, 1)
    advance(runtime, NAME)
    assert read(engine, lambda s: s.scalars(sa.select(Reservation)).all()) == []


def test_an_order_that_waits_for_numbers_that_others_are_after_does_not_fail_for_it(
    runtime: Runtime, engine: Engine, client: Seller
) -> None:
    client.shown = stock(1)
    write(engine, lambda s: reserve(s, NAME, wants(["id-000"], new_id()), utc_now()))
    (id_,) = take(engine, 1)
    for _ in range(6):
        until_due(engine)
        advance(runtime, NAME)
    row = fetch(engine, id_)
    assert (row.state, row.retries) == (State.QUEUED, 0)


def test_a_request_that_failed_or_was_cancelled_shows_no_number_that_it_only_picked(
    runtime: Runtime, engine: Engine, client: Seller
) -> None:
    client.shown, client.refuses = stock(9), True
    failed, cancelled = take(engine, 2)
    advance(runtime, NAME)
    assert fetch(engine, failed).number is not None
    write(engine, lambda session: steering.cancel(session, cancelled, "me", utc_now()))
    for _ in range(4):
        until_due(engine)
        advance(runtime, NAME)
    assert fetch(engine, failed).state is State.FAILED
    assert [fetch(engine, id_).number for id_ in (failed, cancelled)] == [None, None]
