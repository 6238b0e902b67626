"""A bulk job: requests that were taken together, counted together, and paused together."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, rfc3339, words
from models.state import State


class BatchState(StrEnum):
    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    CANCELLED = "cancelled"


STEERED = sa.text("is_steered")
"""Written out, because only so is the index found that is made for it."""


LIMITED = sa.text("max_numbers IS NOT NULL AND finished_at IS NULL")


class Batch(Base):
    __tablename__ = "batches"
    __table_args__ = (
        sa.Index(
            "ix_batches_unfinished",
            "id",
            postgresql_where=sa.text("finished_at IS NULL"),
            sqlite_where=sa.text("finished_at IS NULL"),
        ),
        sa.Index("ix_batches_steered", "id", postgresql_where=STEERED, sqlite_where=STEERED),
        sa.Index("ix_batches_limited", "id", postgresql_where=LIMITED, sqlite_where=LIMITED),
        sa.Index("ix_batches_source", "requester_id", "source_digest"),
        sa.Index("ix_batches_list", "requester_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    requester_id: Mapped[UUID] = mapped_column(sa.ForeignKey("requesters.id"))
    name: Mapped[str] = mapped_column(sa.String(200))
    state: Mapped[BatchState] = mapped_column(words(BatchState))
    total: Mapped[int] = mapped_column(default=0)
    max_numbers: Mapped[int | None]  # that may be bought for it: see `models.spending`
    source_digest: Mapped[str | None] = mapped_column(sa.String(64))  # of the file; finds an interrupted intake
    sealed_at: Mapped[datetime | None]  # all its rows are taken; before that it cannot finish
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    # A person paused, resumed or cancelled it: see `parking`.
    is_steered: Mapped[bool] = mapped_column(default=False, server_default=sa.false())
    steered_by: Mapped[str | None] = mapped_column(sa.String(200))  # the last who did


def view(batch: Batch, counts: Mapping[State, int]) -> dict[str, Any]:
    """The batch as people and programs see it: the answer of `GET /v1/batches/{id}`, ready for JSON."""
    return {
        "id": str(batch.id),
        "name": batch.name,
        "state": str(batch.state),
        "total": batch.total,
        "max_numbers": batch.max_numbers,
        "counts": {state.value: counts.get(state, 0) for state in State},
        "created_at": rfc3339(batch.created_at),
        "finished_at": rfc3339(batch.finished_at),
        "results_url": f"/v1/batches/{batch.id}/results.ndjson",
    }
