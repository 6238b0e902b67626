"""How things stand, for overviews: each answer is bounded, so that a table of millions costs what a small one does."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models.dead_letter import DeadLetter
from models.delivery import Delivery, DeliveryState, in_state
from models.due import PRIORITIES
from models.inbox import Received
from models.request import Request
from models.requester import Requester
from models.state import OPEN, Reason, State

MOST = 10_000
"""What is counted by reading rows is counted up to this: who has more of it knows enough."""


def oldest_by_state(session: Session) -> dict[State, datetime]:
    """When the oldest request was made that is in each open state. Asked of each requester, as the index goes."""
    found: dict[State, datetime] = {}
    for state in sorted(OPEN):
        of_one = sa.select(Request.created_at).where(Request.requester_id == Requester.id, Request.state == state)
        oldest = of_one.order_by(Request.id).limit(1).correlate(Requester).scalar_subquery()
        times = list(filter(None, session.scalars(sa.select(oldest).select_from(Requester))))
        if times:
            found[state] = min(times)
    return found


def oldest_due(session: Session, upstream: str) -> datetime | None:
    """Since when the oldest due request of an upstream has been due. Each priority is asked for by itself: so the index
    gives its first entry, and is not read through."""
    due = sa.select(sa.func.min(Request.due_at)).where(Request.upstream == upstream, Request.due_at.is_not(None))
    oldest = [session.scalar(due.where(Request.priority == priority)) for priority in PRIORITIES]
    return min((due_at for due_at in oldest if due_at is not None), default=None)


def held_by_reason(session: Session) -> dict[tuple[str, str], int]:
    """How many are held, by upstream and reason."""
    return _counted(session, [Request.state == State.HELD])


def unknown(session: Session) -> dict[str, int]:
    """Of how many orders nobody knows whether they reached their upstream, by upstream; without those held for it."""
    reason = Request.reason == Reason.OUTCOME_UNKNOWN.value
    return _by_upstream(_counted(session, [reason, Request.state == State.SUBMITTING]))


def out_of_stock(session: Session) -> dict[str, int]:
    """How many wait for stock, by upstream."""
    return _by_upstream(_counted(session, [Request.reason == Reason.OUT_OF_STOCK.value, Request.state == State.QUEUED]))


def _by_upstream(counts: dict[tuple[str, str], int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for (upstream, _), count in counts.items():
        found[upstream] = found.get(upstream, 0) + count
    return found


def _counted(session: Session, conditions: Iterable[sa.ColumnElement[bool]]) -> dict[tuple[str, str], int]:
    of_all = Request.requester_id.in_(sa.select(Requester.id))
    some = sa.select(Request.upstream, Request.reason).where(of_all, *conditions).limit(MOST).subquery()
    columns = (some.c.upstream, some.c.reason)
    rows = session.execute(sa.select(*columns, sa.func.count()).group_by(*columns))
    return {(upstream, reason or ""): count for upstream, reason, count in rows}


def contradicted(session: Session) -> int:
    return _bounded(session, sa.select(Request.id).where(Request.contradicted_at.is_not(None)))


def not_understood(session: Session) -> int:
    """What upstreams told us that nothing could be made of."""
    return _bounded(session, sa.select(Received.id).where(Received.problem.is_not(None)))


def dead_letters(session: Session) -> int:
    """Requests on the queue that could not be taken."""
    return _bounded(session, sa.select(DeadLetter.id).where(DeadLetter.settled_at.is_(None)))


def failed_deliveries(session: Session) -> int:
    return _bounded(session, sa.select(Delivery.id).where(in_state(DeliveryState.FAILED)))


def _bounded(session: Session, rows: sa.Select[UUID]) -> int:
    return session.scalar(sa.select(sa.func.count()).select_from(rows.limit(MOST).subquery())) or 0
