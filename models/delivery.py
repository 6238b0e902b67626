"""One result on its way to an endpoint: filed with the change that it tells of, settled when it arrived.

The deliveries of one event to several endpoints name the first of them as their `event_id`. An event that nobody takes
is a row all the same, for `models.stream`: it has no place to go to, and nothing is left to do with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid5

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Mapped, Session, lazyload, mapped_column
from sqlalchemy.sql.functions import FunctionElement

from models import sets
from models.base import Base, new_id, rfc3339, words
from models.endpoint import TEST, Endpoint


class DeliveryState(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"  # given up after the last try; `replay` sends it again


_DUE = sa.text("due_at IS NOT NULL")

TELLS_OF_PEOPLE = sa.text("type IN ('call.finished', 'message.received')")
"""Written out, because only so is the index found that is made for it."""

_FAILED = sa.text("state = 'failed'")
_PENDING = sa.text("state = 'pending'")
_PLACED = sa.text("endpoint_id IS NOT NULL")
_FIRST = sa.text("event_id IS NULL")
_OTHERS = sa.text("event_id IS NOT NULL")


class _Position(FunctionElement[int]):
    """Of a new row, where no other is given."""

    inherit_cache = True
    type = sa.BigInteger()


@compiles(_Position)
def _written(_element: _Position, _compiler: Any, **_: Any) -> str:
    return "0"


@compiles(_Position, "postgresql")
def _written_for_postgresql(_element: _Position, _compiler: Any, **_: Any) -> str:
    return "pg_current_xact_id()::text::bigint"


class Delivery(Base):
    """`id` is the `webhook-id`: the same over all tries and replays, so that the receiver can tell a repeat."""

    __tablename__ = "deliveries"
    __table_args__ = (
        # What is due, by the line in which it stands: see `models.dispatch`.
        sa.Index(
            "ix_deliveries_line",
            sa.text("coalesce(endpoint_id, host_id, requester_id)"),
            "due_at",
            postgresql_where=_DUE,
            sqlite_where=_DUE,
        ),
        sa.Index("ix_deliveries_request", "request_id"),
        sa.Index("ix_deliveries_list", "requester_id", "id"),
        sa.Index("ix_deliveries_endpoint", "endpoint_id", "id", postgresql_where=_PLACED, sqlite_where=_PLACED),
        sa.Index("ix_deliveries_failed", "requester_id", "id", postgresql_where=_FAILED, sqlite_where=_FAILED),
        sa.Index("ix_deliveries_people", "id", postgresql_where=TELLS_OF_PEOPLE, sqlite_where=TELLS_OF_PEOPLE),
        sa.Index("ix_deliveries_pending", "requester_id", "id", postgresql_where=_PENDING, sqlite_where=_PENDING),
        sa.Index(
            "ix_deliveries_events", "requester_id", "position", "id", postgresql_where=_FIRST, sqlite_where=_FIRST
        ),
        sa.Index("ix_deliveries_others", "event_id", postgresql_where=_OTHERS, sqlite_where=_OTHERS),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    requester_id: Mapped[UUID] = mapped_column(sa.ForeignKey("requesters.id"))
    endpoint_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey("endpoints.id"))
    url: Mapped[str | None] = mapped_column(sa.Text)  # of a one-off `notify_url`; else the endpoint's
    host_id: Mapped[UUID | None]  # of that URL: see `host_of`
    type: Mapped[str] = mapped_column(sa.String(64))
    request_id: Mapped[UUID | None]
    batch_id: Mapped[UUID | None]
    data: Mapped[dict[str, Any]]  # what it tells, as it was when it was filed
    state: Mapped[DeliveryState] = mapped_column(words(DeliveryState))
    attempts: Mapped[int] = mapped_column(default=0)
    fence: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    delivered_at: Mapped[datetime | None]
    last_status: Mapped[int | None]  # HTTP status of the last try; None where no answer came
    last_error: Mapped[str | None] = mapped_column(sa.Text)
    event_id: Mapped[UUID | None]  # the first delivery of the same event; None where this is it
    for_all: Mapped[bool] = mapped_column(default=False, server_default=sa.false())  # no one place was named for it
    sequence: Mapped[int | None]  # which of the events of its request this is, from 1
    position: Mapped[int] = mapped_column(sa.BigInteger, server_default=_Position())
    """Of its transaction. One that wrote deliveries before this one did so has a lower one, whichever commits first.

    PostgreSQL: the transaction's number. SQLite, which has one writer: one more than the requester's last.
    """

    @property
    def line_id(self) -> UUID:
        """As `line()`."""
        return self.endpoint_id or self.host_id or self.requester_id


def line() -> sa.ColumnElement[UUID]:
    """In which line a delivery stands: its endpoint's, or that of the host of its one-off URL. (Those that were filed
    before hosts were told apart stand in one for each requester.)"""
    return sa.func.coalesce(Delivery.endpoint_id, Delivery.host_id, Delivery.requester_id)


def host_of(requester_id: UUID, url: str) -> UUID:
    """The host and port of a one-off URL, as an id of this requester's own: what one requester's URLs do to a host is
    not held against another's."""
    return uuid5(requester_id, url.partition("//")[2].partition("/")[0].partition("?")[0].lower())


