"""One asked-for change: provision a number, update it, or release it."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, rfc3339, words
from models.state import State


class Kind(StrEnum):
    PROVISION = "provision"
    UPDATE = "update"
    RELEASE = "release"


class OnOutOfStock(StrEnum):
    WAIT = "wait"  # stay queued and look again, until the deadline
    FAIL = "fail"


class Priority:
    """Who is claimed first. Plain numbers, since the due index sorts by them."""

    SINGLE = 0
    BULK = 1


_DUE = sa.text("due_at IS NOT NULL")
_REASONED = sa.text("reason IS NOT NULL")
_WAITS_FOR_STOCK = sa.text("stock_key IS NOT NULL")
_CONTRADICTED = sa.text("contradicted_at IS NOT NULL")

PARKED = sa.text("reason = 'upstream_paused' AND due_at IS NULL AND state = 'queued'")
"""Stepped aside while their upstream is paused. Written out, because only so is the index found that is made for it."""

BATCH_PAUSED = sa.text("reason = 'batch_paused' AND due_at IS NULL AND state = 'queued'")
"""Stepped aside while their batch is paused."""

OVER_LIMIT = sa.text("over_limit_of IS NOT NULL")
"""Waiting for room below a spending limit."""

_CHANGES = sa.text("kind <> 'provision'")

_DUE_AND_OUT = sa.text("due_at IS NOT NULL AND state <> 'queued'")


class Request(Base):
    __tablename__ = "requests"
    __table_args__ = (
        sa.UniqueConstraint("requester_id", "idempotency_key"),
        # What is due at one upstream. Partial: requests that ended are not in it, so it stays small for ever.
        sa.Index("ix_requests_due", "upstream", "priority", "due_at", postgresql_where=_DUE, sqlite_where=_DUE),
        # The same, by the line in which it stands: see `models.sharing`.
        sa.Index(
            "ix_requests_line",
            "upstream",
            "priority",
            sa.text("coalesce(batch_id, requester_id)"),
            "due_at",
            postgresql_where=_DUE,
            sqlite_where=_DUE,
        ),
        # What of it may be looked at while the upstream is paused: few rows, beside a backlog of any length.
        sa.Index(
            "ix_requests_due_and_out",
            "upstream",
            "priority",
            "due_at",
            postgresql_where=_DUE_AND_OUT,
            sqlite_where=_DUE_AND_OUT,
        ),
        sa.Index("ix_requests_list", "requester_id", "id"),
        sa.Index("ix_requests_list_by_state", "requester_id", "state", "id"),
        sa.Index("ix_requests_list_by_upstream", "requester_id", "upstream", "id"),
        sa.Index(
            "ix_requests_list_by_kind", "requester_id", "kind", "id", postgresql_where=_CHANGES, sqlite_where=_CHANGES
        ),
        sa.Index("ix_requests_list_by_batch", "batch_id", "requester_id", "id"),
        sa.Index(
            "ix_requests_list_by_reason",
            "requester_id",
            "reason",
            "id",
            postgresql_where=_REASONED,
            sqlite_where=_REASONED,
        ),
        sa.Index(
            "ix_requests_stock_key",
            "stock_key",
            "id",
            postgresql_where=_WAITS_FOR_STOCK,
            sqlite_where=_WAITS_FOR_STOCK,
        ),
        sa.Index("ix_requests_parked", "upstream", postgresql_where=PARKED, sqlite_where=PARKED),
        sa.Index("ix_requests_batch_paused", "batch_id", postgresql_where=BATCH_PAUSED, sqlite_where=BATCH_PAUSED),
        sa.Index("ix_requests_over_limit", "over_limit_of", "id", postgresql_where=OVER_LIMIT, sqlite_where=OVER_LIMIT),
        sa.Index("ix_requests_contradicted", "id", postgresql_where=_CONTRADICTED, sqlite_where=_CONTRADICTED),
        sa.Index("ix_requests_batch", "batch_id", "position"),
        sa.Index("ix_requests_custom_id", "requester_id", "custom_id"),
        # With the requester, or SQLite prefers to read all of that requester's rows.
        sa.Index("ix_requests_number", "number", "requester_id"),
        sa.Index("ix_requests_upstream_reference", "upstream_reference", "requester_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    requester_id: Mapped[UUID] = mapped_column(sa.ForeignKey("requesters.id"))
    batch_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey("batches.id"))
    position: Mapped[int | None]  # the row's place in its batch, from 1: results come in input order
    upstream: Mapped[str] = mapped_column(sa.String(32))
    kind: Mapped[Kind] = mapped_column(words(Kind))
    state: Mapped[State] = mapped_column(words(State))
    reason: Mapped[str | None] = mapped_column(sa.String(64))
    detail: Mapped[str | None] = mapped_column(sa.Text)
    idempotency_key: Mapped[str | None] = mapped_column(sa.String(255))
    body_digest: Mapped[str] = mapped_column(sa.String(64))  # same key, other body: refused
    custom_id: Mapped[str | None] = mapped_column(sa.String(255))
    custom_group: Mapped[str | None] = mapped_column(sa.String(255))
    endpoint_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey("endpoints.id"))
    notify_url: Mapped[str | None] = mapped_column(sa.Text)
    deadline: Mapped[datetime]  # when it stops waiting to be ordered
    on_out_of_stock: Mapped[OnOutOfStock] = mapped_column(words(OnOutOfStock))
    spec: Mapped[dict[str, Any]]
    number: Mapped[str | None] = mapped_column(sa.String(20))  # E.164
    upstream_reference: Mapped[str | None] = mapped_column(sa.String(255))
    pool: Mapped[str | None] = mapped_column(sa.String(64))  # the stock that the number was taken from
    stock_key: Mapped[str | None] = mapped_column(sa.String(64))  # what it waits for: see `models.stock_watch`
    # The key that asked for it. No foreign key: to check it costs for each row of a bulk job, and keys stay.
    key_id: Mapped[UUID | None]
    price_class: Mapped[str | None] = mapped_column(sa.String(32))  # the dearest it may buy, where its upstream has any
    spent_on: Mapped[date | None] = mapped_column(sa.Date)  # the day on which it has a place: see `models.spending`
    over_limit_of: Mapped[str | None] = mapped_column(sa.String(80))  # the subject of the limit that it waits for
    attempts: Mapped[int] = mapped_column(default=0)  # times it was claimed to be ordered
    retries: Mapped[int] = mapped_column(default=0)  # refusals in a row that provably bought nothing
    looks: Mapped[int] = mapped_column(default=0)  # look-ups since it was last ordered
    unknown_since: Mapped[datetime | None]  # when the order's outcome became unknown: settling counts from here
    absent_at: Mapped[datetime | None]  # since it was last ordered, a look-up first showed no trace of it
    accepted_at: Mapped[datetime | None]  # the upstream said that it has it: what then is not to be seen is not absent
    repeated: Mapped[bool] = mapped_column(default=False)  # an earlier order of it may have reached the upstream
    unanswered: Mapped[int] = mapped_column(default=0, server_default="0")  # claims in a row that nobody came back from
    told: Mapped[int] = mapped_column(default=0, server_default="0")  # events that its requester was to hear of
    fence: Mapped[int] = mapped_column(default=0)  # goes up with every claim; older claims cannot write
    priority: Mapped[int] = mapped_column(sa.SmallInteger)
    due_at: Mapped[datetime | None]
    contradicted_at: Mapped[datetime | None]  # evidence came that the final state is wrong: money may be lost
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


def line() -> sa.ColumnElement[UUID]:
    """The line in which a request waits for its turn."""
    return sa.func.coalesce(Request.batch_id, Request.requester_id)


def is_out() -> sa.ColumnElement[bool]:
    """The condition: ordered, or perhaps ordered. Written out, so that every plan may use the index that is made for
    it: PostgreSQL cannot where the value is a parameter of a prepared statement."""
    return Request.state != sa.literal_column("'queued'")


def is_of(kind: Kind) -> sa.ColumnElement[bool]:
    """The condition. What is no provision is one of few, and has an index, which is found by these very words."""
    condition = Request.kind == sa.literal_column(f"'{kind.value}'")
    return condition if kind is Kind.PROVISION else sa.and_(condition, _CHANGES)


def view(request: Request) -> dict[str, Any]:
    """The request as people and programs see it: the answer of `GET /v1/requests/{id}`, ready for JSON."""
    return {
        "id": str(request.id),
        "kind": str(request.kind),
        "upstream": request.upstream,
        "state": str(request.state),
        "reason": request.reason,
        "detail": request.detail,
        "number": request.number,
        "upstream_reference": request.upstream_reference,
        "pool": request.pool,
        "custom_id": request.custom_id,
        "custom_group": request.custom_group,
        "batch": None if request.batch_id is None else str(request.batch_id),
        "spec": request.spec,
        "attempts": request.attempts,
        "due_at": rfc3339(request.due_at),
        "deadline": rfc3339(request.deadline),
        "created_at": rfc3339(request.created_at),
        "updated_at": rfc3339(request.updated_at),
        "finished_at": rfc3339(request.finished_at),
    }
