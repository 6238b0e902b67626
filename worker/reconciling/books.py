"""Our side of a comparison: the inventory at one upstream, and the requests that numbers in question may belong to.

Read in sets: the inventory whole, everything else for those numbers alone that stand on one side only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models import inventory
from models.event import Event, EventKind
from models.number import Number
from models.request import Kind, Request
from models.requester import Requester
from models.state import OPEN
from worker.upstreams.base import OwnedNumber

AT_ONCE = 500
"""Numbers or ids in one query: below what any database takes."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Listed:
    """What an upstream has listed, whole, by number, and when it was asked."""

    upstream: str
    numbers: Mapping[str, OwnedNumber]
    started_at: datetime
    finished_at: datetime

    @classmethod
    def of(cls, upstream: str, rows: Iterable[OwnedNumber], started_at: datetime, finished_at: datetime) -> Listed:
        return cls(upstream, {row.number: row for row in rows}, started_at, finished_at)


@dataclass(slots=True)
class Books:
    """`purchases` and `changes` are open requests about a number; `lost` names, for a number, the ended request which
    a later word of the upstream contradicted."""

    held: Mapping[str, Number]
    requesters: Mapping[UUID, str]
    requests: dict[UUID, Request] = field(default_factory=dict)
    purchases: dict[str, list[Request]] = field(default_factory=lambda: defaultdict(list))
    changes: dict[str, list[Request]] = field(default_factory=lambda: defaultdict(list))
    by_custom_id: dict[str, list[Request]] = field(default_factory=lambda: defaultdict(list))
    given_up: dict[str, Number] = field(default_factory=dict)
    lost: dict[str, UUID] = field(default_factory=dict)


def read_books(session: Session, listed: Listed) -> Books:
    """Read after the list: so what was bought or given up before it was asked for stands in the books already."""
    held = {row.number: row for row in inventory.held_at_upstream(session, listed.upstream)}
    names = {row.id: row.name for row in session.scalars(sa.select(Requester))}
    books = Books(held, names)
    _read_open_requests(session, books, listed)
    extra = [row for number, row in listed.numbers.items() if number not in held]
    if extra:
        _read_given_up(session, books, listed.upstream, extra)
        _read_lost(session, books, listed.upstream)
        _read_keyed(session, books, listed.upstream, extra)
        _read_nameless(session, books, listed.upstream, extra)
    return books


def _read_open_requests(session: Session, books: Books, listed: Listed) -> None:
    """All that are about a number, however many numbers there are: one pass over what is open."""
    wanted = sa.select(Request).where(
        Request.upstream == listed.upstream, Request.state.in_(OPEN), Request.number.is_not(None)
    )
    for row in session.scalars(wanted.order_by(Request.id)):
        books.requests[row.id] = row
        (books.purchases if row.kind is Kind.PROVISION else books.changes)[str(row.number)].append(row)


def _read_given_up(session: Session, books: Books, upstream: str, extra: Sequence[OwnedNumber]) -> None:
    for some in _portions([row.number for row in extra]):
        ended = sa.select(Number).where(
            Number.upstream == upstream, Number.number.in_(some), Number.released_at.is_not(None)
        )
        books.given_up |= {row.number: row for row in session.scalars(ended.order_by(Number.released_at))}


def _read_lost(session: Session, books: Books, upstream: str) -> None:
    """Numbers that an upstream told of when their request had ended already."""
    contradicted = sa.select(Request).where(Request.contradicted_at.is_not(None), Request.upstream == upstream)
    rows = {row.id: row for row in session.scalars(contradicted)}
    books.requests |= rows
    for some in _portions(list(rows)):
        notes = sa.select(Event).where(
            Event.request_id.in_(some), Event.type == EventKind.NOTE, Event.reason == "late_contradiction"
        )
        for note in session.scalars(notes):
            if number := note.data.get("number"):
                books.lost[number] = note.request_id


def _read_keyed(session: Session, books: Books, upstream: str, extra: Sequence[OwnedNumber]) -> None:
    """The requests whose keys these numbers carry; AVANSER may show our id as the custom_id."""
    ids = {row.order for row in extra if row.order is not None}
    ids |= {id_ for row in extra if row.order is None and (id_ := id_in(row.custom_id)) is not None}
    for some in _portions(sorted(ids - books.requests.keys())):
        keyed = sa.select(Request).where(Request.id.in_(some), Request.upstream == upstream)
        books.requests |= {row.id: row for row in session.scalars(keyed)}


def _read_nameless(session: Session, books: Books, upstream: str, extra: Sequence[OwnedNumber]) -> None:
    """Open purchases under the custom_ids of numbers that carry no key of ours."""
    wanted = {row.custom_id for row in extra if row.order is None and row.custom_id is not None}
    for some in _portions(sorted(wanted)):
        rows = sa.select(Request).where(
            Request.requester_id.in_(books.requesters),  # the index begins with it
            Request.custom_id.in_(some),
            Request.upstream == upstream,
            Request.kind == Kind.PROVISION,
            Request.state.in_(OPEN),
        )
        for row in session.scalars(rows):
            books.requests[row.id] = row
            books.by_custom_id[str(row.custom_id)].append(row)


def id_in(text: str | None) -> UUID | None:
    """The request that a custom_id of our own making names."""
    try:
        return UUID(text) if text is not None else None
    except ValueError:
        return None


def _portions(wanted: Sequence[T]) -> Iterator[Sequence[T]]:
    return (wanted[start : start + AT_ONCE] for start in range(0, len(wanted), AT_ONCE))
