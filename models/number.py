"""The inventory: the numbers that we hold, how each is configured, and which request it came from.

Written where a request completes, in the same transaction, so it can say nothing else than the requests do; and by a
person who sets right what an upstream's own list contradicts (`enter`, `forget`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import sets
from models.base import Base, new_id, rfc3339
from models.request import Kind, Request

Key = tuple[str, str]
"""Upstream and number (E.164)."""

EARLY = timedelta(hours=1)
"""A call this long before we knew of the number is still its new holder's: AVANSER places a test call on completion."""

_HELD = sa.text("released_at IS NULL")
_RELEASED = sa.text("released_at IS NOT NULL")


class Number(Base):
    """A number from when we got it to when we gave it up. One that comes back later is another row."""

    __tablename__ = "numbers"
    __table_args__ = (
        sa.Index("uq_numbers_held", "number", "upstream", unique=True, postgresql_where=_HELD, sqlite_where=_HELD),
        # With the requester, or SQLite prefers to read all of that requester's rows.
        sa.Index("ix_numbers_number", "number", "requester_id"),
        sa.Index("ix_numbers_upstream_reference", "upstream_reference", "requester_id"),
        sa.Index("ix_numbers_list", "requester_id", "id"),
        sa.Index("ix_numbers_list_by_upstream", "requester_id", "upstream", "id"),
        # Few among many: a list of them would else read all that are held.
        sa.Index("ix_numbers_released", "requester_id", "id", postgresql_where=_RELEASED, sqlite_where=_RELEASED),
        sa.Index("ix_numbers_custom_id", "requester_id", "custom_id"),
        sa.Index("ix_numbers_request", "request_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    requester_id: Mapped[UUID] = mapped_column(sa.ForeignKey("requesters.id"))
    upstream: Mapped[str] = mapped_column(sa.String(32))
    number: Mapped[str] = mapped_column(sa.String(20))  # E.164
    upstream_reference: Mapped[str | None] = mapped_column(sa.String(255))  # the upstream's own id
    request_id: Mapped[UUID]  # that made it ours; for a number older than Trunkline, the first that changed it
    custom_id: Mapped[str | None] = mapped_column(sa.String(255))
    custom_group: Mapped[str | None] = mapped_column(sa.String(255))
    pool: Mapped[str | None] = mapped_column(sa.String(64))  # the stock that it was taken from
    configuration: Mapped[dict[str, Any]]  # as asked for, with every update since
    held_since: Mapped[datetime]
    changed_at: Mapped[datetime]
    released_at: Mapped[datetime | None]
    released_by: Mapped[UUID | None]  # the request that gave it up


_TABLE: sa.Table = Number.__table__  # type: ignore[assignment]
_COLUMNS = tuple(_TABLE.columns.keys())


def record(session: Session, completed: Sequence[Request], now: datetime) -> None:
    """Bring the inventory to where these requests, which have just completed, have left it."""
    about = [row for row in completed if row.number is not None]
    if not about:
        return
    held = _held(session, {_key(row) for row in about}, lock=True)
    new: list[Number] = []
    for row in about:
        number = held.get(_key(row))
        if number is not None and row.kind is not Kind.PROVISION and number.requester_id != row.requester_id:
            continue  # an upstream's answer named another's number: of theirs nothing is changed
        match row.kind:
            case Kind.PROVISION:
                if number is not None:  # given up behind our back, and sold to us anew
                    _release(number, None, now)
                new.append(_new(row, now))
                held[_key(row)] = new[-1]
            case Kind.UPDATE if number is not None:
                _change(number, row, now)
            case Kind.UPDATE if not _was_ours(session, row):  # older than Trunkline
                new.append(_new(row, now))
                held[_key(row)] = new[-1]
            case Kind.RELEASE if number is not None:
                _release(number, row.id, now)
                held.pop(_key(row))
    session.flush()  # what was released, before the same number is held anew
    sets.insert(session.connection(), _TABLE, [{name: getattr(one, name) for name in _COLUMNS} for one in new])


def _was_ours(session: Session, row: Request) -> bool:
    """Whether we gave the number up since this was asked for: then the update was only slower than the release."""
    ended = sa.select(Number.id).where(
        Number.number == row.number, Number.upstream == row.upstream, Number.released_at > row.created_at
    )
    return session.scalar(ended.limit(1)) is not None


def _key(row: Request) -> Key:
    return row.upstream, row.number or ""


def _new(row: Request, now: datetime) -> Number:
    """Not of the session: written with all the others of its set."""
    return Number(
        id=new_id(),
        requester_id=row.requester_id,
        upstream=row.upstream,
        number=row.number or "",
        upstream_reference=row.upstream_reference,
        request_id=row.id,
        custom_id=row.custom_id,
        custom_group=row.custom_group,
        pool=row.pool,
        configuration=row.spec,
        held_since=now,
        changed_at=now,
    )


def _change(number: Number, row: Request, now: datetime) -> None:
    number.configuration = merged(number.configuration, row.spec)
    number.custom_id = row.custom_id if row.custom_id is not None else number.custom_id
    number.custom_group = row.custom_group if row.custom_group is not None else number.custom_group
    number.changed_at = now


def _release(number: Number, request_id: UUID | None, now: datetime) -> None:
    number.released_at, number.released_by, number.changed_at = now, request_id, now


def enter(
    session: Session,
    upstream: str,
    number: str,
    upstream_reference: str | None,
    requester_id: UUID,
    request_id: UUID,
    now: datetime,
) -> None:
    """Hold a number that nobody here asked for, such as one that a release has to be made of."""
    session.add(
        Number(
            id=new_id(),
            requester_id=requester_id,
            upstream=upstream,
            number=number,
            upstream_reference=upstream_reference,
            request_id=request_id,
            configuration={},
            held_since=now,
            changed_at=now,
        )
    )
    session.flush()


def forget(number: Number, now: datetime) -> None:
    """Hold a number no longer that its upstream does not have any more; no request gave it up."""
    _release(number, None, now)


def merged(before: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration after a change that leaves alone what it does not name, at every depth."""
    after = dict(before)
    for name, value in change.items():
        known = after.get(name)
        after[name] = merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return after


def lock(session: Session, keys: set[Key]) -> None:
    """Let nobody else touch these numbers until the transaction ends, as far as they are ours."""
    _held(session, keys, lock=True)


def held(session: Session, keys: Iterable[Key]) -> dict[Key, Number]:
    """Those of these numbers that we hold now."""
    return _held(session, set(keys), lock=False)


def _held(session: Session, keys: set[Key], *, lock: bool) -> dict[Key, Number]:
    if not keys:
        return {}
    statement = sa.select(Number).where(Number.number.in_({number for _, number in keys}), _HELD).order_by(Number.id)
    if lock:
        statement = statement.with_for_update()
    found = {(row.upstream, row.number): row for row in session.scalars(statement)}
    return {key: row for key, row in found.items() if key in keys}


def held_at(session: Session, wanted: Iterable[tuple[str, str, datetime]]) -> dict[tuple[str, str, datetime], Number]:
    """Who held these numbers at these times: for each upstream, number and moment the row, where there was one."""
    asked = set(wanted)
    if not asked:
        return {}
    statement = sa.select(Number).where(Number.number.in_({number for _, number, _ in asked}))
    rows = list(session.scalars(statement.order_by(Number.held_since.desc(), Number.id.desc())))
    found = {one: _holder(rows, *one) for one in asked}
    return {one: row for one, row in found.items() if row is not None}


def _holder(newest_first: Sequence[Number], upstream: str, number: str, moment: datetime) -> Number | None:
    first: Number | None = None
    for row in newest_first:
        if (row.upstream, row.number) != (upstream, number):
            continue
        if row.held_since <= moment:
            if row.released_at is None or moment < row.released_at:
                return row
            break
        first = row
    return first if first is not None and first.held_since - moment <= EARLY else None


def view(number: Number) -> dict[str, Any]:
    """The number as people and programs see it: the answer of `GET /v1/numbers/{number}`, ready for JSON."""
    return {
        "id": str(number.id),
        "number": number.number,
        "upstream": number.upstream,
        "upstream_reference": number.upstream_reference,
        "request": str(number.request_id),
        "custom_id": number.custom_id,
        "custom_group": number.custom_group,
        "pool": number.pool,
        "configuration": number.configuration,
        "held_since": rfc3339(number.held_since),
        "changed_at": rfc3339(number.changed_at),
        "released_at": rfc3339(number.released_at),
        "released_by": None if number.released_by is None else str(number.released_by),
    }
