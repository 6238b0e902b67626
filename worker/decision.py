"""What an upstream's answer means for a request: pure functions, no clock, no database, no network.

The rules are those of "nothing lost, nothing bought twice": only what provably did not happen is ordered again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from models.due import Claim, Step
from models.request import Kind, OnOutOfStock, Request
from models.state import OPEN, Reason, State
from models.transition import Move
from worker.backoff import backoff
from worker.upstreams.base import (
    Accepted,
    Answer,
    Completed,
    Misconfigured,
    NotFound,
    OutcomeUnknown,
    Progress,
    Rejected,
    Stopped,
    Unavailable,
    Undecidable,
    WrongAccount,
)

Failure = Unavailable | OutcomeUnknown | WrongAccount
Outcome = Answer | Failure

FIRST_LOOK = timedelta(seconds=1)
"""After an answer that did not come, look soon: most orders can be seen at once, and each one seen is settled."""

LONGEST_BETWEEN_LOOKS = timedelta(hours=6)

MOST_LOOKS = 15
"""For an accepted order. The first look is 5 minutes after the acknowledgement, the next 10, 20, 40 … after it, from
10:40 h on every 6 hours: the last is after more than two days (52:40 h)."""

LONGEST_UNKNOWN = timedelta(days=1)
"""After so long without being able to look, a person is asked."""

WHILE_PAUSED = timedelta(seconds=5)
"""How soon a request is looked at again after its upstream was paused under it. It goes out when that is resumed."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings that decide. `settling` is how long after a time-out an order may still land."""

    settling: timedelta
    callback_deadline: timedelta
    stock_interval: timedelta
    max_attempts: int
    backoff_base: timedelta
    backoff_cap: timedelta
    verify_callbacks: bool = False  # an upstream's callback that ends a request is looked up before it is believed


def decide(claim: Claim, outcome: Outcome, policy: Policy, now: datetime) -> Move:
    """The move that an outcome calls for. `now` is when it came, the end of the call."""
    if claim.step is Step.SUBMIT:
        return _after_submit(claim.request, outcome, policy, now)
    return _after_look(claim, outcome, policy, now)


def evidence(row: Request, answer: Answer, actor: str, policy: Policy, now: datetime) -> Move | None:
    """The move that an upstream's unasked word calls for (a callback); None where it settles nothing."""
    match answer:
        case Completed() | Rejected() if policy.verify_callbacks and row.state in OPEN:
            said = f"The upstream called back: {name_of(answer)} ({answer.detail or 'no more said'})"
            return _to_be_looked_up(row, f"{said}. Not believed before it is looked up.", actor, now)
        case Completed() | Accepted():
            return _ours(row.id, answer, actor, policy, now)
        case Rejected(reason, detail):
            if row.repeated and row.state in OPEN:
                return _perhaps_of_an_earlier_order(row, detail, actor, now)
            return Move(row.id, State.FAILED, actor, reason, detail)
        case Progress() | NotFound():
            return None


def _perhaps_of_an_earlier_order(row: Request, said: str | None, actor: str, now: datetime) -> Move:
    """A "failed" for a request that was ordered more than once: which order it is about, nothing in it tells.

    To believe it would end a request whose other order may stand: a number that is paid for and nobody holds. So it is
    a question, and the upstream's list answers it. One that is just being asked is left to who asks: to look now would
    be before it has settled.
    """
    told = said or "no reason given"
    detail = f"The upstream says failed ({told}), perhaps of an earlier order: not believed before it is looked up."
    return _to_be_looked_up(row, detail, actor, now)


def _to_be_looked_up(row: Request, detail: str, actor: str, now: datetime) -> Move:
    """Ask the upstream's list, now where nobody asks already. One that is held stays with its person."""
    match row.state:
        case State.QUEUED:
            changes = {"looks": 0, "unknown_since": now, "absent_at": None}
            return Move(row.id, State.SUBMITTING, actor, Reason.OUTCOME_UNKNOWN, detail, now, changes=changes)
        case State.ACCEPTED:
            return Move(row.id, State.ACCEPTED, actor, row.reason, detail, now)
        case _:
            return Move(row.id, row.state, actor, row.reason, detail, row.due_at)


def is_unsettled(claim: Claim, outcome: Outcome) -> bool:
    """Whether an order was sent, or may have been, and this does not say what came of it."""
    return claim.step is Step.SUBMIT and not isinstance(outcome, Completed | Accepted | Rejected | Unavailable)


