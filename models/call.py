"""Per-call events on a number: who called, when, for how long, as the upstream told it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.base import Base, changed, insert_for, rfc3339


class Call(Base):
    __tablename__ = "calls"
    __table_args__ = (
        sa.UniqueConstraint("upstream", "upstream_reference"),  # an upstream tells a call more than once
        sa.Index("ix_calls_number", "number", "id"),
        sa.Index("ix_calls_caller", "caller"),
        sa.Index("ix_calls_list", "requester_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    upstream: Mapped[str] = mapped_column(sa.String(32))
    upstream_reference: Mapped[str] = mapped_column(sa.String(255))  # the upstream's own id of the call
    request_id: Mapped[UUID]
    requester_id: Mapped[UUID]
    number: Mapped[str | None] = mapped_column(sa.String(20))  # E.164: the number that was called
    caller: Mapped[str | None] = mapped_column(sa.String(32))  # personal data
    answer_point: Mapped[str | None] = mapped_column(sa.String(32))
    status: Mapped[str | None] = mapped_column(sa.String(64))
    duration: Mapped[int | None]  # seconds
    started_at: Mapped[datetime | None]
    started_at_raw: Mapped[str | None] = mapped_column(sa.String(64))  # as written by the upstream
    parameters: Mapped[dict[str, Any]]  # everything that came, known or not
    received_at: Mapped[datetime]


def keep(session: Session, call: Mapping[str, Any]) -> bool:
    """Store a call; False where the upstream had told it before."""
    if _was_told_last_month(session, call):
        return False
    statement = insert_for(session)(Call).values(**call)
    return bool(changed(session.execute(statement.on_conflict_do_nothing())))


def _was_told_last_month(session: Session, call: Mapping[str, Any]) -> bool:
    """Where the table is divided by months a call is unique in each. On the first day of one the last is asked too:
    upstreams that repeat themselves do so within minutes."""
    if call["received_at"].astimezone(UTC).day != 1:
        return False
    same = (Call.upstream == call["upstream"], Call.upstream_reference == call["upstream_reference"])
    return session.scalar(sa.select(Call.id).where(*same).limit(1)) is not None


def view(call: Call) -> dict[str, Any]:
    return {
        "id": str(call.id),
        "upstream": call.upstream,
        "upstream_reference": call.upstream_reference,
        "request": str(call.request_id),
        "number": call.number,
        "caller": call.caller,
        "answer_point": call.answer_point,
        "status": call.status,
        "duration": call.duration,
        "started_at": rfc3339(call.started_at),
        "started_at_raw": call.started_at_raw,
        "parameters": call.parameters,
        "received_at": rfc3339(call.received_at),
    }
