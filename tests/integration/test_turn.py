"""Changes of one number are made one after the other, in the order in which they were asked for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.engine import Engine

from models.base import utc_now, write
from models.request import Kind
from models.state import Reason, State
from tests import holding
from tests.factory import fetch, make_batch, make_requests
from tests.working import NAME, ScriptedUpstream, history, let_pass
from worker import steering
from worker.runtime import Runtime
from worker.upstreams.base import Accepted, Completed, Order, OutcomeUnknown, Undecidable
from worker.workflow import advance

NUMBER, OTHER = "+61280740801", "+61280740802"


def ask(engine: Engine, kind: Kind, number: str = NUMBER, **fields: Any) -> UUID:
    now = utc_now()
    given: dict[str, Any] = {
        "kind": kind,
        "number": number,
        "spec": {},
        "due_at": now,
        "deadline": now + timedelta(days=1),
    } | fields
    (id_,) = make_requests(engine, 1, **given)
    return id_


def test_a_later_change_waits_until_the_earlier_one_has_ended(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    client.on_submit = OutcomeUnknown("silence")
    first, second, release = (ask(engine, kind) for kind in (Kind.UPDATE, Kind.UPDATE, Kind.RELEASE))
    other = ask(engine, Kind.UPDATE, OTHER)
    advance(runtime, NAME)
    assert {order.request_id for order in client.orders} == {first, other}
    row = fetch(engine, second)
    assert (row.state, row.reason, row.attempts) == (State.QUEUED, Reason.EARLIER_CHANGE, 0)
    assert str(first) in str(row.detail)
    client.on_submit = client.on_look_up = Completed(NUMBER)
    for _ in range(4):
        let_pass(engine, timedelta(seconds=61))
        advance(runtime, NAME)
    assert [order.request_id for order in client.orders if order.number == NUMBER] == [first, second, release]
    assert len([line for line in history(engine, release) if line["reason"] == Reason.EARLIER_CHANGE]) == 1


def test_a_release_that_can_still_be_cancelled_holds_up_nobody(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    client.on_submit = Completed(NUMBER)
    ask(engine, Kind.RELEASE, due_at=utc_now() + timedelta(hours=1))
    update = ask(engine, Kind.UPDATE)
    advance(runtime, NAME)
    assert fetch(engine, update).state is State.COMPLETED


def test_a_change_that_waits_behind_another_still_ends_at_its_deadline(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    client.on_submit = client.on_look_up = OutcomeUnknown("silence")
    ask(engine, Kind.UPDATE)
    late = ask(engine, Kind.UPDATE, deadline=utc_now() + timedelta(minutes=1))
    advance(runtime, NAME)
    let_pass(engine, timedelta(minutes=2))
    advance(runtime, NAME)
    assert fetch(engine, late).reason == Reason.DEADLINE_PASSED


def test_cancelling_what_goes_before_lets_the_next_one_go(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    client.on_submit = Completed(NUMBER)
    first = ask(engine, Kind.UPDATE, due_at=utc_now() + timedelta(hours=1))
    second = ask(engine, Kind.UPDATE)
    advance(runtime, NAME)
    assert client.orders == []
    write(engine, lambda session: steering.cancel(session, first, "me", utc_now()))
    let_pass(engine, timedelta(seconds=61))
    advance(runtime, NAME)
    assert [order.request_id for order in client.orders] == [second]


def test_an_order_about_a_number_carries_the_upstreams_own_id_of_it(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    now = utc_now()
    make_requests(engine, 1, due_at=now, deadline=now + timedelta(days=1))
    client.on_submit = Completed(NUMBER, "own-17")
    advance(runtime, NAME)
    ask(engine, Kind.UPDATE)
    ask(engine, Kind.UPDATE, OTHER)
    advance(runtime, NAME)
    asked: dict[str | None, Order] = {order.number: order for order in client.orders[1:]}
    assert (asked[NUMBER].number_reference, asked[OTHER].number_reference) == ("own-17", None)


def test_hundreds_of_changes_that_wait_do_not_hide_other_work(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    client.on_submit = Undecidable("who knows")
    ask(engine, Kind.UPDATE)
    advance(runtime, NAME)  # held: the others wait for a person
    now = utc_now()
    fields: dict[str, Any] = {"due_at": now, "deadline": now + timedelta(days=1)}
    make_requests(engine, 600, kind=Kind.UPDATE, number=NUMBER, spec={}, **fields)
    (bulk,) = make_requests(engine, 1, batch_id=make_batch(engine, 1), **fields)
    client.on_submit = Completed(OTHER)
    advance(runtime, NAME)
    assert fetch(engine, bulk).state is State.COMPLETED


@pytest.mark.parametrize("kinds", [(Kind.RELEASE, Kind.UPDATE), (Kind.UPDATE, Kind.RELEASE)])
def test_of_an_update_and_a_release_that_are_due_together_one_is_sent(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream, kinds: tuple[Kind, Kind]
) -> None:
    client.on_submit = Accepted(NUMBER, "ref")
    first, _ = (ask(engine, kind) for kind in kinds)
    advance(runtime, NAME)
    assert [order.request_id for order in client.orders] == [first]


def test_a_release_waits_for_a_later_update_that_is_out(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    client.on_submit = Accepted(NUMBER, "ref")
    release = ask(engine, Kind.RELEASE, due_at=utc_now() + timedelta(hours=1))
    ask(engine, Kind.UPDATE)
    advance(runtime, NAME)
    let_pass(engine, timedelta(minutes=61))
    advance(runtime, NAME)
    row = fetch(engine, release)
    assert (row.state, row.reason) == (State.QUEUED, Reason.EARLIER_CHANGE)


def test_a_change_whose_number_was_given_up_since_is_not_sent(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    client.on_submit = Completed(NUMBER, "own-17")
    now = utc_now()
    make_requests(engine, 1, due_at=now, deadline=now + timedelta(days=1))
    advance(runtime, NAME)
    client.on_submit = Completed(NUMBER)
    stale = ask(engine, Kind.RELEASE, due_at=now + timedelta(hours=1))
    ask(engine, Kind.RELEASE)
    advance(runtime, NAME)
    client.orders.clear()
    let_pass(engine, timedelta(hours=1, seconds=1))
    advance(runtime, NAME)
    row = fetch(engine, stale)
    assert (row.state, row.reason, client.orders) == (State.FAILED, Reason.NOT_HELD, [])


def test_a_change_of_a_number_that_is_another_requesters_by_now_is_not_sent_and_holds_nobody_up(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    stale = ask(engine, Kind.UPDATE, due_at=utc_now() + timedelta(minutes=1))
    client.on_submit = Completed(NUMBER)
    holding.ask(engine, requester="other", due_at=utc_now(), deadline=utc_now() + timedelta(days=1))
    advance(runtime, NAME)
    client.orders.clear()
    let_pass(engine, timedelta(minutes=2))
    advance(runtime, NAME)
    assert (fetch(engine, stale).reason, client.orders) == (Reason.NOT_HELD, [])
