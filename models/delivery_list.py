"""The list of results of all requesters, newest first: however it is narrowed, a page looks through a bounded number.

What an index finds by itself (a request's, an endpoint's, a requester's, those that failed or wait) is found so; the
rest is sifted from it. Where so much was looked through that few fit, the page ends short, and the next goes on there.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models.delivery import Delivery, DeliveryState, has_place, in_state
from models.endpoint import Endpoint
from models.listing import AT_ONCE
from models.requester import Requester

LOOKED_THROUGH = 10_000
"""Results, for one page: some hundredths of a second."""

RARE = (DeliveryState.PENDING, DeliveryState.FAILED)
"""Each has an index of its own, which begins with the requester."""

Condition = sa.ColumnElement[bool]


@dataclass(frozen=True, slots=True)
class Filters:
    """None is "any"."""

    state: DeliveryState | None = None
    endpoint_id: UUID | None = None
    requester_id: UUID | None = None
    type: str | None = None
    request_id: UUID | None = None


def list_deliveries(
    session: Session, filters: Filters, limit: int, before: UUID | None = None
) -> tuple[list[Delivery], UUID | None]:
    """A page of those older than `before`, and where the next begins; None where there is nothing older."""
    sources, sieve = _sources(session, filters), _sieve(filters)
    looked = max(limit + 1, LOOKED_THROUGH // max(1, len(sources)))
    found: list[UUID] = []
    ends: list[UUID] = []
    for start in range(0, len(sources), AT_ONCE):
        windows = [_window(source, before, looked) for source in sources[start : start + AT_ONCE]]
        found = heapq.nlargest(limit + 1, [*found, *_fitting(session, windows, sieve, limit)])
        ends += _ends(session, windows, looked)
    end = max(ends, default=None)  # below it some source was not looked at
    fitting = [id_ for id_ in found if end is None or id_ >= end]
    rows = list(session.scalars(sa.select(Delivery).where(Delivery.id.in_(fitting)).order_by(Delivery.id.desc())))
    return rows[:limit], rows[limit - 1].id if len(rows) > limit else end


def _sources(session: Session, filters: Filters) -> list[list[Condition]]:
    """What an index finds, the newest first: a list of conditions for each way into it."""
    if filters.request_id is not None:
        return [[Delivery.request_id == filters.request_id]]
    if filters.state in RARE:
        return [
            [Delivery.requester_id == owner, in_state(filters.state)] for owner in sorted(_owners(session, filters))
        ]
    if filters.endpoint_id is not None:
        return [[Delivery.endpoint_id == filters.endpoint_id]]
    return [[] if filters.requester_id is None else [Delivery.requester_id == filters.requester_id]]


def _owners(session: Session, filters: Filters) -> Sequence[UUID]:
    owners = sa.select(Requester.id)
    if filters.requester_id is not None:
        owners = owners.where(Requester.id == filters.requester_id)
    if filters.endpoint_id is not None:
        owners = sa.select(Endpoint.requester_id).where(Endpoint.id == filters.endpoint_id)
    return session.scalars(owners).all()


def _sieve(filters: Filters) -> list[Condition]:
    exact = {
        Delivery.endpoint_id: filters.endpoint_id,
        Delivery.requester_id: filters.requester_id,
        Delivery.type: filters.type,
    }
    conditions: list[Condition] = [column == value for column, value in exact.items() if value is not None]
    if filters.state is not None:
        conditions.append(in_state(filters.state))
    return [*conditions, has_place()]


def _window(source: Sequence[Condition], before: UUID | None, looked: int) -> sa.Select[UUID]:
    older = () if before is None else (Delivery.id < before,)
    return sa.select(Delivery.id).where(*source, *older).order_by(Delivery.id.desc()).limit(looked)


def _fitting(
    session: Session, windows: Sequence[sa.Select[UUID]], sieve: Sequence[Condition], limit: int
) -> Sequence[UUID]:
    among = sa.union_all(*(sa.select(window.subquery().c.id) for window in windows)).subquery()
    fitting = sa.select(Delivery.id).join(among, among.c.id == Delivery.id).where(*sieve)
    return session.scalars(fitting.order_by(Delivery.id.desc()).limit(limit + 1)).all()


def _ends(session: Session, windows: Sequence[sa.Select[UUID]], looked: int) -> Sequence[UUID]:
    """The last id of each window that is full: behind it there may be more."""
    lasts = [sa.select(window.offset(looked - 1).limit(1).subquery().c.id) for window in windows]
    return session.scalars(sa.union_all(*lasts)).all()
