"""Which deliveries go out next: each destination stands in a line of its own, so that none waits for another's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models import outage
from models.delivery import Delivery, line
from models.due import COUNTED, take_rows
from models.outage import Outage
from models.sharing import MOST_SEEN, Line


@dataclass(frozen=True, slots=True)
class Ready(Line):
    """A line with something due, to which it may be sent now. Where its breaker is open, one result: a probe."""

    outage: Outage | None = None

    @property
    def is_probe(self) -> bool:
        return self.outage is not None and self.outage.is_open


def ready_lines(session: Session, now: datetime) -> list[Ready]:
    """Those with something due. It takes a look into an index for each line that waits, however long it is."""

    def next_line(*further: sa.ColumnElement[bool]) -> sa.ScalarSelect[UUID]:
        waiting = sa.select(line()).where(Delivery.due_at.is_not(None), *further)
        return waiting.order_by(line()).limit(1).scalar_subquery()

    seen = sa.select(next_line().label("id")).cte("seen", recursive=True)
    seen = seen.union_all(sa.select(next_line(line() > seen.c.id)).where(seen.c.id.is_not(None)))
    due = sa.select(Delivery.requester_id).where(line() == seen.c.id, Delivery.due_at <= now)
    owner = due.order_by(Delivery.due_at).limit(1).scalar_subquery()
    may_go = sa.or_(Outage.opened_at.is_(None), Outage.probe_at <= now)
    statement = (
        sa.select(seen.c.id, owner, Outage)
        .outerjoin_from(seen, Outage, Outage.line_id == seen.c.id)
        .where(seen.c.id.is_not(None), owner.is_not(None), may_go)
        .limit(MOST_SEEN)
    )
    return [Ready(id_, requester_id, outage=found) for id_, requester_id, found in session.execute(statement)]


def claim(
    session: Session, shares: Mapping[UUID, int], probes: set[UUID], now: datetime, lease: timedelta
) -> list[Delivery]:
    """Take up to so many of each line that are due, the oldest first; of `probes` where nobody else has begun one.

    They come as they are after the claim.
    """
    lost = probes - outage.take_probes(session, list(probes), now, now + lease) if probes else set()
    wanted = {id_: count for id_, count in shares.items() if id_ not in lost and count > 0}
    if not wanted:
        return []
    taken = [_of(id_, count, now).cte(f"due_{place}") for place, (id_, count) in enumerate(wanted.items())]
    return take_rows(session, Delivery, sa.union_all(*(sa.select(some.c.id) for some in taken)), now + lease)


def _of(line_id: UUID, count: int, now: datetime) -> sa.Select[Any]:
    some = sa.select(Delivery.id).where(line() == line_id, Delivery.due_at <= now)
    return some.order_by(Delivery.due_at).limit(count).with_for_update(skip_locked=True)


def count_due(session: Session, now: datetime) -> int:
    """How many could be claimed now. Stops counting at `COUNTED`."""
    ready = ready_lines(session, now)
    probes = sum(one.is_probe for one in ready)
    lines = [one.id for one in ready if not one.is_probe]
    if not lines:
        return probes
    due = sa.select(Delivery.id).where(line().in_(lines), Delivery.due_at <= now).limit(COUNTED)
    return min(COUNTED, probes + (session.scalar(sa.select(sa.func.count()).select_from(due.subquery())) or 0))


def oldest_due(session: Session, now: datetime) -> datetime | None:
    """When the first of them fell due. What waits for a destination that is away is not late."""
    lines = [one.id for one in ready_lines(session, now) if not one.is_probe]
    if not lines:
        return None
    return session.scalar(sa.select(sa.func.min(Delivery.due_at)).where(line().in_(lines), Delivery.due_at <= now))
