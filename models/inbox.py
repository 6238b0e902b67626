"""What upstreams sent us, kept as it came until a worker has understood it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import sets
from models.base import Base, rfc3339, words


class Purpose(StrEnum):
    """What a capability token in a URI is good for."""

    CALLBACK = "callback"  # completion of an order
    CALL = "call"  # a finished call on the number
    SMS = "sms"  # a message to the number


_DUE = sa.text("due_at IS NOT NULL")
_PROBLEM = sa.text("problem IS NOT NULL")

TOLD_OF_PEOPLE = sa.text("purpose IN ('call', 'sms')")
"""Written out, because only so is the index found that is made for it."""


class Received(Base):
    """One HTTP request from an upstream. Never deleted by its parsing: what cannot be parsed stays, visible."""

    __tablename__ = "inbox"
    __table_args__ = (
        sa.UniqueConstraint("request_id", "digest"),
        sa.Index("ix_inbox_due", "due_at", postgresql_where=_DUE, sqlite_where=_DUE),
        sa.Index("ix_inbox_people", "id", postgresql_where=TOLD_OF_PEOPLE, sqlite_where=TOLD_OF_PEOPLE),
        sa.Index("ix_inbox_problem", "id", postgresql_where=_PROBLEM, sqlite_where=_PROBLEM),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    upstream: Mapped[str] = mapped_column(sa.String(32))
    purpose: Mapped[Purpose] = mapped_column(words(Purpose))
    request_id: Mapped[UUID]  # from the token; no foreign key: the receiver looks nothing up
    digest: Mapped[str] = mapped_column(sa.String(64))  # of all below: a repeat is the same row
    method: Mapped[str] = mapped_column(sa.String(8))
    query: Mapped[str] = mapped_column(sa.Text)
    content_type: Mapped[str | None] = mapped_column(sa.String(255))
    body: Mapped[bytes]
    received_at: Mapped[datetime]
    due_at: Mapped[datetime | None]
    fence: Mapped[int] = mapped_column(default=0)
    attempts: Mapped[int] = mapped_column(default=0)
    applied_at: Mapped[datetime | None]
    problem: Mapped[str | None] = mapped_column(sa.Text)  # why it could not be applied


_TABLE: sa.Table = Received.__table__  # type: ignore[assignment]


def keep(connection: Connection, received: Sequence[Mapping[str, Any]]) -> set[UUID]:
    """Store what came; the ids of what had not come before. Each has a value for every column.

    In an order that is the same for all, so that no two that hold the same wait crosswise.
    """
    in_order = sorted(received, key=lambda row: (row["request_id"], row["digest"]))
    return set(sets.insert(connection, _TABLE, in_order, _new_ones))


def _new_ones(insert: Any) -> Any:
    return insert.on_conflict_do_nothing(index_elements=["request_id", "digest"]).returning(_TABLE.c.id)


def not_understood() -> sa.ColumnElement[bool]:
    """The condition: it could not be applied, and stays."""
    return Received.problem.is_not(None)


def longest_waiting(session: Session, limit: int) -> list[Received]:
    """What is still to be read, or read again, in the order in which it is."""
    waiting = sa.select(Received).where(Received.due_at.is_not(None)).order_by(Received.due_at)
    return list(session.scalars(waiting.limit(limit)))


def view(received: Received) -> dict[str, Any]:
    """What came, whole, as people and programs see it, ready for JSON; without its token, which is not kept."""
    return {
        "id": str(received.id),
        "received_at": rfc3339(received.received_at),
        "upstream": received.upstream,
        "purpose": str(received.purpose),
        "request": str(received.request_id) if received.request_id.int else None,  # none: the portal's address
        "method": received.method,
        "query": received.query,
        "content_type": received.content_type,
        "body": received.body.decode(errors="replace"),
        "problem": received.problem,
    }
