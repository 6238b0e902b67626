"""All that a requester was to be told, each event once, in an order in which none is ever skipped.

Ids do not give that order: they are made before the commit, by hosts whose clocks differ. So a reader goes by the
position of the transaction, and on PostgreSQL no further than where every transaction has ended.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models.base import rfc3339
from models.delivery import Delivery
from models.listing import LONGEST_PAGE, BadCursor

BEFORE_ALL = UUID(int=0)

CURSOR = re.compile(r"([0-9a-f]{1,15})-([0-9a-f]{32})")


class Ahead(Exception):
    """The cursor, or a row, is of another database's count: this one was restored from a copy."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Up to where somebody has read."""

    position: int = 0
    id: UUID = BEFORE_ALL

    def __str__(self) -> str:
        return f"{self.position:x}-{self.id.hex}"


def place_of(cursor: str) -> Place:
    """Raises BadCursor."""
    found = CURSOR.fullmatch(cursor)
    if found is None:
        raise BadCursor(f"not a cursor: {cursor!r}")
    return Place(int(found[1], 16), UUID(hex=found[2]))


def events(
    session: Session, requester_id: UUID, after: Place, limit: int, type_: str | None = None
) -> tuple[list[Delivery], Place]:
    """Up to `limit` events behind a place, oldest first, each as its first delivery; and where to go on.

    Raises Ahead where the place is one that this database has not come to.
    """
    own = (Delivery.requester_id == requester_id, Delivery.event_id.is_(None))
    is_postgresql = session.get_bind().dialect.name == "postgresql"
    _check(session, own, after, is_postgresql=is_postgresql)
    key, read_to = sa.tuple_(Delivery.position, Delivery.id), (_number(after.position), sa.literal(after.id, sa.Uuid()))
    statement = sa.select(Delivery).where(*own, key > sa.tuple_(*read_to))
    if is_postgresql:
        statement = statement.where(Delivery.position < _snapshot("xmin"))
    if type_ is not None:
        statement = statement.where(Delivery.type == type_)
    statement = statement.order_by(Delivery.position, Delivery.id).limit(min(limit, LONGEST_PAGE))
    rows = list(session.scalars(statement))
    return rows, Place(rows[-1].position, rows[-1].id) if rows else after


def _check(session: Session, own: tuple[sa.ColumnElement[bool], ...], after: Place, *, is_postgresql: bool) -> None:
    """A row that we see was written by a transaction that had begun: one with a later number comes from elsewhere."""
    last = sa.select(sa.func.coalesce(sa.func.max(Delivery.position), 0)).where(*own).scalar_subquery()
    if is_postgresql:
        ended = _snapshot("xmax")
        is_ahead = sa.or_(_number(after.position) >= ended, last >= ended)
    else:
        is_ahead = _number(after.position) > last
    if session.scalar(sa.select(is_ahead)):
        raise Ahead


def _snapshot(part: str) -> sa.ColumnElement[int]:
    return sa.literal_column(f"pg_snapshot_{part}(pg_current_snapshot())::text::bigint", sa.BigInteger)


def _number(position: int) -> sa.ColumnElement[int]:
    return sa.literal(position, sa.BigInteger)


def view(event: Delivery) -> dict[str, Any]:
    """The event as people and programs see it, ready for JSON."""
    return {
        "id": str(event.id),
        "type": event.type,
        "timestamp": rfc3339(event.created_at),
        "sequence": event.sequence,
        "request": None if event.request_id is None else str(event.request_id),
        "batch": None if event.batch_id is None else str(event.batch_id),
        "data": event.data,
    }
