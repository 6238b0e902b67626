"""Reading the inbox: what upstreams sent is understood here, in sets, and written down through the one door."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from models import delivery, event, transition
from models.base import REFUSED_VALUE, write
from models.due import claim, settle
from models.event import Entry, EventKind
from models.inbox import Purpose, Received
from models.request import Request
from models.transition import Move
from worker import logs, ownership, tracing
from worker.decision import evidence, name_of
from worker.runtime import Runtime
from worker.signing import PORTAL
from worker.upstreams import DIALECTS
from worker.upstreams.base import Answer, Dialect, FinishedCall, InboundMessage, Incoming, Unreadable

log = logging.getLogger(__name__)

CHUNK = 200

LEASE = timedelta(seconds=15)
"""Reading a chunk takes well under a second; a process that died leaves its rows to others after this. To read a row
twice does no harm."""

NO_READER = "Trunkline knows no such upstream; it is kept as it came."
NO_REQUEST = "No such request. (The token is good: was the database restored from a backup?)"
NOT_OURS = "None of our numbers then, as far as we know: {}."

PLACED_WITHIN = 9
"""Times that an event is read whose number we do not hold: it may have been quicker than the order's own answer."""

FIRST_WAIT = timedelta(seconds=15)
"""Before the second reading; doubles, so that the last is an hour after the event, as long as `models.number.EARLY`."""

OUR_FAULT = "Trunkline's own reader failed: {}"

Events = Sequence[FinishedCall] | Sequence[InboundMessage]


@dataclass(frozen=True, slots=True)
class _Read:
    """An inbox row, and what it says; `problem` where it says nothing that we understand."""

    row: Received
    answer: Answer | None = None
    events: Events = ()
    problem: str | None = None


def read_inbox(runtime: Runtime) -> bool:
    """Understand and apply what came, one chunk of it. Says whether there may be more."""
    rows = write(runtime.engine, lambda session: claim(session, Received, CHUNK, runtime.clock.now(), LEASE))
    if not rows:
        return False
    read = [_traced(row) for row in rows]
    try:
        write(runtime.engine, lambda session: apply(session, runtime, read, runtime.clock.now()))
    except REFUSED_VALUE:
        # One row holds what the database refuses. Alone, it cannot keep the others from being applied.
        for one in read:
            _apply_alone(runtime, one)
    return len(rows) == CHUNK


def _apply_alone(runtime: Runtime, read: _Read) -> None:
    try:
        write(runtime.engine, lambda session: apply(session, runtime, [read], runtime.clock.now()))
    except REFUSED_VALUE as error:
        with _about(read.row):
            log.warning("the database refuses what inbox row %s says: %s", read.row.id, type(error).__name__)
        problem = _Read(read.row, problem="The database cannot hold what it says.")
        write(runtime.engine, lambda session: apply(session, runtime, [problem], runtime.clock.now()))


def _about(row: Received) -> AbstractContextManager[None]:
    request_id = None if row.request_id == PORTAL else row.request_id
    return logs.about(upstream=row.upstream, request_id=request_id, inbox_id=row.id)


def _traced(row: Received) -> _Read:
    of = row.id if row.request_id == PORTAL else row.request_id
    with tracing.span("read", of, upstream=row.upstream, inbox_id=row.id, purpose=row.purpose.value) as span:
        read = _read(DIALECTS.get(row.upstream), row)
        if read.problem is not None:
            span.fail("unreadable")
    return read


