"""Sending one endpoint again what it missed since a time: what did not arrive, and what was never filed for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from models import sets
from models.base import first_id_of, new_id
from models.delivery import TABLE, Delivery, DeliveryState, Notice, in_state, insert, row_of
from models.endpoint import TEST, Endpoint

PORTION = 1_000
"""Deliveries changed by one transaction."""

MOST = 100_000
"""Deliveries of one replay. They go out for half an hour."""

PER_SECOND = 50
"""So many of them fall due each second: one that has just come back takes them beside what is new."""

_WRITTEN = ("state", "attempts", "fence", "due_at", "delivered_at")


@dataclass(frozen=True, slots=True)
class Range:
    """What is to be sent again: results filed from `since` on, before `until`."""

    endpoint: Endpoint
    since: datetime
    until: datetime
    also_delivered: bool = False


def count(session: Session, wanted: Range) -> int:
    """How many they are. Stops counting behind `MOST`."""
    found = 0
    for statement in (_filed(wanted), _missed(wanted)):
        some = statement.with_only_columns(Delivery.id).order_by(None).limit(MOST + 1)
        found += session.scalar(sa.select(sa.func.count()).select_from(some.subquery())) or 0
    return found


def send_filed(session: Session, wanted: Range, after: UUID, start: datetime, sent: int) -> Sequence[UUID]:
    """Make due again a portion of what was filed for the endpoint, behind the id `after`; returns their ids.

    `sent` others go before them, from `start` on.
    """
    statement = _filed(wanted).where(Delivery.id > after).limit(PORTION).with_for_update()
    rows = session.scalars(statement).all()
    values: list[dict[str, Any]] = [
        {"id": row.id, "state": DeliveryState.PENDING, "attempts": 0, "fence": row.fence + 1}
        | {"due_at": _due_at(start, sent + place), "delivered_at": None}
        for place, row in enumerate(rows)
    ]
    session.expunge_all()  # written here, and by nothing else
    sets.update(session.connection(), TABLE, values, _WRITTEN)
    return [row["id"] for row in values]


def send_missed(session: Session, wanted: Range, after: UUID, start: datetime, sent: int) -> Sequence[UUID]:
    """File a portion of the events that would have gone to the endpoint; returns the events' ids. As `send_filed`."""
    session.execute(sa.select(Endpoint.id).where(Endpoint.id == wanted.endpoint.id).with_for_update())
    events = session.scalars(_missed(wanted).where(Delivery.id > after).limit(PORTION)).all()
    insert(session, [_filed_late(event, wanted, _due_at(start, sent + place)) for place, event in enumerate(events)])
    return [event.id for event in events]


def _due_at(start: datetime, place: int) -> datetime:
    return start + timedelta(seconds=place / PER_SECOND)


def last_due_at(start: datetime, sent: int) -> datetime | None:
    """When the last of so many is due; None where there is none."""
    return _due_at(start, sent - 1) if sent else None


def _filed(wanted: Range) -> sa.Select[Delivery]:
    statement = _of_time(wanted).where(Delivery.endpoint_id == wanted.endpoint.id, Delivery.type != TEST)
    if wanted.also_delivered:
        return statement
    return statement.where(sa.or_(in_state(DeliveryState.FAILED), in_state(DeliveryState.PENDING)))


def _missed(wanted: Range) -> sa.Select[Delivery]:
    """The events, by their first delivery, that name no place, are of the types it takes, and were not filed for it."""
    other = aliased(Delivery)
    filed = sa.exists().where(other.event_id == Delivery.id, other.endpoint_id == wanted.endpoint.id)
    return _of_time(wanted).where(
        Delivery.event_id.is_(None),
        Delivery.for_all,
        Delivery.type.in_(wanted.endpoint.types),
        Delivery.endpoint_id.is_distinct_from(wanted.endpoint.id),
        ~filed,
    )


def _of_time(wanted: Range) -> sa.Select[Delivery]:
    return (
        sa.select(Delivery)
        .where(
            Delivery.requester_id == wanted.endpoint.requester_id,
            Delivery.id >= first_id_of(wanted.since),
            Delivery.created_at >= wanted.since,
            Delivery.created_at < wanted.until,
        )
        .order_by(Delivery.id)
    )


def _filed_late(event: Delivery, wanted: Range, due_at: datetime) -> dict[str, Any]:
    told = Notice(event.type, event.requester_id, event.data, event.request_id, event.batch_id, sequence=event.sequence)
    return row_of(told, new_id(), event.id, wanted.endpoint.id, due_at) | {"created_at": event.created_at}
