"""The log of deliveries: every try to hand over a result, and what came of it. Append-only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import sets
from models.base import Base, new_id, rfc3339

MOST_SHOWN = 100
"""Tries of one delivery that are listed, the latest: a schedule has ten, a replay begins it anew."""


class DeliveryAttempt(Base):
    __tablename__ = "delivery_attempts"
    __table_args__ = (sa.Index("ix_delivery_attempts_list", "delivery_id", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    delivery_id: Mapped[UUID]
    at: Mapped[datetime]  # when it ended
    status: Mapped[int | None]  # of HTTP; None where no answer came
    latency_ms: Mapped[int]
    error: Mapped[str | None] = mapped_column(sa.Text)
    answer: Mapped[str | None] = mapped_column(sa.Text)  # how its body begins, masked


_TABLE: sa.Table = DeliveryAttempt.__table__  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class Attempt:
    """A try before it is written. `answer` must be masked already."""

    delivery_id: UUID
    at: datetime
    status: int | None
    latency_ms: int
    error: str | None
    answer: str | None


def append(session: Session, attempts: Sequence[Attempt]) -> None:
    """Write tries, in the order given."""
    sets.insert(session.connection(), _TABLE, [{"id": new_id(), **asdict(attempt)} for attempt in attempts])


def attempts_of(session: Session, delivery_id: UUID) -> list[dict[str, Any]]:
    """The latest tries of a delivery, oldest first, ready for JSON."""
    of_it = sa.select(DeliveryAttempt).where(DeliveryAttempt.delivery_id == delivery_id)
    rows = session.scalars(of_it.order_by(DeliveryAttempt.id.desc()).limit(MOST_SHOWN)).all()
    return [_view(row) for row in reversed(rows)]


def _view(row: DeliveryAttempt) -> dict[str, Any]:
    return {
        "at": rfc3339(row.at),
        "status": row.status,
        "latency_ms": row.latency_ms,
        "error": row.error,
        "answer": row.answer,
    }
