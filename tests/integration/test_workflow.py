"""The life of a request at its upstream, with an upstream that answers as it is told: every answer, every failure."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models import upstream
from models.base import utc_now, write
from models.clock import Clock
from models.delivery import Delivery
from models.due import Claim, claim_requests
from models.request import Kind, OnOutOfStock, Request
from models.state import Reason, State
from models.transition import transition
from tests.factory import fetch, make_batch, make_endpoint, make_requester, make_requests
from tests.working import NAME, SETTLING, ScriptedUpstream, every, history, is_paused, let_pass, moves, until_due
from worker import workflow
from worker.decision import MOST_LOOKS, evidence
from worker.limits import Limits
from worker.pace import CHUNK
from worker.runtime import Runtime
from worker.upstreams.base import (
    Accepted,
    Answer,
    Completed,
    Misconfigured,
    NotFound,
    Order,
    OutcomeUnknown,
    Progress,
    Rejected,
    Unavailable,
    Undecidable,
    WrongAccount,
)
from worker.workflow import advance

SYDNEY, PERTH = "+61280740801", "+61861234567"
DAY = timedelta(days=1)


def asked(runtime: Runtime) -> int:
    """How many more questions the upstream was asked, until nothing is due any more."""
    client = runtime.client(NAME)
    assert isinstance(client, ScriptedUpstream)
    before = len(client.orders) + len(client.looks)
    while advance(runtime, NAME):
        pass
    return len(client.orders) + len(client.looks) - before


def take(engine: Engine, count: int = 1, **fields: Any) -> list[UUID]:
    """Requests that are due now, with a deadline tomorrow."""
    now = utc_now()
    return make_requests(engine, count, **({"due_at": now, "deadline": now + DAY} | fields))


def numbered(order: Order) -> str:
    """A number of its own for each order."""
    return f"+612{order.request_id.int % 10**8:08}"


def callback(engine: Engine, runtime: Runtime, id_: UUID, answer: Answer) -> None:
    """What an upstream's callback brings about."""
    now = utc_now()
    move = evidence(fetch(engine, id_), answer, "callback", runtime.policy(NAME), now)
    assert move is not None
    write(engine, lambda session: transition(session, [move], now))


def test_an_accepted_order_waits_for_its_callback(runtime: Runtime, engine: Engine, client: ScriptedUpstream) -> None:
    (id_,) = take(engine)
    client.on_submit = Accepted(SYDNEY, "ref-1")
    assert asked(runtime) == 1
    row = fetch(engine, id_)
    assert (row.state, row.number, row.upstream_reference) == (State.ACCEPTED, SYDNEY, "ref-1")
    assert row.due_at is not None
    assert row.accepted_at is not None
    assert row.due_at - row.accepted_at == timedelta(minutes=5)
    assert moves(engine, id_) == [("queued", None), ("submitting", None), ("accepted", None)]
    (attempt,) = (line for line in history(engine, id_) if line["type"] == "attempt")
    assert (attempt["call"], attempt["answer"], attempt["attempt"]) == ("submit", "accepted", 1)
    assert asked(runtime) == 0


