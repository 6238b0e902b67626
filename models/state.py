"""The states of a request and the legal moves between them: the product on one screen.

    queued ──► submitting ──► accepted ──► completed | failed
      ▲  │         │  │           │
      │  │         │  └──► held ◄─┘          held: waits for a person
      │  │         │        │                cancelled: by a person, from queued or held
      └──┼─────────┴────────┘
         └──► cancelled | failed

An upstream that answers at once goes from `submitting` straight to `completed`. A callback may come before
the acknowledgement, or for an order that we thought lost: so every open state may become `completed`.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    QUEUED = "queued"  # not ordered; goes out when due
    SUBMITTING = "submitting"  # being ordered now, or ordered with an unknown outcome (`outcome_unknown`)
    ACCEPTED = "accepted"  # the upstream has it and will call back
    COMPLETED = "completed"  # done: the number is ours, or changed, or given up
    FAILED = "failed"  # refused or given up; nothing was bought
    HELD = "held"  # evidence cannot settle it: a person decides
    CANCELLED = "cancelled"  # a person withdrew it before it was ordered


class Reason(StrEnum):
    """Why a request is where it is: stable codes that programs may rely on."""

    OUT_OF_STOCK = "out_of_stock"  # waits for stock, or failed for want of it
    OUTCOME_UNKNOWN = "outcome_unknown"  # the order may or may not have reached the upstream
    UPSTREAM_PAUSED = "upstream_paused"  # nothing is ordered there until a person resumes it
    UPSTREAM_REJECTED = "upstream_rejected"  # the upstream said no
    UPSTREAM_UNAVAILABLE = "upstream_unavailable"  # provably not ordered; asked again after a pause
    DEADLINE_PASSED = "deadline_passed"  # waited until its deadline and was never ordered
    OVER_LIMIT = "over_limit"  # the upstream asked us to slow down
    WRONG_ACCOUNT = "wrong_account"  # the upstream answered for an account that is not ours
    CALLBACK_MISSING = "callback_missing"  # accepted long ago and never completed
    RELEASE_DELAY = "release_delay"  # a release that can still be cancelled
    EARLIER_CHANGE = "earlier_change"  # an earlier change of the same number goes first
    NOT_HELD = "not_held"  # the number was given up, or became another requester's, before the change was sent
    WORKERS_LOST = "workers_lost"  # worker after worker took it up and did not come back
    BATCH_PAUSED = "batch_paused"  # its batch is paused by a person
    SPENDING_LIMIT = "spending_limit"  # as many numbers were bought as may be: today, or for its key or batch
    BY_PERSON = "by_person"  # a person settled it


FINAL = frozenset({State.COMPLETED, State.FAILED, State.CANCELLED})

OPEN = frozenset(State) - FINAL

_Q, _S, _A, _C, _F, _H, _X = (
    State.QUEUED,
    State.SUBMITTING,
    State.ACCEPTED,
    State.COMPLETED,
    State.FAILED,
    State.HELD,
    State.CANCELLED,
)

MOVES: dict[State, frozenset[State]] = {
    #   from: to. Staying where one is, with another reason or due time, is a move too.
    _Q: frozenset({_Q, _S, _A, _C, _F, _H, _X}),  # _A, _C: late evidence of an order that looked absent
    _S: frozenset({_S, _Q, _A, _C, _F, _H}),
    _A: frozenset({_A, _C, _F, _H}),
    _H: frozenset({_H, _Q, _S, _A, _C, _F, _X}),  # _S: look again
    _C: frozenset(),
    _F: frozenset(),
    _X: frozenset(),
}


def is_legal(start: State, end: State) -> bool:
    return end in MOVES[start]
