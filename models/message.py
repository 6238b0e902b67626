"""Text messages to our numbers: who wrote what, when, as the upstream told it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.base import Base, changed, insert_for, rfc3339


class Message(Base):
    __tablename__ = "messages"
    __table_args__ = (
        sa.UniqueConstraint("upstream", "upstream_reference"),  # an upstream tells a message more than once
        sa.Index("ix_messages_number", "number", "id"),
        sa.Index("ix_messages_sender", "sender"),
        sa.Index("ix_messages_list", "requester_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    upstream: Mapped[str] = mapped_column(sa.String(32))
    upstream_reference: Mapped[str] = mapped_column(sa.String(255))  # the upstream's own id of the message
    request_id: Mapped[UUID]  # that the number came from
    requester_id: Mapped[UUID]
    number: Mapped[str | None] = mapped_column(sa.String(20))  # E.164: the number that was written to
    sender: Mapped[str | None] = mapped_column(sa.String(32))  # personal data, as is the text
    text: Mapped[str | None] = mapped_column(sa.Text)
    sent_at: Mapped[datetime | None]
    sent_at_raw: Mapped[str | None] = mapped_column(sa.String(64))  # as written by the upstream
    parameters: Mapped[dict[str, Any]]  # everything that came, known or not
    received_at: Mapped[datetime]


def keep(session: Session, message: Mapping[str, Any]) -> bool:
    """Store a message; False where the upstream had told it before."""
    statement = insert_for(session)(Message).values(**message)
    done = session.execute(statement.on_conflict_do_nothing(index_elements=["upstream", "upstream_reference"]))
    return bool(changed(done))


def view(message: Message) -> dict[str, Any]:
    return {
        "id": str(message.id),
        "upstream": message.upstream,
        "upstream_reference": message.upstream_reference,
        "request": str(message.request_id),
        "number": message.number,
        "sender": message.sender,
        "text": message.text,
        "sent_at": rfc3339(message.sent_at),
        "sent_at_raw": message.sent_at_raw,
        "parameters": message.parameters,
        "received_at": rfc3339(message.received_at),
    }
