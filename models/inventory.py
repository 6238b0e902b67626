"""The inventory as people see it: its numbers in lists, and the one that somebody means."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models import lookup
from models.listing import page_of, page_of_all
from models.lookup import FOUND
from models.number import Key, Number
from models.request import Request


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list is narrowed to; None is "any". `q` is a reference as in `models.lookup`."""

    upstream: str | None = None
    q: str | None = None
    released: bool | None = False  # given up, or held now

    @property
    def is_sifting(self) -> bool:
        """Whether they may leave few of many rows, which only an index finds."""
        return self.q is None and (self.upstream is not None or self.released is not None)


HELD = Filters()


def list_numbers(
    session: Session,
    requester_id: UUID | None,
    filters: Filters = HELD,
    limit: int = 100,
    cursor: str | None = None,
) -> tuple[list[Number], str | None]:
    """A page of the numbers of one requester (None: of all), the last that came first, and the next page's cursor.

    Raises BadCursor.
    """
    if requester_id is None and filters.is_sifting:
        return page_of_all(session, Number, lambda owner: _conditions(owner, filters), limit, cursor)
    return page_of(session, Number, _conditions(requester_id, filters), limit, cursor)


def _conditions(requester_id: UUID | None, filters: Filters) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if requester_id is not None:
        conditions.append(Number.requester_id == requester_id)
    if filters.upstream is not None:
        conditions.append(Number.upstream == filters.upstream)
    if filters.released is not None:
        conditions.append(Number.released_at.is_not(None) if filters.released else Number.released_at.is_(None))
    if filters.q is not None:
        conditions.append(Number.id.in_(lookup.matching_numbers(filters.q, requester_id)))
    return conditions


def find(session: Session, text: str, requester_id: UUID) -> list[Number]:
    """The numbers of a requester that `text`, a number in any format or a row's id, names; `_present` says which."""
    meanings: list[sa.ColumnElement[bool]] = []
    if forms := lookup.numbers_meant(text):
        meanings.append(Number.number.in_(forms))
    if (id_ := lookup.id_meant(text)) is not None:
        meanings.append(Number.id == id_)
    if not meanings:
        return []
    return _present(session, sa.and_(Number.requester_id == requester_id, sa.or_(*meanings)))


def find_by_any_name(session: Session, reference: str) -> list[Number]:
    """As `find`, of all requesters, and by custom_id, upstream reference or the request it came from as well."""
    return _present(session, Number.id.in_(lookup.matching_numbers(reference, None)))


def _present(session: Session, condition: sa.ColumnElement[bool]) -> list[Number]:
    """The numbers that are held now; where none of them is, those given up, each as it was held last.

    At most `FOUND`: whoever means more has not said whom they mean.
    """
    newest_first = (Number.released_at.is_not(None), Number.id.desc())
    rows = list(session.scalars(sa.select(Number).where(condition).order_by(*newest_first).limit(FOUND)))
    return [row for row in rows if row.released_at is None] or _last_of_each(rows)


def _last_of_each(newest_first: Iterable[Number]) -> list[Number]:
    last: dict[Key, Number] = {}
    for row in newest_first:
        last.setdefault((row.upstream, row.number), row)
    return list(last.values())


def requests_about(session: Session, number: Number, limit: int) -> list[Request]:
    """What was ever asked for about this number at its upstream, by anybody, the newest first."""
    about = sa.select(Request).where(Request.number == number.number, Request.upstream == number.upstream)
    return list(session.scalars(about.order_by(Request.id.desc()).limit(limit)))


def held_at_upstream(session: Session, upstream: str) -> list[Number]:
    """All numbers that we hold at one upstream, in the order of the numbers."""
    statement = sa.select(Number).where(Number.upstream == upstream, Number.released_at.is_(None))
    return list(session.scalars(statement.order_by(Number.number)))
