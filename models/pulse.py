"""The pulse: once a minute, how many requests were in which state at each upstream. What charts are drawn from.

The counts of final states only grow, so the difference of two rows is what ended between them: exact, over all
processes, and nothing on the path of a request pays for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import counter
from models.base import Base, insert_for
from models.state import State

EVERY = timedelta(minutes=1)

KEPT_FOR = timedelta(days=8)
"""A week, to compare a day with the same day before."""


class Pulse(Base):
    __tablename__ = "pulses"

    at: Mapped[datetime] = mapped_column(primary_key=True)  # the full minute
    upstream: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    counts: Mapped[dict[str, Any]]  # by state


def beat(session: Session, now: datetime) -> bool:
    """Write this minute's row for each upstream, where nobody has; returns whether it was written."""
    minute = now.replace(second=0, microsecond=0)
    if session.scalar(sa.select(Pulse.at).where(Pulse.at == minute).limit(1)) is not None:
        return False
    found: dict[str, dict[str, int]] = {}
    for (upstream, state), count in counter.by_upstream(session).items():
        found.setdefault(upstream, {})[state.value] = count
    rows = [{"at": minute, "upstream": name, "counts": counts} for name, counts in sorted(found.items())]
    if rows:
        session.execute(insert_for(session)(Pulse).values(rows).on_conflict_do_nothing())
    session.execute(sa.delete(Pulse).where(Pulse.at < minute - KEPT_FOR))
    return bool(rows)


def since(session: Session, moment: datetime) -> dict[str, list[tuple[datetime, Mapping[State, int]]]]:
    """By upstream, the rows from that moment on, the oldest first."""
    found: dict[str, list[tuple[datetime, Mapping[State, int]]]] = {}
    for row in session.scalars(sa.select(Pulse).where(Pulse.at >= moment).order_by(Pulse.at, Pulse.upstream)):
        counts = {state: int(row.counts.get(state.value, 0)) for state in State}
        found.setdefault(row.upstream, []).append((row.at, counts))
    return found
