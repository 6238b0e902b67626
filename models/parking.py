"""Parking: requests that are due at a paused upstream, or of a paused batch, step aside, say why, and come back when it
is resumed. So does what waits for a spending limit when there is room. Those of a batch that was cancelled end here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models import counter, spending, upstream
from models.batch import STEERED, Batch, BatchState
from models.due import NO_CEILINGS, PRIORITIES
from models.request import BATCH_PAUSED, OVER_LIMIT, PARKED, Request, line
from models.state import Reason, State
from models.transition import Move, apply
from models.upstream import Pause

CHUNK = 2_000
"""Requests in one round of the relay, a second: a backlog of any length is parked and brought back piece by piece."""


def sort_out(session: Session, now: datetime, ceilings: Mapping[str, int] = NO_CEILINGS) -> int:
    """Park what is due where nothing may be ordered, bring back what may be ordered again; returns how many moved.

    Both in one place, and both again and again: so a pause that is lifted while rows are being parked leaves none
    behind.
    """
    pauses = upstream.pauses(session)
    moved = sum(_park(session, pause, now) for pause in pauses) + _bring_back(session, pauses, now)
    for subject, room in spending.waited_for(session, ceilings, now).items():
        moved += _let_on(session, subject, CHUNK if room is None else min(room, CHUNK), now)
    return moved + sum(_of_batch(session, batch, now) for batch in _steered(session))


def _park(session: Session, pause: Pause, now: datetime) -> int:
    if pause.upstream != upstream.ALL:
        return _park_at(session, pause.upstream, pause, now)
    queued = {name for (name, state), count in counter.by_upstream(session).items() if state is State.QUEUED and count}
    return sum(_park_at(session, name, pause, now) for name in sorted(queued))


def _park_at(session: Session, name: str, pause: Pause, now: datetime) -> int:
    is_all = pause.upstream == upstream.ALL
    until = "anywhere until a person resumes all upstreams" if is_all else f"at {name} until a person resumes it"
    detail = f"Nothing is ordered {until}. It was paused: {pause.detail}"
    due = (Request.upstream == name, Request.priority.in_(PRIORITIES), Request.due_at <= now)
    rows = _locked(session, *due, Request.state == State.QUEUED)
    moves = [Move(row.id, State.QUEUED, "relay", Reason.UPSTREAM_PAUSED, detail) for row in rows]
    apply(session, {row.id: row for row in rows}, moves, now)
    return len(rows)


def _bring_back(session: Session, pauses: list[Pause], now: datetime) -> int:
    paused = [pause.upstream for pause in pauses]
    if upstream.ALL in paused:
        return 0
    rows = _locked(session, PARKED, Request.upstream.not_in(paused))
    moves = [Move(row.id, State.QUEUED, "relay", detail="Its upstream was resumed.", due_at=now) for row in rows]
    apply(session, {row.id: row for row in rows}, moves, now)
    return len(rows)


def _let_on(session: Session, subject: str, room: int, now: datetime) -> int:
    """Those that have waited longest for this limit, where it was raised or a place was given back."""
    if room <= 0:
        return 0
    some = sa.select(Request).where(OVER_LIMIT, Request.over_limit_of == subject, Request.due_at > now)
    rows = list(session.scalars(some.order_by(Request.id).limit(room).with_for_update(skip_locked=True)))
    moves = [Move(row.id, State.QUEUED, "relay", detail="There is room below the limit.", due_at=now) for row in rows]
    apply(session, {row.id: row for row in rows}, moves, now)
    return len(rows)


def _steered(session: Session) -> list[Batch]:
    return list(session.scalars(sa.select(Batch).where(STEERED).with_for_update(skip_locked=True)))


def _of_batch(session: Session, batch: Batch, now: datetime) -> int:
    match batch.state:
        case BatchState.PAUSED:
            return _park_batch(session, batch, now)
        case BatchState.RUNNING:
            moved = _bring_back_batch(session, batch, now)
            batch.is_steered = moved == CHUNK
            return moved
        case BatchState.CANCELLED:
            batch.is_steered = batch.finished_at is None
            return _cancel_batch(session, batch, now)
        case BatchState.FINISHED:
            batch.is_steered = False
            return 0


def _park_batch(session: Session, batch: Batch, now: datetime) -> int:
    detail = f"Its batch was paused by {batch.steered_by}."
    rows = [row for name in counter.waiting_in(session, batch.id) for row in _due_in(session, batch, name, now)]
    moves = [Move(row.id, State.QUEUED, "relay", Reason.BATCH_PAUSED, detail) for row in rows]
    apply(session, {row.id: row for row in rows}, moves, now)
    return len(rows)


def _due_in(session: Session, batch: Batch, upstream_name: str, now: datetime) -> list[Request]:
    due = (Request.upstream == upstream_name, Request.priority.in_(PRIORITIES), Request.due_at <= now)
    return _locked(session, *due, line() == batch.id, Request.state == State.QUEUED)


def _bring_back_batch(session: Session, batch: Batch, now: datetime) -> int:
    rows = _locked(session, BATCH_PAUSED, Request.batch_id == batch.id)
    moves = [Move(row.id, State.QUEUED, "relay", detail="Its batch was resumed.", due_at=now) for row in rows]
    apply(session, {row.id: row for row in rows}, moves, now)
    return len(rows)


def _cancel_batch(session: Session, batch: Batch, now: datetime) -> int:
    """Also those that come back from an order that was refused for now: until the last has ended."""
    if not counter.waiting_in(session, batch.id):
        return 0
    detail = f"Its batch was cancelled by {batch.steered_by} before it was ordered."
    rows = _locked(session, Request.batch_id == batch.id, Request.state == State.QUEUED)
    moves = [Move(row.id, State.CANCELLED, "relay", Reason.BY_PERSON, detail) for row in rows]
    apply(session, {row.id: row for row in rows}, moves, now)
    return len(rows)


def _locked(session: Session, *conditions: sa.ColumnElement[bool] | sa.TextClause) -> list[Request]:
    statement = sa.select(Request).where(*conditions).limit(CHUNK)
    return list(session.scalars(statement.with_for_update(skip_locked=True)))
