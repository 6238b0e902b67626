"""Reading the inbox: what upstreams sent is understood here, in sets, and written down through the one door."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from models import call, delivery, event, transition
from models.base import REFUSED_VALUE, new_id, utc_now, write
from models.due import claim, settle
from models.endpoint import EventType
from models.event import Entry, EventKind
from models.inbox import Purpose, Received
from models.request import Request
from models.transition import Move
from worker.decision import evidence, name_of
from worker.runtime import Runtime
from worker.upstreams import DIALECTS
from worker.upstreams.base import Answer, Dialect, FinishedCall, Incoming, Unreadable

log = logging.getLogger(__name__)

CHUNK = 200

LEASE = timedelta(seconds=60)
"""Reading a chunk takes well under a second; a process that died leaves its rows to others after this."""

NO_READER = "Trunkline does not read this kind of event from this upstream; it is kept as it came."
NO_REQUEST = "No such request. (The token is good: was the database restored from a backup?)"


@dataclass(frozen=True, slots=True)
class _Read:
    """An inbox row, and what it says; `problem` where it says nothing that we understand."""

    row: Received
    said: Answer | FinishedCall | None = None
    problem: str | None = None


def read_inbox(runtime: Runtime) -> bool:
    """Understand and apply what came, one chunk of it. Says whether there may be more."""
    rows = write(runtime.engine, lambda session: claim(session, Received, CHUNK, utc_now(), LEASE))
    if not rows:
        return False
    read = [_read(DIALECTS.get(row.upstream), row) for row in rows]
    try:
        write(runtime.engine, lambda session: apply(session, runtime, read, utc_now()))
    except REFUSED_VALUE:
        # One row holds what the database refuses. Alone, it cannot keep the others from being applied.
        for one in read:
            _apply_alone(runtime, one)
    return len(rows) == CHUNK


def _apply_alone(runtime: Runtime, read: _Read) -> None:
    try:
        write(runtime.engine, lambda session: apply(session, runtime, [read], utc_now()))
    except REFUSED_VALUE as error:
        log.warning("the database refuses what inbox row %s says: %s", read.row.id, type(error).__name__)
        problem = _Read(read.row, problem="The database cannot hold what it says.")
        write(runtime.engine, lambda session: apply(session, runtime, [problem], utc_now()))


def _read(dialect: Dialect | None, row: Received) -> _Read:
    incoming = Incoming(row.method, row.query, row.content_type, row.body)
    try:
        if dialect is not None and row.purpose is Purpose.CALLBACK:
            return _Read(row, dialect.read_completion(incoming))
        if dialect is not None and row.purpose is Purpose.CALL:
            return _Read(row, dialect.read_call(incoming))
    except Unreadable as error:
        return _Read(row, problem=str(error))
    except Exception as error:
        # A fault of ours in reading one row must not keep the others waiting. It stays in the inbox, visible.
        log.exception("cannot read inbox row %s from %s", row.id, row.upstream)
        return _Read(row, problem=f"Trunkline's own reader failed: {type(error).__name__}")
    return _Read(row, problem=NO_READER)


def apply(session: Session, runtime: Runtime, read: Sequence[_Read], now: datetime) -> None:
    """Write down what was read: history, moves and calls; each row done, or set aside with its problem."""
    requests = transition.lock(session, {one.row.request_id for one in read})
    event.append(session, [_entry(one) for one in read if one.row.request_id in requests])
    moves = [move for one in read if (move := _move(runtime, one, now)) is not None]
    transition.apply(session, requests, moves, now)
    notices = [
        notice
        for one in read
        if isinstance(one.said, FinishedCall) and (request := requests.get(one.row.request_id)) is not None
        if (notice := _keep_call(session, request, one.row, one.said)) is not None
    ]
    delivery.file(session, notices, now)
    for one in read:
        one.row.due_at = None
        one.row.problem = one.problem or (None if one.row.request_id in requests else NO_REQUEST)
        one.row.applied_at = now if one.row.problem is None else None
    settle(session, Received, [one.row for one in read], ("due_at", "problem", "applied_at"))


def _move(runtime: Runtime, one: _Read, now: datetime) -> Move | None:
    if one.said is None or isinstance(one.said, FinishedCall):
        return None
    policy = runtime.policy(one.row.upstream)
    return evidence(one.row.request_id, one.said, "callback", policy, now)


def _entry(one: _Read) -> Entry:
    if isinstance(one.said, FinishedCall):
        says, detail = "call", one.said.status
    elif one.said is not None:
        says, detail = name_of(one.said), getattr(one.said, "detail", None)
    else:
        says, detail = "unreadable", one.problem
    data = {"says": says, "purpose": one.row.purpose.value, "method": one.row.method, "inbox": str(one.row.id)}
    return Entry(
        one.row.request_id, one.row.received_at, EventKind.CALLBACK, one.row.upstream, detail=detail, data=data
    )


def _keep_call(session: Session, request: Request, row: Received, said: FinishedCall) -> delivery.Notice | None:
    """Store a call and say whom to tell; None where the upstream had told it before."""
    values = {
        "id": new_id(),
        "upstream": row.upstream,
        "upstream_reference": said.reference,
        "request_id": request.id,
        "requester_id": request.requester_id,
        "number": said.number or request.number,
        "caller": said.caller,
        "answer_point": said.answer_point,
        "status": said.status,
        "duration": said.duration,
        "started_at": said.started_at,
        "started_at_raw": said.started_at_raw,
        "parameters": dict(said.parameters),
        "received_at": row.received_at,
    }
    if not call.keep(session, values):
        return None
    return delivery.Notice(
        EventType.CALL_FINISHED,
        request.requester_id,
        call.view(call.Call(**values)),
        request_id=request.id,
        endpoint_id=request.endpoint_id,
        notify_url=request.notify_url,
    )
