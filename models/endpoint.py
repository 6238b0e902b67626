"""Where a requester wants results: a URL, the event types it takes, and the secret that signs them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.base import Base, new_id, rfc3339
from models.requester import Requester, new_signing_secret


class EventType(StrEnum):
    REQUEST_COMPLETED = "request.completed"
    REQUEST_FAILED = "request.failed"
    REQUEST_CANCELLED = "request.cancelled"
    REQUEST_HELD = "request.held"
    BATCH_FINISHED = "batch.finished"
    CALL_FINISHED = "call.finished"
    MESSAGE_RECEIVED = "message.received"


class Endpoint(Base):
    __tablename__ = "endpoints"
    __table_args__ = (sa.UniqueConstraint("requester_id", "name"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    requester_id: Mapped[UUID] = mapped_column(sa.ForeignKey("requesters.id"))
    name: Mapped[str] = mapped_column(sa.String(200))
    url: Mapped[str] = mapped_column(sa.Text)
    types: Mapped[list[str]]
    secret: Mapped[str] = mapped_column(sa.String(200))
    previous_secret: Mapped[str | None] = mapped_column(sa.String(200))  # signs too, until it expires
    previous_expires_at: Mapped[datetime | None]
    disabled_at: Mapped[datetime | None]
    disabled_reason: Mapped[str | None] = mapped_column(sa.Text)
    created_at: Mapped[datetime]


def create(
    session: Session, requester: Requester, name: str, url: str, types: frozenset[EventType], now: datetime
) -> Endpoint:
    """Register an endpoint; raises IntegrityError where the requester has one of that name."""
    endpoint = Endpoint(
        id=new_id(),
        requester_id=requester.id,
        name=name,
        url=url,
        types=sorted(types),
        secret=new_signing_secret(),
        created_at=now,
    )
    session.add(endpoint)
    session.flush()
    return endpoint


def rotate(session: Session, endpoint: Endpoint, expires_at: datetime) -> str:
    """Give the endpoint a new secret and return it; the old one signs beside it until `expires_at`."""
    endpoint.previous_secret = endpoint.secret
    endpoint.previous_expires_at = expires_at
    endpoint.secret = new_signing_secret()
    session.flush()
    return endpoint.secret


def find(session: Session, requester_id: UUID, name: str) -> Endpoint | None:
    return session.scalar(sa.select(Endpoint).where(Endpoint.requester_id == requester_id, Endpoint.name == name))


def view(endpoint: Endpoint) -> dict[str, Any]:
    """The endpoint as its owner sees it, without its secret, ready for JSON."""
    return {
        "id": str(endpoint.id),
        "name": endpoint.name,
        "url": endpoint.url,
        "types": endpoint.types,
        "created_at": rfc3339(endpoint.created_at),
        "disabled_at": rfc3339(endpoint.disabled_at),
        "disabled_reason": endpoint.disabled_reason,
        "previous_secret_expires_at": rfc3339(endpoint.previous_expires_at),
    }
