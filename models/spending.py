"""Spending: how many numbers may be bought in a day or by a batch, kept in the transaction that claims what is ordered.

Every provision that is being ordered, or was bought, has a place under each of its subjects: all upstreams, its
upstream, its price class, the API key that asked for it, and its batch. A claim locks the counts of those subjects, so
that no number of workers, and none that dies, exceeds a limit. A request keeps its place while it may have bought, and
gives it back when it provably bought nothing. Days are those of UTC; it counts on the day on which it was ordered.

Places are counted while any limit is set: a first limit counts from the moment when it is set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.base import Base, insert_for, rfc3339
from models.batch import Batch
from models.request import OVER_LIMIT, Kind, Request
from models.requester import ApiKey
from models.state import State

FOR_EVER = date(1970, 1, 1)
"""Stands where a day stands, for what is limited in all."""

EVERYWHERE = "all"

MOST_SUBJECTS = 1_000
"""Limits that requests wait for which are looked at in one round."""


class Spent(Base):
    """Places that are taken under one subject on one day."""

    __tablename__ = "spending"

    day: Mapped[date] = mapped_column(sa.Date, primary_key=True)
    subject: Mapped[str] = mapped_column(sa.String(80), primary_key=True)
    n: Mapped[int]


Place = tuple[date, str]
"""A day and a subject."""


@dataclass(frozen=True, slots=True)
class Block:
    """The limit that a request waits for."""

    subject: str
    limit: int
    until: datetime

    @property
    def detail(self) -> str:
        later = "" if is_total(self.subject) else f" at {rfc3339(self.until)}, or"
        reached = f"{describe(self.subject)} may take {self.limit:,} numbers: they are taken."
        return f"{reached} It goes on{later} when there is room."


def of_upstream(name: str) -> str:
    return f"upstream:{name}"


def of_class(name: str, price_class: str) -> str:
    return f"class:{name}:{price_class}"


def of_key(key_id: UUID) -> str:
    return f"key:{key_id}"


def of_batch(batch_id: UUID) -> str:
    return f"batch:{batch_id}"


def is_total(subject: str) -> bool:
    """Whether its limit is one in all, and not one a day."""
    return subject.startswith("batch:")


def describe(subject: str) -> str:
    """For people: `avanser in a day`."""
    kind, _, rest = subject.partition(":")
    match kind:
        case "upstream":
            return f"{rest} in a day"
        case "class":
            name, _, price_class = rest.partition(":")
            return f"Class {price_class} of {name} in a day"
        case "key":
            return f"API key {rest} in a day"
        case "batch":
            return "This batch"
    return "All upstreams in a day"


def day_of(moment: datetime) -> date:
    return moment.astimezone(UTC).date()


def next_day(moment: datetime) -> datetime:
    return datetime.combine(day_of(moment) + timedelta(days=1), time(), UTC)


def places_of(row: Request, day: date) -> list[Place]:
    """Where a request counts."""
    subjects = [EVERYWHERE, of_upstream(row.upstream), of_class(row.upstream, row.price_class or row.upstream)]
    places = [(day, subject) for subject in subjects]
    if row.key_id is not None:
        places.append((day, of_key(row.key_id)))
    if row.batch_id is not None:
        places.append((FOR_EVER, of_batch(row.batch_id)))
    return places


def take_places(
    session: Session, rows: Sequence[Request], ceilings: Mapping[str, int], now: datetime
) -> dict[UUID, Block]:
    """Take a place for each of these provisions, in their order; those for which there is none, and why.

    `ceilings` are the limits by subject that are settings; those of keys and batches are looked up. Two statements lock
    and write the counts, whatever the number of rows. Does not commit.
    """
    places = {row.id: places_of(row, day_of(now)) for row in rows}
    if not places:
        return {}
    keys = {row.key_id for row in rows if row.key_id is not None}
    batches = {row.batch_id for row in rows if row.batch_id is not None}
    limits = {**ceilings, **_limits(session, keys, batches)}
    taken = _add(session, {place: 0 for some in places.values() for place in some})
    new: Counter[Place] = Counter()
    blocks: dict[UUID, Block] = {}
    for row in rows:
        full = (place for place in places[row.id] if taken[place] + new[place] >= limits.get(place[1], _NO_LIMIT))
        if (first := next(full, None)) is not None:
            until = row.deadline if is_total(first[1]) else min(next_day(now), row.deadline)
            blocks[row.id] = Block(first[1], limits[first[1]], until)
        else:
            new.update(places[row.id])
    if new:
        _add(session, new)
    return blocks


_NO_LIMIT = float("inf")


def give_back(session: Session, places: Mapping[Place, int]) -> None:
    """So many places are free again. Does not commit."""
    if places:
        _add(session, {place: -n for place, n in places.items()})


def _add(session: Session, changes: Mapping[Place, int]) -> dict[Place, int]:
    """Add to the counts and lock them, in one order for all, so that no two wait crosswise; what they are then."""
    values: list[dict[str, Any]] = [
        {"day": day, "subject": subject, "n": n} for (day, subject), n in sorted(changes.items())
    ]
    statement = insert_for(session)(Spent).values(values)
    statement = statement.on_conflict_do_update(
        index_elements=["day", "subject"], set_={"n": Spent.n + statement.excluded.n}
    )
    rows = session.execute(statement.returning(Spent.day, Spent.subject, Spent.n))
    return {(day, subject): n for day, subject, n in rows}


def _limits(session: Session, keys: Collection[UUID], batches: Collection[UUID]) -> dict[str, int]:
    """Those of these keys and batches that have one, by subject."""
    limits: dict[str, int] = {}
    if keys:
        found = session.execute(sa.select(ApiKey.id, ApiKey.numbers_per_day).where(ApiKey.id.in_(keys)))
        limits |= {of_key(id_): limit for id_, limit in found if limit is not None}
    if batches:
        found = session.execute(sa.select(Batch.id, Batch.max_numbers).where(Batch.id.in_(batches)))
        limits |= {of_batch(id_): limit for id_, limit in found if limit is not None}
    return limits


def used(session: Session, subjects: Iterable[str], now: datetime) -> dict[str, int]:
    """Places that are taken today, and for batches in all; a subject of which none is taken is not in it."""
    names = list(subjects)
    on = sa.or_(Spent.day == day_of(now), Spent.day == FOR_EVER)
    rows = session.execute(sa.select(Spent.subject, Spent.n).where(Spent.subject.in_(names), on))
    return {row.subject: row.n for row in rows}


def is_freed(row: Request, start: State) -> bool:
    """Whether a request that moved here from `start` bought nothing, for sure, and so needs no place.

    One that was cancelled while held, or of which an earlier order may stand, may have been bought: it keeps its place.
    """
    if row.spent_on is None:
        return False
    if row.state is State.FAILED:
        return True
    return row.state in (State.QUEUED, State.CANCELLED) and start is not State.HELD and not row.repeated


def waited_for(session: Session, ceilings: Mapping[str, int], now: datetime) -> dict[str, int | None]:
    """The limits that requests wait for, and how much room there is below each; None where the limit is gone."""
    subjects = _subjects(session)
    if not subjects:
        return {}
    keys = [UUID(one.removeprefix("key:")) for one in subjects if one.startswith("key:")]
    batches = [UUID(one.removeprefix("batch:")) for one in subjects if one.startswith("batch:")]
    limits = {**ceilings, **_limits(session, keys, batches)}
    taken = used(session, subjects, now)
    return {one: limits[one] - taken.get(one, 0) if one in limits else None for one in subjects}


def _subjects(session: Session) -> list[str]:
    """A look into an index for each, however many requests wait."""

    def next_one(*further: sa.ColumnElement[bool]) -> sa.ScalarSelect[str | None]:
        waiting = sa.select(Request.over_limit_of).where(OVER_LIMIT, *further)
        return waiting.order_by(Request.over_limit_of).limit(1).scalar_subquery()

    seen = sa.select(next_one().label("subject")).cte("seen", recursive=True)
    seen = seen.union_all(
        sa.select(next_one(Request.over_limit_of > seen.c.subject)).where(seen.c.subject.is_not(None))
    )
    statement = sa.select(seen.c.subject).where(seen.c.subject.is_not(None)).limit(MOST_SUBJECTS)
    return list(session.scalars(statement))


def candidates(rows: Sequence[Request]) -> list[Request]:
    """Those of these due requests that a place must be found for before they may be ordered."""
    return [row for row in rows if row.kind is Kind.PROVISION and row.state is State.QUEUED and row.spent_on is None]
