"""Lists: newest first, filtered, a page at a time by key, so that page 1,000 costs what page 1 does."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models import lookup
from models.act import Act
from models.base import last_id_of
from models.batch import Batch
from models.call import Call
from models.dead_letter import DeadLetter
from models.inbox import Received
from models.message import Message
from models.number import Number
from models.request import Kind, Request, is_of
from models.requester import Requester
from models.state import State

LONGEST_PAGE = 1_000

AT_ONCE = 200
"""Requesters asked about in one statement; SQLite takes up to 500 parts of one."""

Row = TypeVar("Row", Request, Number, Call, Message, Received, Act, Batch, DeadLetter)

Condition = sa.ColumnElement[bool]


class BadCursor(Exception):
    """The cursor is none that a page of ours ended with."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list is narrowed to; None is "any". `q` is a reference as in `models.lookup`."""

    state: State | None = None
    upstream: str | None = None
    kind: Kind | None = None
    batch_id: UUID | None = None
    reason: str | None = None
    q: str | None = None
    contradicted: bool | None = None  # news came that its end, or its number, is not what we think
    made_before: datetime | None = None

    @property
    def is_sifting(self) -> bool:
        """Whether they may leave few of many rows, which only an index finds."""
        return self.q is None and any((self.state, self.upstream, self.kind, self.reason, self.batch_id))


NO_FILTERS = Filters()


def list_requests(
    session: Session,
    requester_id: UUID | None,
    filters: Filters = NO_FILTERS,
    limit: int = 100,
    cursor: str | None = None,
) -> tuple[list[Request], str | None]:
    """A page of requests of one requester (None: of all), and the cursor of the next page; None where it is the last.

    Requests that come in meanwhile are newer and so on no later page: none is shown twice, none left out.
    Raises BadCursor.
    """
    if requester_id is None and filters.is_sifting:
        return page_of_all(session, Request, lambda owner: _conditions(owner, filters), limit, cursor)
    return page_of(session, Request, _conditions(requester_id, filters), limit, cursor)


def page_of_all(
    session: Session, table: type[Row], conditions_of: Callable[[UUID], list[Condition]], limit: int, cursor: str | None
) -> tuple[list[Row], str | None]:
    """As `page_of`, of all requesters, where each index begins with one: so the newest that meet `conditions_of` each
    are found, and of these the newest. Raises BadCursor."""
    limit = max(1, min(limit, LONGEST_PAGE))
    before = () if cursor is None else (table.id < _after(cursor),)
    newest: list[UUID] = []
    for owners in _batched(session.scalars(sa.select(Requester.id)).all()):
        of_each = [
            sa.select(table.id)
            .where(*conditions_of(owner), *before)
            .order_by(table.id.desc())
            .limit(limit + 1)
            .subquery()
            for owner in owners
        ]
        found: Sequence[UUID] = session.scalars(sa.union_all(*(sa.select(one.c.id) for one in of_each))).all()
        newest = heapq.nlargest(limit + 1, [*newest, *found])
    rows = list(session.scalars(sa.select(table).where(table.id.in_(newest)).order_by(table.id.desc())))
    return rows[:limit], rows[limit - 1].id.hex if len(rows) > limit else None


def _batched(owners: Sequence[UUID]) -> Iterator[Sequence[UUID]]:
    return (owners[start : start + AT_ONCE] for start in range(0, len(owners), AT_ONCE))


def page_of(
    session: Session, table: type[Row], conditions: Iterable[sa.ColumnElement[bool]], limit: int, cursor: str | None
) -> tuple[list[Row], str | None]:
    """A page of the rows that meet these conditions, and the cursor of the next page; None where it is the last.

    Raises BadCursor.
    """
    limit = max(1, min(limit, LONGEST_PAGE))
    statement = sa.select(table).where(*conditions).order_by(table.id.desc())
    if cursor is not None:
        statement = statement.where(table.id < _after(cursor))
    rows = list(session.scalars(statement.limit(limit + 1)))
    more = len(rows) > limit
    return rows[:limit], rows[limit - 1].id.hex if more else None


def _conditions(requester_id: UUID | None, filters: Filters) -> list[sa.ColumnElement[bool]]:
    exact = {
        Request.requester_id: requester_id,
        Request.state: filters.state,
        Request.upstream: filters.upstream,
        Request.batch_id: filters.batch_id,
        Request.reason: filters.reason,
    }
    conditions: list[sa.ColumnElement[bool]] = [column == value for column, value in exact.items() if value is not None]
    if filters.kind is not None:
        conditions.append(is_of(filters.kind))
    if filters.contradicted is not None:
        flagged = Request.contradicted_at.is_not(None)
        conditions.append(flagged if filters.contradicted else ~flagged)
    if filters.made_before is not None:
        # Ids ascend with time: so what is younger is not read to be left out.
        conditions += [Request.created_at < filters.made_before, Request.id <= last_id_of(filters.made_before)]
    if filters.q is not None:
        conditions.append(Request.id.in_(lookup.matching(filters.q, requester_id)))
    return conditions


def matching(requester_id: UUID | None, filters: Filters) -> list[sa.ColumnElement[bool]]:
    """What is true of the requests that a list so narrowed shows, for statements of other kinds.

    All requesters (None) are named, because the indexes begin with them."""
    of_all = [Request.requester_id.in_(sa.select(Requester.id))] if requester_id is None else []
    return [*of_all, *_conditions(requester_id, filters)]


def _after(cursor: str) -> UUID:
    try:
        return UUID(hex=cursor)
    except ValueError:
        raise BadCursor(f"not a cursor: {cursor!r}") from None
