"""Deleting old history, a portion at a time, while everything goes on.

What goes: the history of requests that ended long ago, results that were settled long ago with their tries, and what
upstreams sent and was applied. What stays for ever: requests with their idempotency keys (without them an old file that
is sent again would buy its numbers again), numbers, batches, keys, the audit, and all that is not settled or not
understood.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models.base import changed, first_id_of
from models.delivery import Delivery, DeliveryState
from models.delivery_attempt import DeliveryAttempt
from models.event import Event
from models.inbox import Received
from models.request import Request
from models.state import FINAL

PORTION = 2_000
"""Rows that are looked at in one transaction, which takes some ten milliseconds."""

FIRST = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Portion:
    """What was done: where to go on, None at the end; rows that were looked at; rows that went (or would)."""

    next: UUID | None
    seen: int
    gone: int


def _of_ended(before: datetime) -> sa.ColumnElement[bool]:
    ended = sa.select(Request.id).where(Request.id == Event.request_id, Request.state.in_(sorted(FINAL)))
    return sa.exists(ended.where(Request.finished_at < before))


def _is_settled(before: datetime) -> sa.ColumnElement[bool]:
    return sa.and_(Delivery.due_at.is_(None), Delivery.state != DeliveryState.PENDING, Delivery.created_at < before)


def _is_applied(before: datetime) -> sa.ColumnElement[bool]:
    return sa.and_(Received.due_at.is_(None), Received.problem.is_(None), Received.received_at < before)


_CONDITIONS: Mapping[str, tuple[Any, Any]] = MappingProxyType(
    {"history": (Event, _of_ended), "results": (Delivery, _is_settled), "received": (Received, _is_applied)}
)

KINDS = tuple(_CONDITIONS)
"""What is deleted, in the words that people see."""


def table_of(kind: str) -> str:
    table, _ = _CONDITIONS[kind]
    return str(table.__tablename__)


def prune(
    session: Session,
    kind: str,
    before: datetime,
    after: UUID = FIRST,
    *,
    until: UUID | None = None,
    may_delete: bool = True,
) -> Portion:
    """Delete what is older than this moment among the next rows behind an id, oldest first. Does not commit.

    None from the id `until` on. Nothing is locked that anybody waits for: what goes is looked at by nobody, and changed
    by nobody.
    """
    table, condition = _CONDITIONS[kind]
    end = first_id_of(before) if until is None else min(until, first_id_of(before))
    ids = sa.select(table.id).where(table.id > after, table.id < end).order_by(table.id).limit(PORTION)
    seen = list(session.scalars(ids))
    if not seen:
        return Portion(None, 0, 0)
    # Between two ids, not each by itself: the same plan for any number of them.
    among = sa.and_(table.id >= seen[0], table.id <= seen[-1], condition(before))
    gone = _delete(session, table, among) if may_delete else _count(session, table, among)
    return Portion(seen[-1] if len(seen) == PORTION else None, len(seen), gone)


def _delete(session: Session, table: Any, among: sa.ColumnElement[bool]) -> int:
    if table is Delivery:
        tries = sa.delete(DeliveryAttempt).where(DeliveryAttempt.delivery_id.in_(sa.select(Delivery.id).where(among)))
        session.execute(tries.execution_options(synchronize_session=False))
    return changed(session.execute(sa.delete(table).where(among).execution_options(synchronize_session=False)))


def _count(session: Session, table: Any, among: sa.ColumnElement[bool]) -> int:
    return session.scalar(sa.select(sa.func.count()).select_from(table).where(among)) or 0
