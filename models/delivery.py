"""One result on its way to an endpoint: filed with the change that it tells of, settled when it arrived."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import sets
from models.base import Base, new_id, rfc3339, words
from models.endpoint import Endpoint, EventType


class DeliveryState(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"  # given up after the last try; `replay` sends it again


_DUE = sa.text("due_at IS NOT NULL")

_FAILED = sa.text("state = 'failed'")
_PENDING = sa.text("state = 'pending'")


class Delivery(Base):
    """`id` is the `webhook-id`: the same over all tries and replays, so that the receiver can tell a repeat."""

    __tablename__ = "deliveries"
    __table_args__ = (
        sa.Index("ix_deliveries_due", "due_at", postgresql_where=_DUE, sqlite_where=_DUE),
        sa.Index("ix_deliveries_request", "request_id"),
        sa.Index("ix_deliveries_list", "requester_id", "id"),
        sa.Index("ix_deliveries_failed", "requester_id", "id", postgresql_where=_FAILED, sqlite_where=_FAILED),
        sa.Index("ix_deliveries_pending", "requester_id", "id", postgresql_where=_PENDING, sqlite_where=_PENDING),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    requester_id: Mapped[UUID] = mapped_column(sa.ForeignKey("requesters.id"))
    endpoint_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey("endpoints.id"))
    url: Mapped[str | None] = mapped_column(sa.Text)  # of a one-off `notify_url`; else the endpoint's
    type: Mapped[str] = mapped_column(sa.String(64))
    request_id: Mapped[UUID | None]
    batch_id: Mapped[UUID | None]
    data: Mapped[dict[str, Any]]  # what it tells, as it was when it was filed
    state: Mapped[DeliveryState] = mapped_column(words(DeliveryState))
    attempts: Mapped[int] = mapped_column(default=0)
    fence: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    delivered_at: Mapped[datetime | None]
    last_status: Mapped[int | None]  # HTTP status of the last try; None where no answer came
    last_error: Mapped[str | None] = mapped_column(sa.Text)


_TABLE: sa.Table = Delivery.__table__  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a requester is to be told, before it is known where."""

    type: EventType
    requester_id: UUID
    data: Mapping[str, Any]
    request_id: UUID | None = None
    batch_id: UUID | None = None
    endpoint_id: UUID | None = None  # told only there
    notify_url: str | None = None  # told only there


def in_state(state: DeliveryState) -> sa.ColumnElement[bool]:
    """The condition. Written out, so that every plan may use the index that is made for it."""
    return Delivery.state == sa.literal_column(f"'{state.value}'")


def file(session: Session, notices: Sequence[Notice], now: datetime) -> int:
    """Write a delivery for each place that is to hear each notice; returns how many.

    A notice that names an endpoint or a URL goes there; any other to every endpoint of its requester that
    takes the type.
    """
    if not notices:
        return 0
    endpoints = _endpoints_of(session, {notice.requester_id for notice in notices})
    rows = [
        _row(notice, endpoint_id, now)
        for notice in notices
        for endpoint_id in _targets(notice, endpoints.get(notice.requester_id, []))
    ]
    sets.insert(session.connection(), _TABLE, rows)
    return len(rows)


def _endpoints_of(session: Session, requester_ids: Iterable[UUID]) -> dict[UUID, list[Endpoint]]:
    found: dict[UUID, list[Endpoint]] = {}
    for endpoint in session.scalars(
        sa.select(Endpoint).where(Endpoint.requester_id.in_(list(requester_ids)), Endpoint.disabled_at.is_(None))
    ):
        found.setdefault(endpoint.requester_id, []).append(endpoint)
    return found


def _targets(notice: Notice, endpoints: Sequence[Endpoint]) -> list[UUID | None]:
    if notice.notify_url is not None:
        return [None]
    if notice.endpoint_id is not None:
        return [notice.endpoint_id]
    return [endpoint.id for endpoint in endpoints if notice.type in endpoint.types]


def _row(notice: Notice, endpoint_id: UUID | None, now: datetime) -> dict[str, Any]:
    return {
        "id": new_id(),
        "requester_id": notice.requester_id,
        "endpoint_id": endpoint_id,
        "url": notice.notify_url if endpoint_id is None else None,
        "type": notice.type.value,
        "request_id": notice.request_id,
        "batch_id": notice.batch_id,
        "data": dict(notice.data),
        "state": DeliveryState.PENDING,
        "attempts": 0,
        "fence": 0,
        "due_at": now,
        "created_at": now,
    }


def view(delivery: Delivery) -> dict[str, Any]:
    """The delivery as people and programs see it, ready for JSON."""
    return {
        "id": str(delivery.id),
        "type": delivery.type,
        "state": str(delivery.state),
        "endpoint": None if delivery.endpoint_id is None else str(delivery.endpoint_id),
        "url": delivery.url,
        "request": None if delivery.request_id is None else str(delivery.request_id),
        "batch": None if delivery.batch_id is None else str(delivery.batch_id),
        "attempts": delivery.attempts,
        "last_status": delivery.last_status,
        "last_error": delivery.last_error,
        "due_at": rfc3339(delivery.due_at),
        "created_at": rfc3339(delivery.created_at),
        "delivered_at": rfc3339(delivery.delivered_at),
    }


def replay(delivery: Delivery, now: datetime) -> None:
    """Send it again from the start of the schedule, whether or not it arrived, under the same id.

    For a row that the caller has locked. The new fence keeps a worker that is sending it right now from writing
    over this.
    """
    delivery.state = DeliveryState.PENDING
    delivery.attempts = 0
    delivery.fence += 1
    delivery.due_at = now
    delivery.delivered_at = None
