"""What a person may do to a request, in each of its states, and what is never done for the asking."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models.base import new_id, utc_now, write
from models.delivery import Delivery
from models.number import Number
from models.request import Kind, Request
from models.state import FINAL, Reason, State
from models.transition import Move, transition
from tests import holding
from tests.factory import NOW, fetch, make_requests
from tests.working import NAME, ScriptedUpstream, every, history, let_pass, until_due
from worker import steering
from worker.decision import MOST_LOOKS
from worker.runtime import Runtime
from worker.steering import NotNow, Outcome, cancel, resolve, retry
from worker.upstreams.base import Accepted, NotFound, OutcomeUnknown, Undecidable, WrongAccount
from worker.workflow import advance

SYDNEY = "+61280740801"
LATER = NOW + timedelta(hours=1)


def at(engine: Engine, state: State, reason: str | None = None, **changes: Any) -> UUID:
    (id_,) = make_requests(engine, notify_url="https://once.test", due_at=LATER)
    if (state, reason) != (State.QUEUED, None):
        write(engine, lambda session: transition(session, [Move(id_, state, "test", reason, changes=changes)], NOW))
    return id_


def steer(engine: Engine, how: Callable[..., Request], id_: UUID, *arguments: object) -> Request:
    def work(session: Session) -> Request:
        return how(session, id_, *arguments, "ada", NOW)

    return write(engine, work)


@pytest.mark.parametrize(("state", "reason"), [(State.QUEUED, None), (State.HELD, Reason.WRONG_ACCOUNT)])
def test_what_is_not_on_its_way_can_be_cancelled(engine: Engine, state: State, reason: str | None) -> None:
    id_ = at(engine, state, reason)
    returned = steer(engine, cancel, id_)
    row = fetch(engine, id_)
    assert (returned.state, row.state, row.reason, row.due_at) == (State.CANCELLED, State.CANCELLED, "by_person", None)
    assert history(engine, id_)[-1]["actor"] == "ada"
    assert every(engine, Delivery)[-1].type == "request.cancelled"


@pytest.mark.parametrize("state", [State.SUBMITTING, State.ACCEPTED, *sorted(FINAL)])
def test_what_is_ordered_or_has_ended_cannot_be_cancelled(engine: Engine, state: State) -> None:
    id_ = at(engine, state)
    before = history(engine, id_)
    with pytest.raises(NotNow, match=f"it is {state}"):
        steer(engine, cancel, id_)
    assert (fetch(engine, id_).state, history(engine, id_)) == (state, before)


@pytest.mark.parametrize("state", [State.QUEUED, State.ACCEPTED])
def test_what_waits_can_be_looked_at_now(engine: Engine, state: State) -> None:
    id_ = at(engine, state)
    steer(engine, retry, id_)
    row = fetch(engine, id_)
    assert (row.state, row.due_at) == (state, NOW)
    assert (history(engine, id_)[-1]["type"], history(engine, id_)[-1]["actor"]) == ("note", "ada")


def test_what_is_being_ordered_right_now_is_left_alone(engine: Engine) -> None:
    id_ = at(engine, State.SUBMITTING)
    with pytest.raises(NotNow, match="right now"):
        steer(engine, retry, id_)


@pytest.mark.parametrize("state", sorted(FINAL))
def test_what_has_ended_cannot_be_retried_or_settled(engine: Engine, state: State) -> None:
    id_ = at(engine, state)
    with pytest.raises(NotNow, match="ended already"):
        steer(engine, retry, id_)
    with pytest.raises(NotNow, match="only a held request"):
        steer(engine, resolve, id_, Outcome.FAILED, None, None)


@pytest.mark.parametrize("how", [cancel, retry])
def test_a_request_that_is_not_there_is_said_to_be_missing(engine: Engine, how: Callable[..., Request]) -> None:
    with pytest.raises(LookupError):
        steer(engine, how, new_id())


def test_an_order_that_got_a_number_nobody_knows_is_not_settled_without_it(engine: Engine) -> None:
    id_ = at(engine, State.HELD, Reason.OUTCOME_UNKNOWN)
    with pytest.raises(NotNow, match="which number it got"):
        steer(engine, resolve, id_, Outcome.COMPLETED, None, None)
    assert fetch(engine, id_).state is State.HELD


@pytest.mark.parametrize(
    ("outcome", "number", "told"),
    [(Outcome.COMPLETED, SYDNEY, "request.completed"), (Outcome.FAILED, None, "request.failed")],
)
def test_a_held_request_is_settled_by_hand(engine: Engine, outcome: Outcome, number: str | None, told: str) -> None:
    id_ = at(engine, State.HELD, Reason.OUTCOME_UNKNOWN)
    steer(engine, resolve, id_, outcome, number, "seen in the portal")
    row = fetch(engine, id_)
    assert (str(row.state), row.number, row.reason, row.detail) == (
        str(outcome),
        number,
        "by_person",
        "seen in the portal",
    )
    assert every(engine, Delivery)[-1].type == told


def take(engine: Engine) -> UUID:
    now = utc_now()
    (id_,) = make_requests(engine, due_at=now, deadline=now + timedelta(days=30))
    return id_


def steer_now(engine: Engine, how: Callable[..., Request], id_: UUID, *arguments: object) -> None:
    write(engine, lambda session: how(session, id_, *arguments, "ada", utc_now()))


def press(runtime: Runtime, engine: Engine, times: int) -> None:
    for _ in range(times):
        advance(runtime, NAME)
        until_due(engine)


def test_a_retry_of_an_unknown_outcome_looks_and_does_not_order(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    id_ = take(engine)
    client.on_submit = Undecidable("two orders")
    advance(runtime, NAME)
    assert fetch(engine, id_).state is State.HELD
    client.on_look_up = Accepted(SYDNEY, "ref-1")
    steer_now(engine, retry, id_)
    advance(runtime, NAME)
    assert (fetch(engine, id_).state, len(client.orders), len(client.looks)) == (State.ACCEPTED, 1, 1)


@pytest.mark.parametrize("held_by", [WrongAccount("account 9xxx"), Undecidable("two orders"), NotFound()])
def test_what_was_ever_acknowledged_is_not_ordered_again_however_it_came_to_be_held(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream, held_by: Any
) -> None:
    id_ = take(engine)
    client.on_submit, client.on_look_up = Accepted(SYDNEY, "ref-1"), held_by
    press(runtime, engine, MOST_LOOKS + 1)
    assert fetch(engine, id_).state is State.HELD
    client.on_look_up = NotFound()
    steer_now(engine, retry, id_)
    assert fetch(engine, id_).state is State.ACCEPTED
    press(runtime, engine, MOST_LOOKS)
    assert fetch(engine, id_).state is State.HELD
    assert len(client.orders) == 1


def test_a_retry_of_an_order_that_is_still_out_changes_nothing_about_its_proof(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    id_ = take(engine)
    client.on_submit = OutcomeUnknown("time-out")
    press(runtime, engine, 2)  # ordered, and absent once
    steer_now(engine, retry, id_)
    client.on_submit = Accepted(SYDNEY)
    advance(runtime, NAME)
    assert len(client.orders) == 1, "it must be absent twice again, from now on"
    press(runtime, engine, 3)
    assert len(client.orders) == 2


def test_ordering_again_is_for_a_person_to_decide_and_says_that_it_is_a_repetition(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    id_ = take(engine)
    client.on_submit = Undecidable("two orders")
    advance(runtime, NAME)
    steer_now(engine, resolve, id_, Outcome.RETRY, None, None)
    client.on_submit = OutcomeUnknown("time-out")
    advance(runtime, NAME)
    assert [order.repeated for order in client.orders] == [False, True]
    row = fetch(engine, id_)
    assert (row.state, row.reason, row.attempts) == (State.SUBMITTING, Reason.OUTCOME_UNKNOWN, 2)


def test_what_a_person_settled_stays_settled_when_a_worker_comes_back(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    id_ = take(engine)
    client.on_submit = OutcomeUnknown("time-out")
    advance(runtime, NAME)
    let_pass(engine, timedelta(days=2))

    def settle_meanwhile(_: object) -> NotFound:
        held = Move(id_, State.HELD, "test")
        write(engine, lambda session: transition(session, [held], utc_now()))
        steer_now(engine, resolve, id_, Outcome.COMPLETED, SYDNEY, None)
        return NotFound()

    client.on_look_up = settle_meanwhile
    press(runtime, engine, 2)
    assert (fetch(engine, id_).state, fetch(engine, id_).number) == (State.COMPLETED, SYDNEY)
    assert len(client.orders) == 1


def test_a_release_is_not_sent_before_its_time_by_asking_to_look_at_it(engine: Engine) -> None:
    (id_,) = make_requests(
        engine, 1, kind=Kind.RELEASE, number="+61280740801", spec={}, due_at=NOW + timedelta(hours=1)
    )
    with pytest.raises(NotNow, match="can be cancelled until then"):
        write(engine, lambda session: steering.retry(session, id_, "me", NOW))
    waiting = fetch(engine, id_)
    assert (waiting.reason, str(waiting.detail)[:10]) == (Reason.RELEASE_DELAY, "It is sent")
    row = write(engine, lambda session: steering.hasten(session, id_, "me", NOW))
    assert row.due_at == NOW
    assert history(engine, id_)[-1]["detail"] == "A person asked to send it now."


def test_a_number_that_another_requester_holds_is_not_taken_by_settling_a_request_with_it(engine: Engine) -> None:
    holding.done(engine, requester="other")
    mine = holding.ask(engine)
    write(engine, lambda session: transition(session, [Move(mine, State.HELD, "test")], NOW))

    def settle(number: str) -> Request:
        return write(engine, lambda s: steering.resolve(s, mine, steering.Outcome.COMPLETED, number, None, "me", NOW))

    with pytest.raises(NotNow, match="another requester"):
        settle(holding.SYDNEY)
    assert settle(holding.PERTH).state is State.COMPLETED


def test_a_number_that_a_person_names_is_not_taken_for_the_one_that_was_picked(engine: Engine) -> None:
    id_ = holding.ask(engine)
    pinned = {"number": holding.SYDNEY, "upstream_reference": "id-of-sydney", "pool": "private"}
    write(engine, lambda session: transition(session, [Move(id_, State.HELD, "test", changes=pinned)], NOW))
    write(engine, lambda s: steering.resolve(s, id_, steering.Outcome.COMPLETED, holding.PERTH, None, "me", NOW))
    (held,) = every(engine, Number)
    assert (held.number, held.upstream_reference, held.pool) == (holding.PERTH, None, None)
