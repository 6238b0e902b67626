"""The pause switches: whether anything may be ordered at an upstream. Durable, since a person must lift them.

There is one for each upstream and one for all. They are lifted one by one: to resume all leaves paused what was paused
by itself, and to resume one orders nothing there while all are paused.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.base import Base, changed, insert_for

ALL = "*"
"""Stands where the name of an upstream stands, for the switch of all of them."""


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
    """Why nothing may be ordered there: that of all upstreams, else its own; None where something may."""
    found = list(session.scalars(sa.select(Pause).where(Pause.upstream.in_((ALL, upstream)))))
    return min(found, key=lambda pause: pause.upstream != ALL, default=None)


def own_pause(session: Session, upstream: str) -> Pause | None:
    """That of this upstream alone; `ALL` is a name too."""
    return session.get(Pause, upstream)


def pauses(session: Session) -> list[Pause]:
    """Every switch that is off; that of all upstreams first."""
    return sorted(session.scalars(sa.select(Pause)), key=lambda pause: (pause.upstream != ALL, pause.upstream))


def paused_names(session: Session) -> frozenset[str]:
    """The names of `pauses`, `ALL` among them."""
    return frozenset(session.scalars(sa.select(Pause.upstream)))


def is_among(paused: Collection[str], upstream: str) -> bool:
    """Whether these names pause the upstream."""
    return ALL in paused or upstream in paused
