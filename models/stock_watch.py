"""Waiting for stock: one look at an upstream's stock serves every request that waits for the same.

The requests are parked (`queued`, `out_of_stock`), and the watch is the row that is due. When stock has come back,
as many of them are woken as it will do for, oldest first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.base import Base, insert_for, new_id
from models.request import Request
from models.state import Reason, State

Key = str
"""Of what is waited for: requests with the same key wait for the same stock."""

MOST_WOKEN = 500
"""Requests that one look wakes at the most; the next look follows soon."""


class StockWatch(Base):
    __tablename__ = "stock_watches"
    __table_args__ = (
        sa.UniqueConstraint("upstream", "key"),
        sa.Index("ix_stock_watches_due", "upstream", "due_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    upstream: Mapped[str] = mapped_column(sa.String(32))
    key: Mapped[str] = mapped_column(sa.String(64))
    query: Mapped[dict[str, Any]]  # what to ask the upstream's stock
    fence: Mapped[int] = mapped_column(default=0)
    width: Mapped[int] = mapped_column(default=1)  # how many to wake where the stock cannot be asked
    due_at: Mapped[datetime]
    looked_at: Mapped[datetime | None]
    found: Mapped[int | None]  # numbers in stock at the last look; None where it could not be asked


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request waits for."""

    key: Key
    query: Mapping[str, str]


def watch(session: Session, upstream: str, wishes: Sequence[Wish], now: datetime, interval: timedelta) -> None:
    """See to it that somebody looks for this stock when the interval is over.

    Also where a watch is there already, its row is written: one that is about to end it waits, and then sees us. Who
    was woken by its last look and got nothing puts the next one off to its regular time.
    """
    for key, query in sorted({wish.key: wish.query for wish in wishes}.items()):
        values: dict[str, Any] = {"id": new_id(), "upstream": upstream, "key": key, "query": dict(query)}
        values |= {"fence": 0, "width": 1, "due_at": now + interval}
        statement = insert_for(session)(StockWatch).values(**values)
        statement = statement.on_conflict_do_update(index_elements=["upstream", "key"], set_={"width": 1})
        row = session.scalars(statement.returning(StockWatch), execution_options={"populate_existing": True}).one()
        if row.looked_at is not None:
            row.due_at = max(row.due_at, row.looked_at + interval)
    session.flush()


def claim(session: Session, upstream: str, limit: int, now: datetime, lease: timedelta) -> list[StockWatch]:
    """Take up to `limit` watches of an upstream that are due, until the lease ends."""
    statement = sa.select(StockWatch).where(StockWatch.upstream == upstream, StockWatch.due_at <= now)
    statement = statement.order_by(StockWatch.due_at).limit(limit).with_for_update(skip_locked=True)
    rows = list(session.scalars(statement))
    for row in rows:
        row.fence, row.due_at = row.fence + 1, now + lease
    session.flush()
    return rows


def lock(session: Session, claimed: StockWatch) -> StockWatch | None:
    """The watch as it is now, locked; None where another has claimed it since, or ended it."""
    statement = sa.select(StockWatch).where(StockWatch.id == claimed.id, StockWatch.fence == claimed.fence)
    return session.scalar(statement.with_for_update().execution_options(populate_existing=True))


def count_due(session: Session, upstream: str, now: datetime) -> int:
    due = sa.select(sa.func.count()).select_from(StockWatch)
    return session.scalar(due.where(StockWatch.upstream == upstream, StockWatch.due_at <= now)) or 0


def waiting(session: Session, upstream: str, key: Key, now: datetime) -> list[Request]:
    """The requests that are parked for this stock, oldest first, locked; at most `MOST_WOKEN` of them."""
    statement = (
        sa.select(Request)
        .where(
            Request.upstream == upstream,
            Request.stock_key == key,
            Request.state == State.QUEUED,
            Request.reason == Reason.OUT_OF_STOCK,
            Request.due_at > now,
        )
        .order_by(Request.id)
        .limit(MOST_WOKEN)
    )
    return list(session.scalars(statement.with_for_update()))
