"""The audit: every act of a person or of a key that steers, with who, when, on what and why. Append-only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.base import Base, new_id, rfc3339


class Act(Base):
    __tablename__ = "acts"
    __table_args__ = (
        sa.Index("ix_acts_actor", "actor", "id"),
        sa.Index("ix_acts_subject", "subject", "id"),
        sa.Index("ix_acts_act", "act", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(sa.String(200))  # `user:alice`, `cli:alice`, `key 0190…`
    act: Mapped[str] = mapped_column(sa.String(64))  # such as `request.cancel`, `upstream.pause`
    subject: Mapped[str] = mapped_column(sa.String(255))  # an id, or the name of what has none
    reason: Mapped[str | None] = mapped_column(sa.Text)  # in the person's own words
    data: Mapped[dict[str, Any]]  # what else was said; never a secret


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list of acts is narrowed to; None is "any"."""

    actor: str | None = None
    act: str | None = None  # `batch.pause`, or `batch` for all that is done to batches
    subject: str | None = None


def record(
    session: Session,
    actor: str,
    act: str,
    subject: str | UUID,
    now: datetime,
    reason: str | None = None,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Write down an act, in the transaction that does it: what is not done is not recorded, nor the other way."""
    _add(session, new_id(), actor, act, subject, now, reason, data)


def record_once(
    session: Session,
    id_: UUID,
    actor: str,
    act: str,
    subject: str | UUID,
    now: datetime,
    reason: str | None = None,
    data: Mapping[str, Any] | None = None,
) -> None:
    """As `record`, for a transaction that may be committed twice: an act whose id is there already stands."""
    if session.get(Act, id_) is None:
        _add(session, id_, actor, act, subject, now, reason, data)


def _add(
    session: Session,
    id_: UUID,
    actor: str,
    act: str,
    subject: str | UUID,
    now: datetime,
    reason: str | None,
    data: Mapping[str, Any] | None,
) -> None:
    row = Act(id=id_, at=now, actor=actor, act=act, subject=str(subject), reason=reason, data=dict(data or {}))
    session.add(row)
    session.flush()


def conditions(filters: Filters) -> list[sa.ColumnElement[bool]]:
    wanted = {Act.actor: filters.actor, Act.subject: filters.subject}
    found = [column == value for column, value in wanted.items() if value is not None]
    if filters.act is not None:
        of_a_kind = Act.act.startswith(f"{filters.act}.", autoescape=True)
        found.append(Act.act == filters.act if "." in filters.act else of_a_kind)
    return found


def view(row: Act) -> dict[str, Any]:
    shown = {"id": str(row.id), "at": rfc3339(row.at), "actor": row.actor, "act": row.act, "subject": row.subject}
    return shown | {"reason": row.reason, "data": row.data}