TABLE: sa.Table = Delivery.__table__  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a requester is to be told, before it is known where."""

    type: str
    requester_id: UUID
    data: Mapping[str, Any]
    request_id: UUID | None = None
    batch_id: UUID | None = None
    endpoint_id: UUID | None = None  # told only there
    notify_url: str | None = None  # told only there
    sequence: int | None = None


def in_state(state: DeliveryState) -> sa.ColumnElement[bool]:
    """The condition. Written out, so that every plan may use the index that is made for it."""
    return Delivery.state == sa.literal_column(f"'{state.value}'")


def has_place() -> sa.ColumnElement[bool]:
    """The condition that it goes somewhere: not so for an event that nobody takes."""
    return sa.or_(Delivery.endpoint_id.is_not(None), Delivery.url.is_not(None))


def file(session: Session, notices: Sequence[Notice], now: datetime) -> list[UUID]:
    """Write a delivery for each place that is to hear each notice; returns their ids, in order.

    A notice that names an endpoint or a URL goes there; any other to every endpoint of its requester that
    takes the type. One that nobody takes is kept as a row that goes nowhere.
    """
    if not notices:
        return []
    endpoints = _endpoints_of(session, {notice.requester_id for notice in notices})
    rows = [row for notice in notices for row in _rows(notice, endpoints.get(notice.requester_id, []), now)]
    insert(session, rows)
    return [row["id"] for row in rows if row["endpoint_id"] is not None or row["url"] is not None]


def file_test(session: Session, endpoint: Endpoint, now: datetime) -> Delivery:
    """File an event for this endpoint alone, whatever types it takes, to see whether it arrives."""
    told = {"endpoint": str(endpoint.id), "name": endpoint.name}
    (id_,) = file(session, [Notice(TEST, endpoint.requester_id, told, endpoint_id=endpoint.id)], now)
    return session.get_one(Delivery, id_)


def insert(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Write new deliveries, by one statement, with the position of this transaction."""
    if session.get_bind().dialect.name == "sqlite":
        positions = {owner: _last_position(session, owner) + 1 for owner in {row["requester_id"] for row in rows}}
        rows = [row | {"position": positions[row["requester_id"]]} for row in rows]
    sets.insert(session.connection(), TABLE, rows)


def _last_position(session: Session, requester_id: UUID) -> int:
    of_events = (Delivery.requester_id == requester_id, Delivery.event_id.is_(None))
    return session.scalar(sa.select(sa.func.max(Delivery.position)).where(*of_events)) or 0


