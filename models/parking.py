"""Parking: requests that are due at a paused upstream step aside, say why, and come back when it is resumed."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models import upstream
from models.due import PRIORITIES
from models.request import PARKED, Request
from models.state import Reason, State
from models.transition import Move, apply
from models.upstream import Pause

CHUNK = 2_000
"""Requests in one round of the relay, a second: a backlog of any length is parked and brought back piece by piece."""


def sort_out(session: Session, now: datetime) -> int:
    """Park what is due where nothing may be ordered, bring back what may be ordered again; returns how many moved.

    Both in one place, and both again and again: so a pause that is lifted while rows are being parked leaves none
    behind.
    """
    pauses = upstream.pauses(session)
    return sum(_park(session, pause, now) for pause in pauses) + _bring_back(session, pauses, now)


def _park(session: Session, pause: Pause, now: datetime) -> int:
    detail = f"Nothing is ordered at {pause.upstream} until a person resumes it. It was paused: {pause.detail}"
    due = (Request.upstream == pause.upstream, Request.priority.in_(PRIORITIES), Request.due_at <= now)
    rows = _locked(session, *due, Request.state == State.QUEUED)
    moves = [Move(row.id, State.QUEUED, "relay", Reason.UPSTREAM_PAUSED, detail) for row in rows]
    apply(session, {row.id: row for row in rows}, moves, now)
    return len(rows)


def _bring_back(session: Session, pauses: list[Pause], now: datetime) -> int:
    rows = _locked(session, PARKED, Request.upstream.not_in([pause.upstream for pause in pauses]))
    moves = [Move(row.id, State.QUEUED, "relay", detail="Its upstream was resumed.", due_at=now) for row in rows]
    apply(session, {row.id: row for row in rows}, moves, now)
    return len(rows)


def _locked(session: Session, *conditions: sa.ColumnElement[bool] | sa.TextClause) -> list[Request]:
    statement = sa.select(Request).where(*conditions).limit(CHUNK)
    return list(session.scalars(statement.with_for_update(skip_locked=True)))
