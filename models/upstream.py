"""The pause switches: whether anything may be ordered at an upstream. Durable, since a person must lift them."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.base import Base, changed, insert_for


class Pause(Base):
    """A row is a pause; no row is none."""

    __tablename__ = "upstream_pauses"

    upstream: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    reason: Mapped[str] = mapped_column(sa.String(64))
    detail: Mapped[str] = mapped_column(sa.Text)
    actor: Mapped[str] = mapped_column(sa.String(200))
    paused_at: Mapped[datetime]


def pause(session: Session, upstream: str, reason: str, detail: str, actor: str, now: datetime) -> bool:
    """Order nothing more there until `resume`; False where it was paused already (the first reason stays)."""
    statement = insert_for(session)(Pause).values(
        upstream=upstream, reason=reason, detail=detail, actor=actor, paused_at=now
    )
    return bool(changed(session.execute(statement.on_conflict_do_nothing(index_elements=["upstream"]))))


def resume(session: Session, upstream: str) -> bool:
    """Lift the pause; False where there was none."""
    done = session.execute(sa.delete(Pause).where(Pause.upstream == upstream))
    return bool(changed(done))


def find_pause(session: Session, upstream: str) -> Pause | None:
    return session.get(Pause, upstream)


def pauses(session: Session) -> list[Pause]:
    return list(session.scalars(sa.select(Pause).order_by(Pause.upstream)))
