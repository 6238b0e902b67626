"""Callbacks as they come on a bad day, from the address that AVANSER calls to the request and its result."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import pytest
from sqlalchemy.engine import Engine

from models.base import utc_now, write
from models.delivery import Delivery
from models.inbox import Purpose, Received
from models.request import Request
from models.state import Reason, State
from models.transition import Move, transition
from tests.factory import fetch, make_requests
from tests.receiver import Api
from tests.working import NAME, ScriptedUpstream, every, history, let_pass, moves, until_due
from worker import steering
from worker.inbox import read_inbox
from worker.runtime import Runtime
from worker.upstreams.base import Accepted, Answer, NotFound, Order, OutcomeUnknown, Rejected
from worker.workflow import advance

SYDNEY, PERTH = "+61280740801", "+61861234567"


def take(engine: Engine) -> UUID:
    now = utc_now()
    (id_,) = make_requests(engine, due_at=now, deadline=now + timedelta(days=1), notify_url="https://once.test")
    return id_


def send(api: Api, id_: UUID, *, by_get: bool = False, **fields: Any) -> int:
    """A completion callback at the address that the order of this request names; returns the HTTP status."""
    said = {"account_id": "7xxx", "service_number": "61280740801", "status": "completed"} | fields
    path = f"/callbacks/avanser/{api.token(of=id_)}"
    if by_get:
        return api.get(f"{path}?{urlencode(said)}", key=None).status_code
    return api.post(path, key=None, data=json.dumps(said).encode(), media_type="application/json").status_code


def told(engine: Engine) -> list[str]:
    return [delivery.type for delivery in every(engine, Delivery)]


def ordered(runtime: Runtime, engine: Engine, client: ScriptedUpstream) -> UUID:
    """A request whose order was acknowledged."""
    id_, client.on_submit = take(engine), Accepted(SYDNEY, "ref-1")
    advance(runtime, NAME)
    return id_


@pytest.mark.parametrize("by_get", [False, True])
@pytest.mark.parametrize(
    "fields", [{}, {"request_id": str(uuid4())}, {"custom_id": ""}, {"custom_id": "another-dealer"}]
)
def test_whose_callback_it_is_the_token_says_and_nothing_else(
    api: Api, runtime: Runtime, engine: Engine, client: ScriptedUpstream, fields: dict[str, str], by_get: bool
) -> None:
    id_, other = ordered(runtime, engine, client), ordered(runtime, engine, client)
    assert send(api, id_, by_get=by_get, **fields) == 200
    read_inbox(runtime)
    assert (fetch(engine, id_).state, fetch(engine, id_).number) == (State.COMPLETED, SYDNEY)
    assert fetch(engine, other).state is State.ACCEPTED


def test_before_the_acknowledgement_a_callback_completes_the_request_all_the_same(
    api: Api, runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    id_ = take(engine)

    def reply(order: Order) -> Answer:
        assert send(api, order.request_id) == 200
        read_inbox(runtime)
        return Accepted(SYDNEY, "ref-1")

    client.on_submit = reply
    advance(runtime, NAME)
    row = fetch(engine, id_)
    assert (row.state, row.number, row.upstream_reference) == (State.COMPLETED, SYDNEY, "ref-1")
    assert (row.contradicted_at, told(engine)) == (None, ["request.completed"])


@pytest.mark.parametrize("are_read_between", [False, True])
def test_ten_times_is_as_good_as_once(
    api: Api, runtime: Runtime, engine: Engine, client: ScriptedUpstream, are_read_between: bool
) -> None:
    id_ = ordered(runtime, engine, client)
    for number in range(10):
        assert send(api, id_, message=f"try {number // 2}") == 200
        if are_read_between:
            read_inbox(runtime)
    read_inbox(runtime)
    assert len(every(engine, Received)) == 5, "the very same words are one row"
    assert [to for to, _ in moves(engine, id_)][-2:] == ["accepted", "completed"]
    assert (fetch(engine, id_).contradicted_at, told(engine)) == (None, ["request.completed"])


def test_fifty_at_once_are_all_kept_and_have_one_effect(
    api: Api, runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    id_ = ordered(runtime, engine, client)
    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(lambda number: send(api, id_, message=f"try {number % 25}"), range(50)))
    assert answers == [200] * 50
    read_inbox(runtime)
    assert len(every(engine, Received)) == 25
    assert [to for to, _ in moves(engine, id_)].count("completed") == 1
    assert told(engine) == ["request.completed"]


def test_a_forged_one_changes_nothing(api: Api, runtime: Runtime, engine: Engine, client: ScriptedUpstream) -> None:
    id_ = ordered(runtime, engine, client)
    good = api.token(of=id_)
    for token in (api.token(Purpose.CALL, of=id_), good[:-2] + "AA", f"{id_}", "x" * len(good)):
        assert api.post(f"/callbacks/avanser/{token}", key=None, data=b'{"status": "completed"}').status_code == 404
    read_inbox(runtime)
    assert (every(engine, Received), fetch(engine, id_).state) == ([], State.ACCEPTED)


def cancelled(runtime: Runtime, engine: Engine, client: ScriptedUpstream) -> UUID:
    """By a person, between two orders: the first was not to be seen."""
    id_ = between_two_orders(runtime, engine, client)
    write(engine, lambda session: steering.cancel(session, id_, "ada", utc_now()))
    return id_


def failed(runtime: Runtime, engine: Engine, client: ScriptedUpstream) -> UUID:
    id_, client.on_submit = take(engine), Rejected(detail="no line")
    advance(runtime, NAME)
    return id_


@pytest.mark.parametrize("ended", [cancelled, failed])
def test_for_a_request_that_ended_without_a_number_a_completion_is_recorded_and_shown_and_overturns_nothing(
    api: Api,
    runtime: Runtime,
    engine: Engine,
    client: ScriptedUpstream,
    ended: Callable[[Runtime, Engine, ScriptedUpstream], UUID],
) -> None:
    id_ = ended(runtime, engine, client)
    before = fetch(engine, id_).state
    assert send(api, id_) == 200
    read_inbox(runtime)
    assert fetch(engine, id_).state is before
    assert fetch(engine, id_).contradicted_at is not None
    assert told(engine) == [f"request.{before}"]
    assert "paid for that nobody holds" in history(engine, id_)[-1]["detail"]
    assert 'trunkline_troubles{what="contradicted_requests"} 1.0' in api.get("/metrics").text


def held(runtime: Runtime, engine: Engine, client: ScriptedUpstream) -> UUID:
    id_ = take(engine)
    move = Move(id_, State.HELD, "test", Reason.OUTCOME_UNKNOWN)
    write(engine, lambda session: transition(session, [move], utc_now()))
    return id_


@pytest.mark.parametrize("status", ["completed", "failed"])
def test_what_is_held_is_settled_by_the_upstreams_own_word(
    api: Api, runtime: Runtime, engine: Engine, client: ScriptedUpstream, status: str
) -> None:
    id_ = held(runtime, engine, client)
    send(api, id_, status=status)
    read_inbox(runtime)
    assert fetch(engine, id_).state == status
    assert told(engine) == ["request.held", f"request.{status}"]


def between_two_orders(runtime: Runtime, engine: Engine, client: ScriptedUpstream) -> UUID:
    """The first order was not to be seen, before and after the settling time; the second is not out yet."""
    id_, client.on_submit, client.on_look_up = take(engine), OutcomeUnknown("read time-out"), NotFound()
    for _ in range(3):
        advance(runtime, NAME)
        until_due(engine)
    row = fetch(engine, id_)
    assert (row.state, row.repeated, len(client.orders)) == (State.QUEUED, True, 1)
    return id_


def twice_ordered(runtime: Runtime, engine: Engine, client: ScriptedUpstream, second: Answer | Exception) -> UUID:
    id_ = between_two_orders(runtime, engine, client)
    client.on_submit = second
    advance(runtime, NAME)
    assert [order.repeated for order in client.orders] == [False, True]
    return id_


def test_late_news_that_the_first_order_failed_do_not_end_a_request_whose_second_stands(
    api: Api, runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    id_ = twice_ordered(runtime, engine, client, Accepted(SYDNEY, "ref-2"))
    client.on_look_up = Accepted(SYDNEY, "ref-2")
    send(api, id_, status="failed", message="no line")
    read_inbox(runtime)
    advance(runtime, NAME)
    assert fetch(engine, id_).state is State.ACCEPTED
    assert len(client.looks) == 3, "it was looked up at once"
    send(api, id_)
    read_inbox(runtime)
    row = fetch(engine, id_)
    assert (row.state, row.number, row.contradicted_at) == (State.COMPLETED, SYDNEY, None)
    assert (len(client.orders), told(engine)) == (2, ["request.completed"])


def test_when_the_list_shows_that_both_orders_failed_the_request_has_failed(
    api: Api, runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    id_ = twice_ordered(runtime, engine, client, Accepted(SYDNEY, "ref-2"))
    client.on_look_up = Rejected(detail="no line")
    send(api, id_, status="failed", message="no line")
    read_inbox(runtime)
    advance(runtime, NAME)
    assert (fetch(engine, id_).state, told(engine)) == (State.FAILED, ["request.failed"])


def test_late_news_that_the_first_order_failed_leave_a_second_of_unknown_outcome_to_the_look_up(
    api: Api, runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    id_ = twice_ordered(runtime, engine, client, OutcomeUnknown("read time-out"))
    send(api, id_, status="failed", message="no line")
    read_inbox(runtime)
    assert (fetch(engine, id_).state, fetch(engine, id_).reason) == (State.SUBMITTING, Reason.OUTCOME_UNKNOWN)
    client.on_look_up = Accepted(SYDNEY, "ref-2")
    until_due(engine)
    advance(runtime, NAME)
    assert (fetch(engine, id_).state, fetch(engine, id_).number) == (State.ACCEPTED, SYDNEY)


def test_late_news_that_the_first_order_failed_while_the_second_is_asked_leave_it_to_who_asks(
    api: Api, runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    id_ = between_two_orders(runtime, engine, client)

    def reply(order: Order) -> Answer:
        send(api, order.request_id, status="failed", message="no line")
        read_inbox(runtime)
        row = fetch(engine, id_)
        assert (row.state, row.reason) == (State.SUBMITTING, None)
        assert row.due_at is not None
        assert row.due_at - utc_now() > timedelta(seconds=60), "its lease stands"
        return Rejected(detail="no line either")

    client.on_submit = reply
    advance(runtime, NAME)
    row = fetch(engine, id_)
    assert (row.state, row.detail) == (State.FAILED, "no line either"), "the answer still landed, under its claim"


def test_news_that_the_first_order_failed_before_the_second_is_out_are_looked_up_before_anything_is_ordered(
    api: Api, runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    id_ = between_two_orders(runtime, engine, client)
    send(api, id_, status="failed", message="no line")
    read_inbox(runtime)
    client.on_look_up = Rejected(detail="no line")
    advance(runtime, NAME)
    assert (fetch(engine, id_).state, len(client.orders)) == (State.FAILED, 1)


def test_news_that_one_of_two_orders_failed_leave_a_held_request_to_its_person(
    api: Api, runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    id_ = twice_ordered(runtime, engine, client, Accepted(SYDNEY, "ref-2"))
    move = Move(id_, State.HELD, "test", Reason.CALLBACK_MISSING)
    write(engine, lambda session: transition(session, [move], utc_now()))
    send(api, id_, status="failed", message="no line")
    read_inbox(runtime)
    row = fetch(engine, id_)
    assert (row.state, row.reason) == (State.HELD, Reason.CALLBACK_MISSING)
    assert "no line" in str(row.detail)


def test_a_completion_of_the_first_order_while_the_second_is_out_shows_that_two_were_bought(
    api: Api, runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    id_ = twice_ordered(runtime, engine, client, Accepted(SYDNEY, "ref-2"))
    send(api, id_, service_number="61861234567")
    read_inbox(runtime)
    row: Request = fetch(engine, id_)
    assert (row.state, row.contradicted_at is not None) == (State.COMPLETED, True)
    assert any(PERTH in str(line["detail"]) and SYDNEY in str(line["detail"]) for line in history(engine, id_))


def test_a_callback_that_comes_when_the_look_up_has_found_the_end_already_changes_nothing(
    api: Api, runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    id_ = ordered(runtime, engine, client)
    client.on_look_up = Accepted(SYDNEY, "ref-1")
    let_pass(engine, timedelta(minutes=5))
    advance(runtime, NAME)
    send(api, id_)
    read_inbox(runtime)
    until_due(engine)
    advance(runtime, NAME)
    row = fetch(engine, id_)
    assert (row.state, row.contradicted_at, len(client.looks)) == (State.COMPLETED, None, 1)
