"""Where a requester wants results: a URL, the event types it takes, and the secret that signs them."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, foreign, mapped_column, relationship

from models.base import Base, new_id, rfc3339
from models.outage import Outage, forget
from models.outage import view as view_of_outage
from models.requester import Requester, new_signing_secret
from models.sealed import Sealed

OLD_SECRET_SIGNS_FOR = timedelta(hours=24)
"""After a rotation both secrets sign, so that the receiver may change over at its leisure."""

LONGEST_GRACE = timedelta(days=7)


class EventType(StrEnum):
    REQUEST_COMPLETED = "request.completed"
    REQUEST_FAILED = "request.failed"
    REQUEST_CANCELLED = "request.cancelled"
    REQUEST_HELD = "request.held"
    BATCH_FINISHED = "batch.finished"
    CALL_FINISHED = "call.finished"
    MESSAGE_RECEIVED = "message.received"


TEST = "endpoint.test"
"""The type of an event that is made by hand, to see whether an endpoint takes anything. None can ask for it."""


class Endpoint(Base):
    __tablename__ = "endpoints"
    __table_args__ = (sa.UniqueConstraint("requester_id", "name"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    requester_id: Mapped[UUID] = mapped_column(sa.ForeignKey("requesters.id"))
    name: Mapped[str] = mapped_column(sa.String(200))
    url: Mapped[str] = mapped_column(sa.Text)
    types: Mapped[list[str]]
    # None where no key of ours opens it: see `models.sealed`.
    secret: Mapped[str | None] = mapped_column(Sealed("endpoints.secret"), nullable=False)
    previous_secret: Mapped[str | None] = mapped_column(Sealed("endpoints.previous_secret"))  # signs until it expires
    previous_expires_at: Mapped[datetime | None]
    disabled_at: Mapped[datetime | None]
    disabled_reason: Mapped[str | None] = mapped_column(sa.Text)
    created_at: Mapped[datetime]
    description: Mapped[str | None] = mapped_column(sa.Text)  # for people

    outage: Mapped[Outage | None] = relationship(
        primaryjoin=lambda: Endpoint.id == foreign(Outage.line_id), viewonly=True, uselist=False, lazy="selectin"
    )


def create(
    session: Session,
    requester: Requester,
    name: str,
    url: str,
    types: frozenset[EventType],
    now: datetime,
    description: str | None = None,
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
        description=description,
    )
    session.add(endpoint)
    session.flush()
    return endpoint


def rotate(session: Session, endpoint: Endpoint, expires_at: datetime) -> str:
    """Give the endpoint a new secret and return it; the old one signs beside it until `expires_at`."""
    endpoint.previous_secret = endpoint.secret
    endpoint.previous_expires_at = expires_at
    endpoint.secret = secret = new_signing_secret()
    session.flush()
    return secret


def disable(endpoint: Endpoint, reason: str, now: datetime) -> None:
    """Send it nothing more, until it is enabled."""
    endpoint.disabled_at = endpoint.disabled_at or now
    endpoint.disabled_reason = reason


def enable(session: Session, endpoint: Endpoint) -> None:
    """Let it take results again, as one that is well: what waits is due at once."""
    endpoint.disabled_at = endpoint.disabled_reason = None
    forget(session, endpoint.id)
    session.expire(endpoint, ["outage"])


def find(session: Session, requester_id: UUID, name: str) -> Endpoint | None:
    return session.scalar(sa.select(Endpoint).where(Endpoint.requester_id == requester_id, Endpoint.name == name))


def view(endpoint: Endpoint) -> dict[str, Any]:
    """The endpoint as its owner sees it, without its secret, ready for JSON."""
    return {
        "id": str(endpoint.id),
        "name": endpoint.name,
        "url": endpoint.url,
        "types": endpoint.types,
        "description": endpoint.description,
        "created_at": rfc3339(endpoint.created_at),
        "disabled_at": rfc3339(endpoint.disabled_at),
        "disabled_reason": endpoint.disabled_reason,
        "previous_secret_expires_at": rfc3339(endpoint.previous_expires_at),
        **view_of_outage(None if "outage" in sa.inspect(endpoint).unloaded else endpoint.outage),
    }