def doubt(row: Request, now: datetime) -> Move | None:
    """The move that an order of an earlier claim calls for: sent late, and not answered. None where it settles nothing.

    Whoever has the request now believes that order never sent, and may have looked for it before it was: what is in
    flight must not order again on the strength of that. One that has gone on to an end is flagged by the door.
    """
    if row.state is State.HELD:
        return None
    detail = "A worker that had lost its claim sent an order all the same, and heard no answer."
    # Whoever has it may still be ordering, and so is to be outwaited too.
    at_rest = now if row.state is State.QUEUED else max(now, row.due_at or now)
    changes = {"fence": row.fence + 1, "looks": 0, "unknown_since": at_rest, "absent_at": None}
    due_at = max(at_rest, now + FIRST_LOOK)
    return Move(row.id, State.SUBMITTING, "worker", Reason.OUTCOME_UNKNOWN, detail, due_at, changes=changes)


def _ours(id_: UUID, answer: Completed | Accepted, actor: str, policy: Policy, now: datetime) -> Move:
    """Proof that the upstream has the order. Not fenced: it is true whoever brings it."""
    known = {"number": answer.number, "upstream_reference": answer.reference, "pool": answer.pool}
    changes: dict[str, Any] = {name: value for name, value in known.items() if value is not None}
    changes |= {"retries": 0, "unknown_since": None}
    if isinstance(answer, Completed):
        return Move(id_, State.COMPLETED, actor, None, answer.detail, changes=changes)
    due_at = now + policy.callback_deadline
    changes["accepted_at"] = now
    return Move(id_, State.ACCEPTED, actor, None, answer.detail, due_at, changes=changes)


def _after_submit(row: Request, outcome: Outcome, policy: Policy, now: datetime) -> Move:
    match outcome:
        case Completed() | Accepted():
            return _ours(row.id, outcome, "worker", policy, now)
        case Rejected(Reason.OUT_OF_STOCK, detail) if row.on_out_of_stock is OnOutOfStock.WAIT:
            due_at = min(now + policy.stock_interval, row.deadline)
            return _fenced(row, State.QUEUED, Reason.OUT_OF_STOCK, detail, due_at, retries=0, **_unpinned(row))
        case Rejected(reason, detail):
            return _fenced(row, State.FAILED, reason, detail)
        case Misconfigured() | Stopped():
            due_at = now + WHILE_PAUSED
            return _fenced(row, State.QUEUED, Reason.UPSTREAM_PAUSED, str(outcome), due_at)
        case Unavailable():
            return _again_later(row, outcome, policy, now)
        case WrongAccount():
            return _fenced(row, State.HELD, Reason.WRONG_ACCOUNT, str(outcome))
        case Undecidable():
            return _fenced(row, State.HELD, Reason.OUTCOME_UNKNOWN, str(outcome))
        case OutcomeUnknown() | Progress() | NotFound():
            # The last two are no answers to an order: they prove nothing, which is what unknown means.
            detail = str(outcome) if isinstance(outcome, OutcomeUnknown) else "The upstream did not say what it did."
            due_at = now + FIRST_LOOK
            return _fenced(row, State.SUBMITTING, Reason.OUTCOME_UNKNOWN, detail, due_at, unknown_since=now)


def _unpinned(row: Request) -> dict[str, Any]:
    """A number that was picked, and then refused, was never ours: the request must not show it."""
    if row.kind is not Kind.PROVISION or row.accepted_at is not None:
        return {}
    return {"number": None, "upstream_reference": None}


def _again_later(row: Request, refusal: Unavailable, policy: Policy, now: datetime) -> Move:
    """Nothing was bought. What is no failure (a request to slow down) does not count towards the most attempts."""
    retries = row.retries + refusal.counts
    if retries >= policy.max_attempts:
        detail = f"Given up after {retries} tries; nothing was ordered. The last one: {refusal}"
        return _fenced(row, State.FAILED, Reason.UPSTREAM_UNAVAILABLE, detail, retries=retries)
    wait = backoff(max(1, retries), policy.backoff_base, policy.backoff_cap)
    due_at = now + max(wait, refusal.retry_after or timedelta())
    return _fenced(row, State.QUEUED, refusal.reason, str(refusal), due_at, retries=retries)


def _after_look(claim: Claim, outcome: Outcome, policy: Policy, now: datetime) -> Move:
    row = claim.request
    match outcome:
        case Completed():
            return _ours(row.id, outcome, "look_up", policy, now)
        case Accepted() if row.state is not State.ACCEPTED:
            return _ours(row.id, outcome, "look_up", policy, now)
        case Rejected(reason, detail):
            return _fenced(row, State.FAILED, reason, detail, actor="look_up")
        case WrongAccount():
            return _fenced(row, State.HELD, Reason.WRONG_ACCOUNT, str(outcome), actor="look_up")
        case OutcomeUnknown():
            return _fenced(row, State.HELD, Reason.OUTCOME_UNKNOWN, str(outcome), actor="look_up")
        case NotFound() if row.state is State.SUBMITTING:
            return _absent(claim, policy, now)
        case _:
            return _still_open(row, outcome, policy, now)


