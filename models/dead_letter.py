"""A message on the queue that could not be taken: kept with its reason until a person replays or discards it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.base import Base, changed, insert_for, new_id, rfc3339

LONGEST_BODY = 65_536
"""Characters that are kept of a message; of a longer one there is only the beginning, which cannot be replayed."""

OPEN = sa.text("settled_at IS NULL")
"""Written out, because only so are the indexes found that are made for it."""


class Settlement(StrEnum):
    REPLAYED = "replayed"
    DISCARDED = "discarded"


class DeadLetter(Base):
    __tablename__ = "dead_letters"
    __table_args__ = (
        # A message that the broker gives out again is the same dead letter.
        sa.Index("uq_dead_letters_open", "digest", unique=True, postgresql_where=OPEN, sqlite_where=OPEN),
        sa.Index("ix_dead_letters_open", "id", postgresql_where=OPEN, sqlite_where=OPEN),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(sa.String(64))  # of what was sent
    requester: Mapped[str | None] = mapped_column(sa.String(200))  # as it was named
    idempotency_key: Mapped[str | None] = mapped_column(sa.String(255))
    body: Mapped[str] = mapped_column(sa.Text)  # the request as JSON, as it came
    is_whole: Mapped[bool]
    reason: Mapped[str] = mapped_column(sa.String(64))  # a stable code
    detail: Mapped[str] = mapped_column(sa.Text)
    created_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]
    settlement: Mapped[str | None] = mapped_column(sa.String(16))
    settled_by: Mapped[str | None] = mapped_column(sa.String(200))
    request_id: Mapped[UUID | None]  # what came of the replay


def bury(
    session: Session,
    body: str,
    requester: str | None,
    idempotency_key: str | None,
    reason: str,
    detail: str,
    now: datetime,
) -> bool:
    """Keep it; False where the very same stands there open already. Does not commit."""
    requester, idempotency_key = _storable(requester), _storable(idempotency_key)
    sent = "\n".join((body, requester or "", idempotency_key or ""))
    values = {
        "id": new_id(),
        "digest": hashlib.sha256(sent.encode()).hexdigest(),
        "requester": None if requester is None else requester[:200],
        "idempotency_key": None if idempotency_key is None else idempotency_key[:255],
        "body": body[:LONGEST_BODY],
        "is_whole": len(body) <= LONGEST_BODY,
        "reason": reason,
        "detail": detail,
        "created_at": now,
    }
    return bool(changed(session.execute(insert_for(session)(DeadLetter).values(values).on_conflict_do_nothing())))


def _storable(text: str | None) -> str | None:
    """Without what no database keeps: U+0000, and half of a surrogate pair."""
    return None if text is None else "".join(one if one.isprintable() else "\ufffd" for one in text)


def settle(
    session: Session, id_: UUID, how: Settlement, actor: str, now: datetime, request_id: UUID | None = None
) -> bool:
    """A person has dealt with it; False where somebody had done so before."""
    of_it = sa.update(DeadLetter).where(DeadLetter.id == id_, DeadLetter.settled_at.is_(None))
    values: Mapping[str, Any] = {"settled_at": now, "settlement": how.value, "settled_by": actor}
    return bool(changed(session.execute(of_it.values(**values, request_id=request_id))))


def is_open() -> sa.ColumnElement[bool]:
    """The condition: nobody has dealt with it."""
    return DeadLetter.settled_at.is_(None)


def view(row: DeadLetter) -> dict[str, Any]:
    """Ready for JSON."""
    return {
        "id": str(row.id),
        "created_at": rfc3339(row.created_at),
        "reason": row.reason,
        "detail": row.detail,
        "requester": row.requester,
        "idempotency_key": row.idempotency_key,
        "body": row.body,
        "is_whole": row.is_whole,
        "settled_at": rfc3339(row.settled_at),
        "settlement": row.settlement,
        "settled_by": row.settled_by,
        "request": None if row.request_id is None else str(row.request_id),
    }
