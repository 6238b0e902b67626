"""Which of our orders is after which number, where an upstream sells a number by its own id.

Two orders that see the same list of stock would both want its first number. Here each gets one of its own, before
it is ordered, and the request remembers it: whoever takes over after a crash asks for the same one again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.base import Base, insert_for

KEPT_FOR = timedelta(days=1)
"""So long nobody else of ours tries the number. It is ordered at once or it was another customer's; lists may lag."""

ROUNDS = 3
"""Of choosing: another transaction may take what was free a moment ago."""


class Reservation(Base):
    __tablename__ = "reservations"
    __table_args__ = (
        sa.Index("ix_reservations_until", "until"),
        sa.Index("ix_reservations_request", "request_id"),
    )

    upstream: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    reference: Mapped[str] = mapped_column(sa.String(255), primary_key=True)  # the upstream's own id of the number
    request_id: Mapped[UUID]
    until: Mapped[datetime]


@dataclass(frozen=True, slots=True)
class Want:
    """A request, and the ids of the numbers that would do, best first."""

    request_id: UUID
    references: Sequence[str]


def reserve(session: Session, upstream: str, wants: Sequence[Want], now: datetime) -> dict[UUID, str]:
    """Give each request the first of its numbers that no other of ours is after; a request that gets none is left
    out. Does not commit."""
    chosen: dict[UUID, str] = {}
    for _ in range(ROUNDS):
        open_wants = [want for want in wants if want.request_id not in chosen]
        tried = _free(session, upstream, open_wants, set(chosen.values()), now)
        if not tried:
            break
        chosen |= _insert(session, upstream, tried, now)
    return chosen


def give_up(session: Session, request_ids: Sequence[UUID]) -> None:
    """What these requests had reserved is free for others."""
    if request_ids:
        session.execute(sa.delete(Reservation).where(Reservation.request_id.in_(request_ids)))


def forget(session: Session, now: datetime) -> None:
    """Drop reservations whose time has run out."""
    session.execute(sa.delete(Reservation).where(Reservation.until <= now))


def _free(session: Session, upstream: str, wants: Sequence[Want], given: set[str], now: datetime) -> Mapping[UUID, str]:
    asked = {reference for want in wants for reference in want.references}
    known = sa.select(Reservation).where(
        Reservation.upstream == upstream, Reservation.reference.in_(asked), Reservation.until > now
    )
    holders = {row.reference: row.request_id for row in session.scalars(known)}
    found: dict[UUID, str] = {}
    for want in wants:
        for reference in want.references:
            if reference not in given and holders.get(reference, want.request_id) == want.request_id:
                found[want.request_id] = reference
                given.add(reference)
                break
    return found


def _insert(session: Session, upstream: str, tried: Mapping[UUID, str], now: datetime) -> dict[UUID, str]:
    """In the order of the ids, so that two sets that overlap wait for one another and do not deadlock."""
    got: dict[UUID, str] = {}
    for request_id, reference in sorted(tried.items(), key=lambda one: one[1]):
        values = {"upstream": upstream, "reference": reference, "request_id": request_id, "until": now + KEPT_FOR}
        statement = insert_for(session)(Reservation).values(**values)
        statement = statement.on_conflict_do_update(
            index_elements=["upstream", "reference"],
            set_={"request_id": request_id, "until": now + KEPT_FOR},
            where=sa.or_(Reservation.until <= now, Reservation.request_id == request_id),
        )
        if session.scalar(statement.returning(Reservation.reference)) is not None:
            got[request_id] = reference
    return got