def _endpoints_of(session: Session, requester_ids: Iterable[UUID]) -> dict[UUID, list[Endpoint]]:
    found: dict[UUID, list[Endpoint]] = {}
    of_theirs = sa.select(Endpoint).where(Endpoint.requester_id.in_(list(requester_ids)))
    for endpoint in session.scalars(of_theirs.where(Endpoint.disabled_at.is_(None)).options(lazyload(Endpoint.outage))):
        found.setdefault(endpoint.requester_id, []).append(endpoint)
    return found


def _targets(notice: Notice, endpoints: Sequence[Endpoint]) -> list[UUID | None]:
    if notice.notify_url is not None:
        return [None]
    if notice.endpoint_id is not None:
        return [notice.endpoint_id]
    return [endpoint.id for endpoint in endpoints if notice.type in endpoint.types]


def _rows(notice: Notice, endpoints: Sequence[Endpoint], now: datetime) -> list[dict[str, Any]]:
    """The first stands for the event."""
    targets = _targets(notice, endpoints)
    if not targets:
        settled = {"state": DeliveryState.DELIVERED, "due_at": None}
        return [row_of(notice, new_id(), None, None, now) | settled]
    ids = [new_id() for _ in targets]
    return [
        row_of(notice, id_, None if id_ == ids[0] else ids[0], target, now)
        for id_, target in zip(ids, targets, strict=True)
    ]


def row_of(notice: Notice, id_: UUID, event_id: UUID | None, endpoint_id: UUID | None, now: datetime) -> dict[str, Any]:
    """A delivery of this notice, due now, for `insert`. `event_id`: the first of the same event, where this is not."""
    return {
        "id": id_,
        "event_id": event_id,
        "for_all": notice.endpoint_id is None and notice.notify_url is None,
        "sequence": notice.sequence,
        "requester_id": notice.requester_id,
        "endpoint_id": endpoint_id,
        "url": notice.notify_url if endpoint_id is None else None,
        "host_id": host_of(notice.requester_id, notice.notify_url) if notice.notify_url and not endpoint_id else None,
        "type": str(notice.type),
        "request_id": notice.request_id,
        "batch_id": notice.batch_id,
        "data": dict(notice.data),
        "state": DeliveryState.PENDING,
        "attempts": 0,
        "fence": 0,
        "due_at": now,
        "created_at": now,
    }


def view(delivery: Delivery) -> dict[str, Any]:
    """The delivery as people and programs see it, ready for JSON."""
    return {
        "id": str(delivery.id),
        "event": str(delivery.event_id or delivery.id),
        "type": delivery.type,
        "state": str(delivery.state),
        "endpoint": None if delivery.endpoint_id is None else str(delivery.endpoint_id),
        "url": delivery.url,
        "request": None if delivery.request_id is None else str(delivery.request_id),
        "batch": None if delivery.batch_id is None else str(delivery.batch_id),
        "attempts": delivery.attempts,
        "last_status": delivery.last_status,
        "last_error": delivery.last_error,
        "due_at": rfc3339(delivery.due_at),
        "created_at": rfc3339(delivery.created_at),
        "delivered_at": rfc3339(delivery.delivered_at),
    }


def body(delivery: Delivery) -> dict[str, Any]:
    """What is sent: Standard Webhooks' three members, and `sequence` where it tells how a request changed."""
    told = {"type": delivery.type, "timestamp": rfc3339(delivery.created_at)}
    return told | ({} if delivery.sequence is None else {"sequence": delivery.sequence}) | {"data": delivery.data}


def replay(delivery: Delivery, now: datetime) -> None:
    """Send it again from the start of the schedule, whether or not it arrived, under the same id.

    For a row that the caller has locked. The new fence keeps a worker that is sending it right now from writing
    over this.
    """
    delivery.state = DeliveryState.PENDING
    delivery.attempts = 0
    delivery.fence += 1
    delivery.due_at = now
    delivery.delivered_at = None
