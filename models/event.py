"""A request's history: what happened to it, when, and by whom. Append-only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import sets
from models.base import Base, new_id, rfc3339, words


class EventKind(StrEnum):
    STATE = "state"  # a move, or a new reason in the same state
    ATTEMPT = "attempt"  # one call to the upstream, with its answer
    CALLBACK = "callback"  # something that the upstream sent us
    DELIVERY = "delivery"  # one try to hand the result to the requester
    NOTE = "note"  # anything else worth knowing, a contradiction above all


class Event(Base):
    __tablename__ = "events"
    __table_args__ = (sa.Index("ix_events_request", "request_id", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    request_id: Mapped[UUID]
    at: Mapped[datetime]
    type: Mapped[EventKind] = mapped_column(words(EventKind))
    from_state: Mapped[str | None] = mapped_column(sa.String(16))
    to_state: Mapped[str | None] = mapped_column(sa.String(16))
    actor: Mapped[str] = mapped_column(sa.String(200))
    reason: Mapped[str | None] = mapped_column(sa.String(64))
    detail: Mapped[str | None] = mapped_column(sa.Text)
    data: Mapped[dict[str, Any]]


_TABLE: sa.Table = Event.__table__  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of history before it is written. `data` must hold no token and no secret."""

    request_id: UUID
    at: datetime
    type: EventKind
    actor: str
    reason: str | None = None
    detail: str | None = None
    from_state: str | None = None
    to_state: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


def append(session: Session, entries: Sequence[Entry]) -> None:
    """Write history, in the order given (ids of one process ascend)."""
    rows = [
        {
            "id": new_id(),
            "request_id": entry.request_id,
            "at": entry.at,
            "type": entry.type,
            "from_state": entry.from_state,
            "to_state": entry.to_state,
            "actor": entry.actor,
            "reason": entry.reason,
            "detail": entry.detail,
            "data": dict(entry.data),
        }
        for entry in entries
    ]
    sets.insert(session.connection(), _TABLE, rows)


def timeline(session: Session, request_id: UUID) -> list[dict[str, Any]]:
    """The history of one request, oldest first, ready for JSON."""
    rows = session.scalars(sa.select(Event).where(Event.request_id == request_id).order_by(Event.at, Event.id))
    return [_view(row) for row in rows]


def _view(row: Event) -> dict[str, Any]:
    shown: dict[str, Any] = {"at": rfc3339(row.at), "type": str(row.type)}
    if row.type is EventKind.STATE:
        shown |= {"from": row.from_state, "to": row.to_state}
    return shown | {"actor": row.actor, "reason": row.reason, "detail": row.detail} | row.data
