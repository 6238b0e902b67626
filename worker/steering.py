"""What a person may do to a request: cancel it, have it looked at now, or settle it by hand."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models import act as audit
from models import event
from models.base import rfc3339
from models.event import Entry, EventKind
from models.holding import held_by_others
from models.request import Kind, Request
from models.state import FINAL, Reason, State
from models.transition import Move, apply, lock


class NotNow(Exception):
    """The request is not in a state that allows it; the message says why and what can be done instead."""


class Outcome(StrEnum):
    """How a person settles a held request."""

    COMPLETED = "completed"  # the number is ours, whatever the upstream says
    FAILED = "failed"  # nothing was bought, or it was given back by hand
    RETRY = "retry"  # order it again: spends money, and twice where the first order did land


class Act(StrEnum):
    """What a person may do to a request."""

    RETRY = "retry"  # look at it now
    SEND_NOW = "send_now"  # a release that can still be cancelled
    CANCEL = "cancel"
    COMPLETED = "resolve_completed"
    FAILED = "resolve_failed"
    ORDER_AGAIN = "resolve_retry"


@dataclass(frozen=True, slots=True)
class Refused:
    """An act that did not happen to a request: why, or that there is no such request."""

    why: str
    is_gone: bool = False


def allowed(row: Request, now: datetime) -> list[Act]:
    """What is not refused for the state that the request is in: asked of the very functions that do it."""
    return [one for one in Act if _is_allowed(one, row, now)]


def cancel(session: Session, request_id: UUID, actor: str, now: datetime, note: str | None = None) -> Request:
    """Withdraw a request that is not ordered. `note` says why. Raises NotNow, LookupError."""
    audit.record(session, actor, "request.cancel", request_id, now, note)
    return _steer(session, request_id, lambda row: decide(Act.CANCEL, row, note, actor, now), now)


def retry(session: Session, request_id: UUID, actor: str, now: datetime, note: str | None = None) -> Request:
    """Have it looked at now. What may have been ordered is looked up, not ordered again, and a release is not sent
    before its time. `note` says why.

    Raises NotNow, LookupError.
    """
    audit.record(session, actor, "request.retry", request_id, now, note)
    return _steer(session, request_id, lambda row: decide(Act.RETRY, row, note, actor, now), now, note)


def hasten(session: Session, request_id: UUID, actor: str, now: datetime, note: str | None = None) -> Request:
    """Send a release now that can still be cancelled. Raises NotNow where it is sent already, LookupError."""
    audit.record(session, actor, "request.send_now", request_id, now, note)
    return _steer(session, request_id, lambda row: decide(Act.SEND_NOW, row, note, actor, now), now)


def resolve(
    session: Session,
    request_id: UUID,
    outcome: Outcome,
    number: str | None,
    note: str | None,
    actor: str,
    now: datetime,
) -> Request:
    """Settle a held request by hand. Raises NotNow, LookupError.

    An order that got its number is told with that number: one that we do not know of has to be said.
    """

    def settling(row: Request) -> Move:
        move = _resolving(row, outcome, number, note, actor, now)
        if outcome is Outcome.COMPLETED and row.kind is Kind.PROVISION and (number or row.number) is None:
            raise NotNow("say which number it got, as the upstream's portal shows it")
        if "number" in move.changes and number is not None:
            _require_free(session, row, number)
        return move

    told = {"outcome": outcome.value} | ({} if number is None else {"number": number})
    audit.record(session, actor, "request.resolve", request_id, now, note, told)
    return _steer(session, request_id, settling, now)


def _cancelling(row: Request, actor: str) -> Move:
    if row.state is State.QUEUED:
        before = "ordered again; the first order is not to be seen" if row.repeated else "ordered"
        return Move(row.id, State.CANCELLED, actor, Reason.BY_PERSON, f"Cancelled before it was {before}.")
    if row.state is State.HELD:
        detail = f"Cancelled while held ({row.reason}); what was ordered upstream, if anything, stays there."
        return Move(row.id, State.CANCELLED, actor, Reason.BY_PERSON, detail)
    if row.state in FINAL:
        raise NotNow(f"it has ended already: it is {row.state}")
    raise NotNow(f"it is {row.state}: the order is on its way or out; wait for its end, then release the number")


def _retrying(row: Request, actor: str, now: datetime) -> Move:
    if row.state in FINAL:
        raise NotNow(f"it has ended already: it is {row.state}; make a new request to order again")
    if row.kind is Kind.RELEASE and _waits_for_its_time(row, now):
        raise NotNow(f"it is sent at {rfc3339(row.due_at)}, and can be cancelled until then")
    if row.state is State.QUEUED:
        return Move(row.id, State.QUEUED, actor, row.reason, row.detail, now)
    if row.state is State.ACCEPTED:
        return Move(row.id, State.ACCEPTED, actor, row.reason, row.detail, now)
    if row.accepted_at is not None:
        # The upstream had acknowledged it: never a case for ordering again, however long nothing is seen.
        return Move(row.id, State.ACCEPTED, actor, None, "A person asked to look again.", now, changes={"looks": 0})
    if row.state is State.HELD or row.reason == Reason.OUTCOME_UNKNOWN:
        detail = "A person asked to look again."
        changes: dict[str, Any] = {"looks": 0, "unknown_since": now, "absent_at": None}
        return Move(row.id, State.SUBMITTING, actor, Reason.OUTCOME_UNKNOWN, detail, now, changes=changes)
    raise NotNow("it is being ordered right now; look again in a moment")


def _hastening(row: Request, actor: str, now: datetime) -> Move:
    if row.kind is not Kind.RELEASE or not _waits_for_its_time(row, now):
        raise NotNow(f"it is {row.state}" if row.kind is Kind.RELEASE else "only a release waits to be sent")
    return Move(row.id, State.QUEUED, actor, row.reason, "A person asked to send it now.", now)


def _waits_for_its_time(row: Request, now: datetime) -> bool:
    return row.state is State.QUEUED and row.attempts == 0 and row.due_at is not None and row.due_at > now


def _resolving(row: Request, outcome: Outcome, number: str | None, note: str | None, actor: str, now: datetime) -> Move:
    if row.state is not State.HELD:
        raise NotNow(f"only a held request can be settled by hand; this one is {row.state}")
    detail = note or f"Settled by hand as {outcome}."
    if outcome is Outcome.RETRY:
        changes: dict[str, Any] = {"retries": 0, "looks": 0, "unknown_since": None}
        changes |= {"accepted_at": None, "repeated": True}
        if row.kind is Kind.PROVISION and row.accepted_at is None:
            # A number that was picked, and of which nobody can tell whose it is: asked for again, it would
            # only be held again.
            changes |= {"number": None, "upstream_reference": None}
        return Move(row.id, State.QUEUED, actor, Reason.BY_PERSON, detail, now, changes=changes)
    changes = {}
    if number is not None and number != row.number:
        # What we know of the number that it was not must not be taken out on it.
        changes = {"number": number, "upstream_reference": None, "pool": None}
    return Move(row.id, State(outcome.value), actor, Reason.BY_PERSON, detail, changes=changes)


def decide(act: Act, row: Request, note: str | None, actor: str, now: datetime) -> Move:
    """The move that an act makes where nothing more is said about the request. Raises NotNow."""
    match act:
        case Act.CANCEL:
            return _because(_cancelling(row, actor), note)
        case Act.RETRY:
            move = _retrying(row, actor, now)
            return move if move.detail == row.detail else _because(move, note)
        case Act.SEND_NOW:
            return _because(_hastening(row, actor, now), note)
        case Act.COMPLETED:
            return _resolving(row, Outcome.COMPLETED, None, note, actor, now)
        case Act.FAILED:
            return _resolving(row, Outcome.FAILED, None, note, actor, now)
        case Act.ORDER_AGAIN:
            return _resolving(row, Outcome.RETRY, None, note, actor, now)


def _because(move: Move, note: str | None) -> Move:
    return move if note is None else replace(move, detail=f"{move.detail} Why: {note}")


def _is_allowed(act: Act, row: Request, now: datetime) -> bool:
    try:
        decide(act, row, None, "", now)
    except NotNow:
        return False
    return True


def steer_set(
    session: Session,
    ids: Iterable[UUID],
    act: Act,
    note: str,
    actor: str,
    now: datetime,
    still: Collection[sa.ColumnElement[bool]] = (),
) -> dict[UUID, Request | Refused]:
    """Do this to each of these requests, in one transaction with the caller; what became of each.

    `note` says why. A request of which the conditions `still` are not true any more is refused.
    """
    wanted = list(ids)
    locked = lock(session, wanted)
    matching = set(session.scalars(sa.select(Request.id).where(Request.id.in_(wanted), *still)))
    outcomes: dict[UUID, Request | Refused] = {}
    moves: list[Move] = []
    for id_ in wanted:
        found = _move_of(locked.get(id_), act, note, actor, now, is_still_meant=id_ in matching)
        if isinstance(found, Move):
            moves.append(found)
            outcomes[id_] = locked[id_]
        else:
            outcomes[id_] = found
    meant = {move.request_id: locked[move.request_id] for move in moves}
    event.append(session, [_note_of(meant[one.request_id], one, now, note) for one in moves if _stays(meant, one)])
    apply(session, meant, moves, now)
    return outcomes


def _move_of(
    row: Request | None, act: Act, note: str, actor: str, now: datetime, *, is_still_meant: bool
) -> Move | Refused:
    if row is None:
        return Refused("there is no such request any more", is_gone=True)
    try:
        move = decide(act, row, note, actor, now)
        if act is Act.COMPLETED and row.kind is Kind.PROVISION and row.number is None:
            raise NotNow("it has to be said which number it got: settle it by itself")
        if not is_still_meant:
            reason = "" if row.reason is None else f" ({row.reason})"
            raise NotNow(f"it has moved, and is not what was asked for any more: it is {row.state}{reason}")
    except NotNow as error:
        return Refused(str(error))
    return move


def _stays(rows: Mapping[UUID, Request], move: Move) -> bool:
    """Whether history, which tells moves, would not tell of this one."""
    row = rows[move.request_id]
    return (move.to, move.reason) == (row.state, row.reason)


def _note_of(row: Request, move: Move, now: datetime, note: str | None = None) -> Entry:
    told = move.detail if move.detail not in (None, row.detail) else "A person asked to look at it now."
    if note is not None and note not in (told or ""):
        told = f"{told} Why: {note}"
    return Entry(row.id, now, EventKind.NOTE, move.actor, reason="retry", detail=told)


def _require_free(session: Session, row: Request, wanted: str) -> None:
    """Raises NotNow where the number is somebody else's: to say that it is ours would take it from them."""
    if held_by_others(session, row.requester_id, [(row.upstream, wanted)]):
        raise NotNow(f"{wanted} is held by another requester")


def _steer(
    session: Session, request_id: UUID, moved: Callable[[Request], Move], now: datetime, note: str | None = None
) -> Request:
    locked = lock(session, [request_id])
    if request_id not in locked:
        raise LookupError(str(request_id))
    row = locked[request_id]
    move = moved(row)
    if _stays(locked, move):
        event.append(session, [_note_of(row, move, now, note)])
    apply(session, locked, [move], now)
    return row