def what_to_do(row: Received) -> str:
    """What a person can do about something that was received, in a sentence or two."""
    problem = row.problem
    if row.due_at is not None:
        return "Nothing: a worker reads it, again where it could not be placed yet. If it waits long: trunkline doctor."
    if problem is None:
        return "Nothing: it was understood, and applied."
    if problem == NO_READER:
        return f"See that processes of a release that knows {row.upstream} are the ones that run: trunkline doctor."
    if problem == NO_REQUEST or problem.startswith(NOT_OURS.format("")[:-1]):
        return f"Compare our books with the upstream's: trunkline reconcile --upstream {row.upstream}."
    if problem.startswith(OUR_FAULT.format("")):
        return "Report it to who maintains Trunkline, with what was sent. It is kept, and nothing is lost."
    settle = f"Look at what it is about: trunkline explain {row.request_id}. " if row.request_id != PORTAL else ""
    return f"{settle}Ask {row.upstream} what they mean by it, if it comes again."


def _read(dialect: Dialect | None, row: Received) -> _Read:
    incoming = Incoming(row.method, row.query, row.content_type, row.body)
    if dialect is None:
        return _Read(row, problem=NO_READER)
    try:
        match row.purpose:
            case Purpose.CALLBACK:
                return _Read(row, answer=dialect.read_completion(incoming))
            case Purpose.CALL:
                return _Read(row, events=dialect.read_calls(incoming))
            case Purpose.SMS:
                return _Read(row, events=dialect.read_messages(incoming))
    except Unreadable as error:
        return _Read(row, problem=str(error))
    except Exception as error:
        # A fault of ours in reading one row must not keep the others waiting. It stays in the inbox, visible.
        with _about(row):
            log.exception("cannot read inbox row %s from %s", row.id, row.upstream)
        return _Read(row, problem=OUR_FAULT.format(type(error).__name__))


def apply(session: Session, runtime: Runtime, read: Sequence[_Read], now: datetime) -> None:
    """Write down what was read: history, moves, calls and messages; each row done, or set aside with its problem."""
    requests = transition.lock(session, {one.row.request_id for one in read if one.row.request_id != PORTAL})
    event.append(session, [_entry(one) for one in read if one.row.request_id in requests])
    moves = [move for one in read if (move := _move(runtime, one, requests.get(one.row.request_id), now)) is not None]
    transition.apply(session, requests, moves, now)
    happened = [ownership.Happened(one.row, said) for one in read for said in one.events]
    placed = ownership.place(session, happened, requests)
    delivery.file(session, ownership.keep(session, placed), now)
    homeless = {id(one.row): one for one in happened if one not in placed}
    for one in read:
        lost = homeless.get(id(one.row))
        is_placed = bool(one.events) and lost is None
        is_known = is_placed or one.row.request_id == PORTAL or one.row.request_id in requests
        _settle(one, now, is_known=is_known, lost=lost)
    settle(session, Received, [one.row for one in read], ("due_at", "problem", "applied_at"))


def _settle(one: _Read, now: datetime, *, is_known: bool, lost: ownership.Happened | None) -> None:
    row = one.row
    row.due_at = None
    row.problem = one.problem or (None if is_known else NO_REQUEST)
    if row.problem is None and lost is not None:
        row.problem = NOT_OURS.format(lost.said.number or "it names no number")
        if row.attempts < PLACED_WITHIN:
            row.due_at = now + FIRST_WAIT * float(2 ** (row.attempts - 1))
    row.applied_at = now if row.problem is None else None


def _move(runtime: Runtime, one: _Read, request: Request | None, now: datetime) -> Move | None:
    if one.answer is None or request is None:
        return None
    return evidence(request, one.answer, "callback", runtime.policy(one.row.upstream), now)


def _entry(one: _Read) -> Entry:
    says, detail = "unreadable", one.problem
    if one.answer is not None:
        says, detail = name_of(one.answer), getattr(one.answer, "detail", None)
    elif one.problem is None:
        says = "call" if one.row.purpose is Purpose.CALL else "message"
        detail = next((said.status for said in one.events if isinstance(said, FinishedCall)), None)
    data = {"says": says, "purpose": one.row.purpose.value, "method": one.row.method, "inbox": str(one.row.id)}
    return Entry(
        one.row.request_id, one.row.received_at, EventKind.CALLBACK, one.row.upstream, detail=detail, data=data
    )
