"""Batches as people see them: in lists, how far each is, how long the rest will take, and why some of it stands still
or failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models.base import first_id_of, last_id_of
from models.batch import Batch, BatchState
from models.listing import page_of
from models.request import Request, line
from models.state import FINAL, OPEN, State

MOST = 10_000
"""Requests of each state that reasons are counted in: who has more of them knows enough."""

TOLD_BY_REASON = (State.FAILED, State.HELD, State.QUEUED)
"""States of which a person wants to know why."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a batch is."""

    batch: Batch
    counts: Mapping[State, int]

    @property
    def ended(self) -> int:
        return sum(self.counts.get(state, 0) for state in FINAL)

    @property
    def by_state(self) -> list[tuple[State, int]]:
        """Without the states that nothing is in, in the order in which a request goes through them."""
        return [(state, self.counts[state]) for state in State if self.counts.get(state)]

    @property
    def going(self) -> int:
        """Requests that go on without a person."""
        return sum(self.counts.get(state, 0) for state in OPEN - {State.HELD})

    def left(self, now: datetime) -> timedelta | None:
        """How long the rest takes at the batch's own pace, since it was made until now; None where it does not move,
        or nothing can be told yet. What is held waits for people, and is left out."""
        if self.batch.state is not BatchState.RUNNING or not self.ended or not self.going:
            return None
        return self.going * (now - self.batch.created_at) / self.ended


@dataclass(frozen=True, slots=True)
class Why:
    """How many requests of a batch are in a state for a reason; `is_whole` where all of that state were counted."""

    state: State
    reason: str | None
    count: int
    is_whole: bool = True


def list_batches(
    session: Session, requester_id: UUID | None, state: BatchState | None, limit: int, cursor: str | None = None
) -> tuple[list[Batch], str | None]:
    """A page of batches, newest first, and the next page's cursor. Raises BadCursor."""
    conditions: list[sa.ColumnElement[bool]] = []
    if requester_id is not None:
        conditions.append(Batch.requester_id == requester_id)
    if state is not None:
        conditions.append(Batch.state == state)
    if state in (BatchState.RUNNING, BatchState.PAUSED):
        conditions.append(Batch.finished_at.is_(None))
    return page_of(session, Batch, conditions, limit, cursor)


def reasons(session: Session, batch: Batch, now: datetime) -> list[Why]:
    """Why requests of a batch failed, are held, or wait: of each state the most frequent reason first."""
    return [why for state in TOLD_BY_REASON for why in _reasons_in(session, batch, state, now)]


def _reasons_in(session: Session, batch: Batch, state: State, now: datetime) -> list[Why]:
    """Its requests are as old as it is, so that the list by state is read in one place. By its line and not by its
    batch, so that no plan reads all of the batch to find the few that failed."""
    near = Request.id.between(first_id_of(batch.created_at), last_id_of(batch.sealed_at or now))
    condition = (Request.requester_id == batch.requester_id, Request.state == state, near, line() == batch.id)
    some = sa.select(Request.reason).where(*condition).limit(MOST).subquery()
    counted = sa.select(some.c.reason, sa.func.count()).group_by(some.c.reason)
    rows = [(reason, int(count)) for reason, count in session.execute(counted)]
    is_whole = sum(count for _, count in rows) < MOST
    told = rows if state is not State.QUEUED else [row for row in rows if row[0] is not None]
    return [
        Why(state, reason, count, is_whole) for reason, count in sorted(told, key=lambda row: (-row[1], row[0] or ""))
    ]
