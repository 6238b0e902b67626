"""What upstreams sent us, kept as it came until a worker has understood it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, changed, insert_on, rfc3339, words


class Purpose(StrEnum):
    """What a capability token in a URI is good for."""

    CALLBACK = "callback"  # completion of an order
    CALL = "call"  # a finished call on the number
    SMS = "sms"  # a message to the number


_DUE = sa.text("due_at IS NOT NULL")
_PROBLEM = sa.text("problem IS NOT NULL")


class Received(Base):
    """One HTTP request from an upstream. Never deleted by its parsing: what cannot be parsed stays, visible."""

    __tablename__ = "inbox"
    __table_args__ = (
        sa.UniqueConstraint("request_id", "digest"),
        sa.Index("ix_inbox_due", "due_at", postgresql_where=_DUE, sqlite_where=_DUE),
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


def keep(connection: Connection, received: Mapping[str, Any]) -> bool:
    """Store what came; False where the very same came before. `received` has a value for each column.

    On a bare connection, since every callback waits for it: 0.3 ms of CPU, against 1.2 through the ORM.
    """
    statement = insert_on(connection)(Received.__table__)
    done = connection.execute(statement.on_conflict_do_nothing(index_elements=["request_id", "digest"]), received)
    return bool(changed(done))


def not_understood() -> sa.ColumnElement[bool]:
    """The condition: it could not be applied, and stays."""
    return Received.problem.is_not(None)


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
