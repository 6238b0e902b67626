"""What each answer means for a request: the rules of "nothing lost, nothing bought twice"."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from models.base import new_id
from models.due import Claim, Step
from models.request import Kind, OnOutOfStock, Request
from models.state import Reason, State
from models.transition import Move
from tests.factory import NOW
from worker.decision import LONGEST_BETWEEN_LOOKS, LONGEST_UNKNOWN, MOST_LOOKS, Outcome, Policy, decide, evidence
from worker.upstreams.base import (
    Accepted,
    Answer,
    Completed,
    Misconfigured,
    NotFound,
    OutcomeUnknown,
    Progress,
    Rejected,
    Unavailable,
    WrongAccount,
)

POLICY = Policy(
    settling=timedelta(seconds=60),
    callback_deadline=timedelta(minutes=5),
    stock_interval=timedelta(seconds=60),
    max_attempts=5,
    backoff_base=timedelta(seconds=2),
    backoff_cap=timedelta(seconds=600),
)


def claimed(step: Step = Step.SUBMIT, *, at: datetime = NOW, **fields: Any) -> Claim:
    row = Request(
        id=new_id(),
        kind=Kind.PROVISION,
        state=fields.pop("state", State.SUBMITTING),
        fence=3,
        attempts=1,
        retries=fields.pop("retries", 0),
        looks=fields.pop("looks", 0 if step is Step.SUBMIT else 1),
        unknown_since=fields.pop("unknown_since", None),
        absent_at=fields.pop("absent_at", None),
        on_out_of_stock=fields.pop("on_out_of_stock", OnOutOfStock.WAIT),
        deadline=fields.pop("deadline", NOW + timedelta(days=7)),
        updated_at=at,
    )
    assert not fields
    return Claim(row, step, at + timedelta(seconds=100))


def decided(claim: Claim, outcome: Outcome, now: datetime = NOW) -> Move:
    return decide(claim, outcome, POLICY, now)


@pytest.mark.parametrize("answer", [Completed("+61280740801"), Accepted("+61280740801", "ref")])
def test_proof_of_an_order_lands_whatever_claim_it_comes_from(answer: Completed | Accepted) -> None:
    assert decided(claimed(), answer).fence is None
    assert decided(claimed(Step.LOOK_UP, unknown_since=NOW), answer).fence is None


@pytest.mark.parametrize(
    "outcome", [Unavailable("refused"), OutcomeUnknown("read time-out"), Rejected(), WrongAccount("9xxx"), NotFound()]
)
def test_all_else_lands_only_under_the_claim_that_asked(outcome: Outcome) -> None:
    assert decided(claimed(), outcome).fence == 3


def test_what_provably_did_not_happen_is_ordered_again_after_a_pause() -> None:
    move = decided(claimed(retries=2), Unavailable("connection refused"))
    assert move.to is State.QUEUED
    assert move.changes["retries"] == 3
    assert move.due_at is not None
    assert timedelta(seconds=4) <= move.due_at - NOW <= timedelta(seconds=8)


def test_the_last_try_that_bought_nothing_ends_the_request() -> None:
    move = decided(claimed(retries=POLICY.max_attempts - 1), Unavailable("connection refused"))
    assert (move.to, move.reason) == (State.FAILED, Reason.UPSTREAM_UNAVAILABLE)


def test_a_request_to_slow_down_is_waited_out_and_counts_as_no_failure() -> None:
    limit = Unavailable("429", reason=Reason.OVER_LIMIT, retry_after=timedelta(seconds=90))
    move = decided(claimed(retries=POLICY.max_attempts - 1), limit)
    assert (move.to, move.reason) == (State.QUEUED, Reason.OVER_LIMIT)
    assert move.changes["retries"] == POLICY.max_attempts - 1
    assert move.due_at == NOW + timedelta(seconds=90)


@pytest.mark.parametrize("outcome", [OutcomeUnknown("read time-out"), Progress(), NotFound()])
def test_an_order_without_a_clear_answer_is_looked_up_and_not_ordered_again(outcome: Outcome) -> None:
    move = decided(claimed(), outcome)
    assert (move.to, move.reason) == (State.SUBMITTING, Reason.OUTCOME_UNKNOWN)
    assert move.changes["unknown_since"] == NOW


def test_absent_at_the_first_look_is_looked_at_again_after_the_settling_time() -> None:
    move = decided(claimed(Step.LOOK_UP, unknown_since=NOW - timedelta(seconds=1)), NotFound())
    assert (move.to, move.reason) == (State.SUBMITTING, Reason.OUTCOME_UNKNOWN)
    assert move.due_at == NOW + timedelta(seconds=59)


def test_absent_at_a_second_look_that_began_before_the_order_had_settled_proves_nothing() -> None:
    # Asked at 59 s, answered at 61 s: what the upstream looked at may be from before the end of the settling time.
    asked, answered = NOW + timedelta(seconds=59), NOW + timedelta(seconds=61)
    move = decided(claimed(Step.LOOK_UP, at=asked, looks=2, unknown_since=NOW, absent_at=NOW), NotFound(), answered)
    assert move.to is State.SUBMITTING


def test_a_single_look_proves_nothing_however_late_it_is() -> None:
    late = NOW + timedelta(hours=1)
    move = decided(claimed(Step.LOOK_UP, at=late, looks=1, unknown_since=NOW), NotFound(), late)
    assert (move.to, move.changes["absent_at"]) == (State.SUBMITTING, late)


def test_a_look_that_was_not_answered_does_not_count_as_one() -> None:
    late = NOW + timedelta(hours=1)
    move = decided(claimed(Step.LOOK_UP, at=late, looks=3, unknown_since=NOW), NotFound(), late)
    assert move.to is State.SUBMITTING


def test_absent_both_times_is_ordered_again() -> None:
    late = NOW + timedelta(seconds=61)
    move = decided(claimed(Step.LOOK_UP, at=late, looks=2, unknown_since=NOW, absent_at=NOW), NotFound(), late)
    assert (move.to, move.due_at, move.changes["unknown_since"]) == (State.QUEUED, late, None)
    assert move.changes["repeated"] is True


def test_an_accepted_order_that_a_list_does_not_show_is_never_ordered_again() -> None:
    looks = range(1, MOST_LOOKS + 1)
    moves = [decided(claimed(Step.LOOK_UP, state=State.ACCEPTED, looks=n), NotFound()) for n in looks]
    assert {move.to for move in moves[:-1]} == {State.ACCEPTED}
    assert (moves[-1].to, moves[-1].reason) == (State.HELD, Reason.CALLBACK_MISSING)


def test_looks_for_a_missing_callback_become_ever_more_seldom() -> None:
    after, looked_at = timedelta(), POLICY.callback_deadline
    schedule = []
    for looks in range(1, MOST_LOOKS):
        schedule.append(looked_at)
        move = decided(claimed(Step.LOOK_UP, state=State.ACCEPTED, looks=looks), Accepted(), NOW + looked_at)
        assert move.due_at is not None
        after, looked_at = looked_at, move.due_at - NOW
    assert [wait / timedelta(minutes=1) for wait in schedule[:5]] == [5, 10, 20, 40, 80]
    assert looked_at - after == LONGEST_BETWEEN_LOOKS
    assert looked_at > timedelta(days=2), "that is when a person is asked"


def test_ambiguous_evidence_is_for_a_person() -> None:
    move = decided(claimed(Step.LOOK_UP, unknown_since=NOW), OutcomeUnknown("two orders, neither shows our token"))
    assert (move.to, move.reason, move.due_at) == (State.HELD, Reason.OUTCOME_UNKNOWN, None)


def test_an_upstream_that_cannot_be_asked_for_a_day_is_for_a_person() -> None:
    later = NOW + LONGEST_UNKNOWN + timedelta(seconds=1)
    assert decided(claimed(Step.LOOK_UP, unknown_since=NOW), Unavailable("down"), NOW).to is State.SUBMITTING
    assert decided(claimed(Step.LOOK_UP, unknown_since=NOW), Unavailable("down"), later).to is State.HELD


def test_no_stock_parks_the_request_until_its_deadline() -> None:
    empty = Rejected(Reason.OUT_OF_STOCK, "no numbers in sydney")
    assert decided(claimed(), empty).due_at == NOW + POLICY.stock_interval
    soon = NOW + timedelta(seconds=10)
    assert decided(claimed(deadline=soon), empty).due_at == soon


def test_no_stock_ends_a_request_that_does_not_want_to_wait() -> None:
    move = decided(claimed(on_out_of_stock=OnOutOfStock.FAIL), Rejected(Reason.OUT_OF_STOCK, "none"))
    assert (move.to, move.reason) == (State.FAILED, Reason.OUT_OF_STOCK)


def test_refused_credentials_burn_no_attempt() -> None:
    move = decided(claimed(retries=POLICY.max_attempts - 1), Misconfigured("401"))
    assert (move.to, move.reason) == (State.QUEUED, Reason.UPSTREAM_PAUSED)
    assert "retries" not in move.changes


def test_an_answer_from_another_account_holds_the_request() -> None:
    assert decided(claimed(), WrongAccount("9xxx")).to is State.HELD


def test_a_callback_that_settles_nothing_moves_nothing() -> None:
    assert told(claimed().request, Progress("pending")) is None


def told(row: Request, answer: Answer) -> Move | None:
    """What a callback brings about."""
    return evidence(row, answer, "callback", POLICY, NOW)


def test_a_refusal_that_comes_by_itself_ends_a_request_that_was_ordered_once() -> None:
    for state in (State.SUBMITTING, State.ACCEPTED, State.HELD):
        move = told(claimed(state=state).request, Rejected(detail="no line"))
        assert move is not None
        assert (move.to, move.detail) == (State.FAILED, "no line")


@pytest.mark.parametrize(
    ("state", "to", "reason", "due_at"),
    [
        (State.QUEUED, State.SUBMITTING, Reason.OUTCOME_UNKNOWN, NOW),  # nothing is sent before it is looked up
        (State.SUBMITTING, State.SUBMITTING, None, NOW + timedelta(seconds=100)),  # whoever asks has it in hand
        (State.ACCEPTED, State.ACCEPTED, None, NOW),
        (State.HELD, State.HELD, None, NOW + timedelta(seconds=100)),
    ],
)
def test_a_refusal_of_one_of_two_orders_is_looked_up_and_not_believed(
    state: State, to: State, reason: str | None, due_at: datetime
) -> None:
    row = claimed(state=state).request
    row.repeated, row.due_at = True, NOW + timedelta(seconds=100)
    move = told(row, Rejected(detail="no line"))
    assert move is not None
    assert (move.to, move.reason, move.due_at) == (to, reason, due_at)
    assert "no line" in str(move.detail)