def test_an_upstream_that_answers_at_once_completes_at_once(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    (id_,) = take(engine, notify_url="https://once.test")
    client.on_submit = Completed(SYDNEY)
    advance(runtime, NAME)
    row = fetch(engine, id_)
    assert (row.state, row.number, row.due_at) == (State.COMPLETED, SYDNEY, None)
    assert [told.data["number"] for told in every(engine, Delivery)] == [SYDNEY]


def test_the_upstream_is_told_what_was_asked_and_where_to_call_back(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    (id_,) = take(engine, kind=Kind.UPDATE, number=SYDNEY, custom_id="dealer-17", custom_group="vic")
    advance(runtime, NAME)
    (order,) = client.orders
    assert (order.request_id, order.kind, order.number) == (id_, Kind.UPDATE, SYDNEY)
    assert (order.custom_id, order.custom_group, order.repeated) == ("dealer-17", "vic", False)
    assert order.callback_uri == runtime.uris.callback(NAME, id_)
    assert order.callback_uri.startswith("https://trunkline.test/callbacks/avanser/")
    assert order.call_uri.startswith("https://trunkline.test/calls/avanser/")


def test_a_refusal_ends_the_request(runtime: Runtime, engine: Engine, client: ScriptedUpstream) -> None:
    (id_,) = take(engine)
    client.on_submit = Rejected(detail="no such answer point")
    advance(runtime, NAME)
    row = fetch(engine, id_)
    assert (row.state, row.reason, row.detail) == (State.FAILED, Reason.UPSTREAM_REJECTED, "no such answer point")


def test_what_provably_did_not_happen_is_ordered_again_until_it_is_given_up(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    (id_,) = take(engine)
    client.on_submit = Unavailable("connection refused")
    for attempt in (1, 2, 3):
        assert asked(runtime) == 1
        assert asked(runtime) == 0, "not before the pause is over"
        assert len(client.orders) == attempt
        until_due(engine)
    row = fetch(engine, id_)
    assert (row.state, row.reason, row.attempts) == (State.FAILED, Reason.UPSTREAM_UNAVAILABLE, 3)
    assert client.looks == []
    assert not any(order.repeated for order in client.orders)


def test_a_request_to_slow_down_is_obeyed(runtime: Runtime, engine: Engine, client: ScriptedUpstream) -> None:
    (id_,) = take(engine)
    wait = timedelta(minutes=10)
    client.on_submit = Unavailable("429", reason=Reason.OVER_LIMIT, retry_after=wait)
    advance(runtime, NAME)
    assert (fetch(engine, id_).state, fetch(engine, id_).reason) == (State.QUEUED, Reason.OVER_LIMIT)
    runtime.limits = Limits(None)  # the minute in which nothing at all is sent is over
    let_pass(engine, wait - timedelta(seconds=5))
    assert asked(runtime) == 0
    let_pass(engine, timedelta(seconds=5))
    client.on_submit = Accepted(SYDNEY)
    assert asked(runtime) == 1
    assert fetch(engine, id_).state is State.ACCEPTED


def test_when_one_request_is_asked_to_wait_the_others_wait_with_it(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    now = [100.0]
    runtime.limits = Limits(None, lambda: now[0])
    take(engine)
    client.on_submit = Unavailable("429", reason=Reason.OVER_LIMIT, retry_after=timedelta(seconds=20))
    advance(runtime, NAME)
    (other,) = take(engine)
    client.on_submit = Accepted(SYDNEY)
    now[0] += 19
    assert asked(runtime) == 0
    assert fetch(engine, other).attempts == 0, "it was not even claimed"
    now[0] += 2
    assert asked(runtime) == 1
    assert fetch(engine, other).state is State.ACCEPTED


def test_a_refusal_that_names_no_time_keeps_no_other_request_back(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    take(engine)
    client.on_submit = Unavailable("429", reason=Reason.OVER_LIMIT)
    advance(runtime, NAME)
    take(engine)
    assert asked(runtime) == 1


@pytest.mark.parametrize("silence", [OutcomeUnknown("read time-out"), Progress(), NotFound(), RuntimeError("a bug")])
def test_an_order_without_an_answer_is_looked_up_and_adopted(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream, silence: Answer | Exception
) -> None:
    (id_,) = take(engine)
    client.on_submit, client.on_look_up = silence, Accepted(SYDNEY, "ref-1")
    advance(runtime, NAME)
    assert (fetch(engine, id_).state, fetch(engine, id_).reason) == (State.SUBMITTING, Reason.OUTCOME_UNKNOWN)
    until_due(engine)
    advance(runtime, NAME)
    row = fetch(engine, id_)
    assert (row.state, row.number, row.reason, row.unknown_since) == (State.ACCEPTED, SYDNEY, None, None)
    assert (len(client.orders), len(client.looks)) == (1, 1)


def test_an_order_that_is_absent_before_and_after_the_settling_time_is_made_again(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    (id_,) = take(engine)
    client.on_submit = OutcomeUnknown("read time-out")
    advance(runtime, NAME)
    until_due(engine)
    assert asked(runtime) == 1
    let_pass(engine, SETTLING - timedelta(seconds=10))
    assert asked(runtime) == 0, "not before it has settled"
    until_due(engine)
    client.on_submit = Accepted(SYDNEY)
    assert asked(runtime) == 2  # the second look, and the order
    assert fetch(engine, id_).state is State.ACCEPTED
    assert (len(client.orders), len(client.looks)) == (2, 2)
    assert [order.repeated for order in client.orders] == [False, True]


def test_looks_that_were_not_answered_prove_nothing(runtime: Runtime, engine: Engine, client: ScriptedUpstream) -> None:
    take(engine)
    client.on_submit, client.on_look_up = OutcomeUnknown("read time-out"), Unavailable("down")
    advance(runtime, NAME)
    for _ in range(5):
        until_due(engine)
        advance(runtime, NAME)
    client.on_look_up = NotFound()
    until_due(engine)
    advance(runtime, NAME)
    assert (len(client.orders), len(client.looks)) == (1, 6)
    assert asked(runtime) == 0, "one answer that it is absent is not proof"
    until_due(engine)
    advance(runtime, NAME)
    assert asked(runtime) == 1
    assert len(client.orders) == 2


def test_an_order_that_ever_again_seems_absent_is_given_up(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    (id_,) = take(engine)
    client.on_submit = OutcomeUnknown("read time-out")
    for _ in range(12):
        advance(runtime, NAME)
        until_due(engine)
    assert fetch(engine, id_).state is State.FAILED
    assert len(client.orders) == 3


@pytest.mark.parametrize("is_late", [False, True])
def test_ambiguous_evidence_holds_the_request_for_a_person(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream, is_late: bool
) -> None:
    (id_,) = take(engine, notify_url="https://once.test")
    client.on_submit = OutcomeUnknown("read time-out") if is_late else Undecidable("two orders")
    client.on_look_up = Undecidable("two orders")
    advance(runtime, NAME)
    until_due(engine)
    advance(runtime, NAME)
    row = fetch(engine, id_)
    assert (row.state, row.reason, row.detail, row.due_at) == (State.HELD, "outcome_unknown", "two orders", None)
    assert [told.type for told in every(engine, Delivery)] == ["request.held"]


def test_a_missing_callback_is_found_by_looking(runtime: Runtime, engine: Engine, client: ScriptedUpstream) -> None:
    (id_,) = take(engine)
    client.on_submit, client.on_look_up = Accepted(SYDNEY), Completed(SYDNEY)
    advance(runtime, NAME)
    let_pass(engine, timedelta(minutes=4))
    assert asked(runtime) == 0
    let_pass(engine, timedelta(minutes=1))
    assert asked(runtime) == 1
    assert fetch(engine, id_).state is State.COMPLETED


def test_an_accepted_order_that_nobody_shows_is_never_ordered_again(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    (id_,) = take(engine)
    client.on_submit = Accepted(SYDNEY)
    advance(runtime, NAME)
    for _ in range(MOST_LOOKS):
        until_due(engine)
        advance(runtime, NAME)
    row = fetch(engine, id_)
    assert (row.state, row.reason) == (State.HELD, Reason.CALLBACK_MISSING)
    assert (len(client.orders), len(client.looks)) == (1, MOST_LOOKS)


def test_a_worker_that_dies_with_a_claim_leaves_a_question_and_no_second_order(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    (id_,) = take(engine)
    lease = runtime.settings.upstreams[NAME].lease
    write(engine, lambda session: claim_requests(session, NAME, 1, utc_now(), lease))
    assert asked(runtime) == 0, "it is the dead worker's until its lease ends"
    let_pass(engine, lease)
    client.on_look_up = Accepted(SYDNEY, "ref-1")
    assert asked(runtime) == 1
    assert (len(client.orders), len(client.looks)) == (0, 1)
    assert fetch(engine, id_).number == SYDNEY


def change(engine: Engine, id_: UUID, **columns: Any) -> None:
    """Where other workers, callbacks and people have brought it meanwhile."""
    write(engine, lambda session: session.execute(sa.update(Request).where(Request.id == id_).values(columns)))


def interrupt(
    runtime: Runtime, engine: Engine, during: Callable[[], None], then: Answer | OutcomeUnknown
) -> Callable[[Order], Answer]:
    """A reply that comes when the lease has ended, and after something has happened meanwhile."""

    def reply(_: Order) -> Answer:
        let_pass(engine, runtime.settings.upstreams[NAME].lease)
        during()
        if isinstance(then, OutcomeUnknown):
            raise then
        return then

    return reply


def test_an_answer_after_the_lease_changes_nothing_and_is_remembered(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    (id_,) = take(engine)
    lease = runtime.settings.upstreams[NAME].lease

    def another_claims() -> None:
        write(engine, lambda session: claim_requests(session, NAME, 1, utc_now(), lease))

    client.on_submit = interrupt(runtime, engine, another_claims, Rejected(detail="late"))
    advance(runtime, NAME)
    row = fetch(engine, id_)
    assert (row.state, row.fence, row.reason) == (State.SUBMITTING, 2, Reason.OUTCOME_UNKNOWN)
    assert history(engine, id_)[-1]["reason"] == "stale_answer"


@pytest.mark.parametrize("unsettled", [OutcomeUnknown("timed out"), Undecidable("half an answer")])
def test_an_order_sent_after_it_looked_absent_is_looked_for_and_not_made_again(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream, unsettled: OutcomeUnknown
) -> None:
    """The worker stood still between its claim and its order, for longer than its lease and two looks."""
    (id_,) = take(engine)

    def looked_for_and_given_back() -> None:
        change(engine, id_, state=State.QUEUED, due_at=utc_now() + DAY, fence=4, repeated=True)

    client.on_submit = interrupt(runtime, engine, looked_for_and_given_back, unsettled)
    advance(runtime, NAME)
    row = fetch(engine, id_)
    assert (row.state, row.reason, row.fence, row.absent_at) == (State.SUBMITTING, Reason.OUTCOME_UNKNOWN, 5, None)
    until_due(engine)
    client.on_look_up = Accepted(SYDNEY, "ref-1")
    assert asked(runtime) == 1
    assert (fetch(engine, id_).state, len(client.orders)) == (State.ACCEPTED, 1)


def test_an_order_sent_late_unsettles_what_another_worker_is_just_finding_out(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    (id_,) = take(engine)
    lease = runtime.settings.upstreams[NAME].lease
    taken: list[Claim] = []

    def another_looks() -> None:
        taken.extend(write(engine, lambda session: claim_requests(session, NAME, 1, utc_now(), lease)))
        change(engine, id_, absent_at=utc_now() - DAY, unknown_since=utc_now() - DAY, repeated=True)

    client.on_submit = interrupt(runtime, engine, another_looks, OutcomeUnknown("timed out"))
    advance(runtime, NAME)
    row = fetch(engine, id_)
    assert (row.state, row.fence, row.absent_at) == (State.SUBMITTING, 3, None)
    assert row.unknown_since is not None
    assert row.unknown_since >= taken[0].until, "it may be ordering until then"
    assert row.due_at == row.unknown_since


@pytest.mark.parametrize(
    ("state", "repeated", "is_told"),
    [
        (State.FAILED, False, True),
        (State.CANCELLED, False, True),
        (State.COMPLETED, True, True),
        (State.ACCEPTED, True, True),
        (State.COMPLETED, False, False),  # ordered once: this very order was found meanwhile
        (State.ACCEPTED, False, False),
        (State.HELD, True, False),  # a person looks at it already
    ],
)
def test_an_order_sent_after_its_request_had_gone_on_is_told_to_people(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream, state: State, repeated: bool, is_told: bool
) -> None:
    (id_,) = take(engine)

    def it_goes_on() -> None:
        change(engine, id_, state=state, due_at=None, fence=7, repeated=repeated)

    client.on_submit = interrupt(runtime, engine, it_goes_on, OutcomeUnknown("timed out"))
    advance(runtime, NAME)
    row, told = fetch(engine, id_), [entry["reason"] for entry in history(engine, id_)]
    assert (row.state, row.fence) == (state, 7)
    assert "stale_answer" in told
    assert (row.contradicted_at is not None, "late_contradiction" in told) == (is_told, is_told)


def test_proof_of_a_purchase_after_the_lease_is_still_proof(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    (id_,) = take(engine)
    lease = runtime.settings.upstreams[NAME].lease

    def another_claims() -> None:
        write(engine, lambda session: claim_requests(session, NAME, 1, utc_now(), lease))

    client.on_submit = interrupt(runtime, engine, another_claims, Accepted(SYDNEY, "ref-1"))
    advance(runtime, NAME)
    row = fetch(engine, id_)
    assert (row.state, row.number) == (State.ACCEPTED, SYDNEY)


def test_two_acknowledgements_of_different_numbers_are_seen(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    (id_,) = take(engine)

    def the_first_order_is_acknowledged() -> None:
        callback(engine, runtime, id_, Accepted(PERTH, "ref-0"))

    client.on_submit = interrupt(runtime, engine, the_first_order_is_acknowledged, Accepted(SYDNEY, "ref-1"))
    advance(runtime, NAME)
    assert fetch(engine, id_).contradicted_at is not None
    (note,) = (line for line in history(engine, id_) if line["type"] == "note")
    assert PERTH in note["detail"]
    assert SYDNEY in note["detail"]


def test_a_callback_that_comes_before_the_acknowledgement_completes_the_request(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    (id_,) = take(engine, notify_url="https://once.test")

    def reply(_: Order) -> Answer:
        callback(engine, runtime, id_, Completed(SYDNEY))
        return Accepted(SYDNEY, "ref-1")

    client.on_submit = reply
    advance(runtime, NAME)
    row = fetch(engine, id_)
    assert (row.state, row.number, row.upstream_reference) == (State.COMPLETED, SYDNEY, "ref-1")
    assert row.contradicted_at is None
    assert len(every(engine, Delivery)) == 1
    assert asked(runtime) == 0


def test_a_callback_completes_an_order_that_looked_absent(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    (id_,) = take(engine)
    client.on_submit = OutcomeUnknown("read time-out")
    advance(runtime, NAME)
    until_due(engine)
    advance(runtime, NAME)
    until_due(engine)
    callback(engine, runtime, id_, Completed(SYDNEY))
    assert asked(runtime) == 0
    assert (fetch(engine, id_).state, len(client.orders)) == (State.COMPLETED, 1)


def test_one_hundred_and_twenty_with_mixed_answers_each_get_their_own(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    make_endpoint(engine, make_requester(engine), "https://crm.test")
    ids = take(engine, 120, batch_id=make_batch(engine, 120))
    place = {id_: number for number, id_ in enumerate(ids)}

    def reply(order: Order) -> Answer:
        replies: list[Answer | Exception] = [
            Completed(numbered(order)),
            Accepted(numbered(order), f"ref-{order.request_id}"),
            Rejected(detail=str(order.request_id)),
            Unavailable("refused"),
            OutcomeUnknown("time-out"),
            RuntimeError("a bug in the client"),
        ]
        found = replies[place[order.request_id] % len(replies)]
        if isinstance(found, Exception):
            raise found
        return found

    client.on_submit = reply
    rounds = 1
    while advance(runtime, NAME):
        rounds += 1
    assert rounds >= 120 // CHUNK + 1
    asked_for = Counter(order.request_id for order in client.orders)
    assert set(asked_for) == set(ids)
    # Who was refused may be asked for again meanwhile: its pause is left to chance, and this machine may be slow.
    assert {place[id_] % 6 for id_, times in asked_for.items() if times > 1} <= {3}
    expected = ["completed", "accepted", "failed", "queued", "submitting", "submitting"]
    for row in every(engine, Request):
        assert row.state == expected[place[row.id] % len(expected)]
        if row.state in (State.COMPLETED, State.ACCEPTED):
            assert row.number == f"+612{row.id.int % 10**8:08}"
        if row.state is State.FAILED:
            assert row.detail == str(row.id)
    assert len(every(engine, Delivery)) == 40


def test_an_answer_from_another_account_pauses_the_upstream_and_holds_the_request(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    (id_,) = take(engine)
    client.on_submit = WrongAccount("account 9xxx, ours is 7xxx")
    with caplog.at_level(logging.ERROR):
        advance(runtime, NAME)
    row = fetch(engine, id_)
    assert (row.state, row.reason) == (State.HELD, Reason.WRONG_ACCOUNT)
    assert is_paused(engine) == Reason.WRONG_ACCOUNT
    assert "avanser is paused" in caplog.text
    take(engine, 3)
    assert asked(runtime) == 0
    write(engine, lambda session: upstream.resume(session, NAME))
    client.on_submit = Accepted(SYDNEY)
    assert asked(runtime) == 3


def test_an_answer_from_another_account_to_a_look_up_does_the_same(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    (id_,) = take(engine)
    client.on_submit, client.on_look_up = Accepted(SYDNEY), WrongAccount("account 9xxx")
    advance(runtime, NAME)
    until_due(engine)
    advance(runtime, NAME)
    assert (fetch(engine, id_).state, is_paused(engine)) == (State.HELD, Reason.WRONG_ACCOUNT)


def test_refused_credentials_pause_the_upstream_and_burn_nothing(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    (id_,) = take(engine)
    client.on_submit = Misconfigured("401")
    advance(runtime, NAME)
    assert is_paused(engine) == "credentials_refused"
    until_due(engine)
    assert asked(runtime) == 0
    for _ in range(5):  # more often than the attempts that a request has
        write(engine, lambda session: upstream.resume(session, NAME))
        until_due(engine)
        assert asked(runtime) == 1
    row = fetch(engine, id_)
    assert (row.state, row.reason, row.retries) == (State.QUEUED, Reason.UPSTREAM_PAUSED, 0)


def test_orders_that_are_out_are_looked_up_while_the_upstream_is_paused(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    (id_,) = take(engine)
    client.on_submit, client.on_look_up = OutcomeUnknown("time-out"), Completed(SYDNEY)
    advance(runtime, NAME)
    write(engine, lambda session: upstream.pause(session, NAME, "by_person", "", "ada", utc_now()))
    until_due(engine)
    advance(runtime, NAME)
    assert fetch(engine, id_).state is State.COMPLETED


def test_a_request_waits_for_stock_and_goes_out_when_there_is_some(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    (id_,) = take(engine)
    client.on_submit = Rejected(Reason.OUT_OF_STOCK, "nothing in sydney")
    for _ in range(5):  # more often than the attempts that a request has
        assert asked(runtime) == 1
        assert asked(runtime) == 0
        row = fetch(engine, id_)
        assert (row.state, row.reason) == (State.QUEUED, Reason.OUT_OF_STOCK)
        assert str(row.detail).startswith("nothing in sydney. The stock is looked at every 60 s")
        until_due(engine)
    client.on_submit = Accepted(SYDNEY)
    assert asked(runtime) == 1
    assert fetch(engine, id_).state is State.ACCEPTED
    assert not client.orders[-1].repeated


def test_a_request_that_does_not_want_to_wait_for_stock_fails(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    (id_,) = take(engine, on_out_of_stock=OnOutOfStock.FAIL)
    client.on_submit = Rejected(Reason.OUT_OF_STOCK, "nothing in sydney")
    advance(runtime, NAME)
    assert (fetch(engine, id_).state, fetch(engine, id_).reason) == (State.FAILED, Reason.OUT_OF_STOCK)


def test_waiting_for_stock_ends_with_the_deadline(runtime: Runtime, engine: Engine, client: ScriptedUpstream) -> None:
    (id_,) = take(engine, deadline=utc_now() + timedelta(seconds=30))
    client.on_submit = Rejected(Reason.OUT_OF_STOCK, "nothing in sydney")
    advance(runtime, NAME)
    assert fetch(engine, id_).due_at == fetch(engine, id_).deadline, "sooner than the next look at the stock"
    until_due(engine)
    assert asked(runtime) == 0
    assert (fetch(engine, id_).state, fetch(engine, id_).reason) == (State.FAILED, Reason.DEADLINE_PASSED)


def test_an_answer_that_cannot_be_stored_costs_only_its_own_request(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad, fine = take(engine, 3)
    client.on_submit = lambda order: Accepted(numbered(order), "\ud800" if order.request_id == bad else "ref")
    advance(runtime, NAME)
    assert [fetch(engine, id_).state for id_ in (good, bad, fine)] == [State.ACCEPTED, State.HELD, State.ACCEPTED]
    assert len(client.orders) == 3
    assert str(bad) in caplog.text


@dataclass
class SlowClock(Clock):
    """Time passes when a test says so, as far as a deadline is concerned."""

    seconds: float = 1_000.0

    def monotonic(self) -> float:
        return self.seconds


@pytest.mark.parametrize("is_too_late", [False, True])
def test_nothing_is_sent_when_the_database_kept_the_claim_waiting_for_most_of_its_lease(
    runtime: Runtime,
    engine: Engine,
    client: ScriptedUpstream,
    monkeypatch: pytest.MonkeyPatch,
    is_too_late: bool,
) -> None:
    (id_,) = take(engine)
    clock, to_spare = SlowClock(), runtime.settings.upstreams[NAME].slack.total_seconds()

    def slow_claim(
        session: Session, name: str, limit: int, now: datetime, lease: timedelta, *more: Any, **named: Any
    ) -> list[Claim]:
        clock.seconds += to_spare + (1 if is_too_late else -1)
        return claim_requests(session, name, limit, now, lease, *more, **named)

    runtime.clock = clock
    monkeypatch.setattr(workflow, "claim_requests", slow_claim)
    client.on_submit = Accepted(SYDNEY)
    advance(runtime, NAME)
    row = fetch(engine, id_)
    if is_too_late:
        assert (row.state, row.detail, client.orders) == (State.QUEUED, workflow.COULD_NOT_SEND, [])
        assert row.retries == 0, "that we were slow is no failure of the upstream's"
        assert runtime.pace(NAME).room == 1
    else:
        assert (row.state, len(client.orders)) == (State.ACCEPTED, 1)


def test_permits_come_back_whatever_happens(runtime: Runtime, engine: Engine, client: ScriptedUpstream) -> None:
    settings = runtime.settings.upstreams[NAME]
    most = settings.max_in_flight // 4  # what a process without Redis may have

    def free() -> int:
        permits = runtime.limits.acquire(NAME, most, most * 4, 10_000, settings.lease)
        found = permits.count
        runtime.limits.give_back(permits, found, unused=True)
        return found

    flying: list[int] = []

    def reply(_: Order) -> Answer:
        flying.append(most - free())
        raise OutcomeUnknown("time-out")

    take(engine, 2)
    client.on_submit = reply
    advance(runtime, NAME)
    assert flying == [2, 2], "what a claim did not use is free while the others are asked"
    assert free() == most