def _absent(claim: Claim, policy: Policy, now: datetime) -> Move:
    """The upstream shows no trace of an order of unknown outcome.

    Its list may lag, so one look is not proof. A second one, begun when the settling time had passed, is: then
    the order is made again. (A look that was not answered, or whose worker died, is none.)
    """
    row = claim.request
    assert row.unknown_since is not None  # the claim set it
    settled_at = row.unknown_since + policy.settling
    looked_at = row.updated_at  # the claim's own time: before the question was asked
    if row.absent_at is None or looked_at < settled_at:
        detail = "Not to be seen at the upstream; looked at once more when the settling time has passed."
        due_at = max(settled_at, now + FIRST_LOOK)
        absent_at = row.absent_at or now
        return _fenced(
            row, State.SUBMITTING, Reason.OUTCOME_UNKNOWN, detail, due_at, actor="look_up", absent_at=absent_at
        )
    retries = row.retries + 1
    if retries >= policy.max_attempts:
        detail = f"Given up after {retries} tries; the upstream shows no order."
        return _fenced(row, State.FAILED, Reason.UPSTREAM_UNAVAILABLE, detail, actor="look_up", retries=retries)
    detail = "The upstream shows no order, also after the settling time: it is ordered again."
    changes = {"retries": retries, "looks": 0, "unknown_since": None, "repeated": True}
    return _fenced(row, State.QUEUED, None, detail, now, actor="look_up", **changes)


def _still_open(row: Request, outcome: Outcome, policy: Policy, now: datetime) -> Move:
    """Nothing new was learnt, or the upstream could not be asked: look again later, ever more seldom."""
    waits_for_callback = row.state is State.ACCEPTED
    # Twice as long after the acknowledgement as this look: 5, 10, 20, 40 minutes after it.
    first = policy.callback_deadline / 2 if waits_for_callback else policy.backoff_base
    due_at = now + min(first * float(2 ** min(row.looks, 20)), LONGEST_BETWEEN_LOOKS)
    detail = _said(outcome)
    if waits_for_callback and row.looks >= MOST_LOOKS:
        return _fenced(row, State.HELD, Reason.CALLBACK_MISSING, detail, actor="look_up")
    if row.unknown_since is not None and now - row.unknown_since > LONGEST_UNKNOWN:
        return _fenced(row, State.HELD, Reason.OUTCOME_UNKNOWN, detail, actor="look_up")
    return _fenced(row, row.state, row.reason, detail, due_at, actor="look_up")


def _fenced(
    row: Request,
    to: State,
    reason: str | None,
    detail: str | None,
    due_at: datetime | None = None,
    *,
    actor: str = "worker",
    **changes: Any,
) -> Move:
    return Move(row.id, to, actor, reason, detail, due_at, row.fence, changes)


def _said(outcome: Outcome) -> str:
    match outcome:
        case NotFound():
            return "The upstream had accepted it, and its list does not show it."
        case Progress(detail) | Accepted(detail=detail):
            return detail or "The upstream has it and has not finished."
        case _:
            return str(outcome)


def name_of(outcome: Outcome) -> str:
    """One of the five answers or three failures, as a word for history and metrics: `accepted`, `outcome_unknown`…"""
    return _NAMES.get(type(outcome), "unavailable")


def answer_class(outcome: Outcome) -> str:
    """As `name_of`, with the two answers told apart that on call acts on in another way: `over_limit`, `out_of_stock`.
    One of `ANSWER_CLASSES`."""
    reason = getattr(outcome, "reason", None)
    return reason.value if isinstance(reason, Reason) and reason in _TOLD_APART else name_of(outcome)


_TOLD_APART = frozenset({Reason.OVER_LIMIT, Reason.OUT_OF_STOCK})

_NAMES: dict[type, str] = {
    Completed: "completed",
    Accepted: "accepted",
    Rejected: "rejected",
    Progress: "progress",
    NotFound: "not_found",
    Unavailable: "unavailable",
    Misconfigured: "misconfigured",
    Stopped: "stopped",
    OutcomeUnknown: "outcome_unknown",
    Undecidable: "undecidable",
    WrongAccount: "wrong_account",
}

ANSWER_CLASSES = tuple(sorted({*_NAMES.values(), *(reason.value for reason in _TOLD_APART)} - {_NAMES[Stopped]}))
"""Of calls that were made."""
