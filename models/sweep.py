"""A sweep: one act of a person on every request that a filter matched, done a portion at a time, each outcome kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import sets
from models.base import Base, rfc3339, words
from models.listing import Filters, matching
from models.request import Kind, Request
from models.state import State

GATHERED_AT_ONCE = 10_000
"""Requests that one transaction writes down as belonging to a sweep: a tenth of a second, and SQLite has one writer."""


class SweepState(StrEnum):
    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    CANCELLED = "cancelled"  # what it has done stays done


class OutcomeKind(StrEnum):
    WAITING = "waiting"
    DONE = "done"
    REFUSED = "refused"  # its state did not allow it any more, or the filter does not match it any more
    GONE = "gone"  # there is no such request any more


_DUE = sa.text("due_at IS NOT NULL")

WAITING = sa.text("outcome = 'waiting'")
"""Written out, because only so is the index found that is made for it."""


class Sweep(Base):
    __tablename__ = "sweeps"
    __table_args__ = (sa.Index("ix_sweeps_due", "due_at", postgresql_where=_DUE, sqlite_where=_DUE),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    requester_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey("requesters.id"))  # None: the requests of all
    act: Mapped[str] = mapped_column(sa.String(32))
    filters: Mapped[dict[str, Any]]
    reason: Mapped[str] = mapped_column(sa.Text)  # why, in the person's own words
    actor: Mapped[str] = mapped_column(sa.String(200))
    previewed: Mapped[int]  # how many the person was shown that match; counted up to a bound
    rate: Mapped[int]  # requests a second
    state: Mapped[SweepState] = mapped_column(words(SweepState))
    newest: Mapped[UUID]  # when it was previewed: younger requests are none of its business
    seen_at: Mapped[datetime]  # when it was previewed: nor are those that have moved since
    cursor: Mapped[UUID | None]  # up to where its requests are gathered; None when all are
    gathered: Mapped[int] = mapped_column(default=0)
    done: Mapped[int] = mapped_column(default=0)
    refused: Mapped[int] = mapped_column(default=0)
    gone: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime | None]  # of the next portion; None while it is paused, and when it has ended
    made_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class SweepOutcome(Base):
    __tablename__ = "sweep_outcomes"
    __table_args__ = (
        sa.Index("ix_sweep_outcomes_waiting", "sweep_id", "request_id", postgresql_where=WAITING, sqlite_where=WAITING),
        sa.Index("ix_sweep_outcomes_kind", "sweep_id", "outcome", "request_id"),
    )

    # No foreign key to the request: one that is deleted leaves the word "gone" behind.
    sweep_id: Mapped[UUID] = mapped_column(sa.ForeignKey("sweeps.id"), primary_key=True)
    request_id: Mapped[UUID] = mapped_column(primary_key=True)
    outcome: Mapped[OutcomeKind] = mapped_column(words(OutcomeKind))
    why: Mapped[str | None] = mapped_column(sa.Text)  # it was refused


_OUTCOMES: sa.Table = SweepOutcome.__table__  # type: ignore[assignment]


def stored(filters: Filters) -> dict[str, Any]:
    """The filters as JSON; those that are not set are left out."""
    told = {name: value for name, value in asdict(filters).items() if value is not None}
    return {name: rfc3339(value) if isinstance(value, datetime) else _plain(value) for name, value in told.items()}


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool) else str(value)


_READ: Mapping[str, Any] = {
    "state": State, "kind": Kind, "batch_id": UUID, "made_before": datetime.fromisoformat,
}  # fmt: skip


def filters_of(sweep: Sweep) -> Filters:
    return Filters(**{name: _READ.get(name, lambda said: said)(value) for name, value in sweep.filters.items()})


def of_sweep(sweep: Sweep) -> list[sa.ColumnElement[bool]]:
    """What is true of a request that its filters match."""
    return matching(sweep.requester_id, filters_of(sweep))


@dataclass(frozen=True, slots=True)
class Alike:
    """So many requests that are alike in all that decides what may be done to them. `sample` is none of them: it has
    what they have in common, and nothing else."""

    count: int
    sample: Request


def alike(session: Session, requester_id: UUID | None, filters: Filters, now: datetime, most: int) -> list[Alike]:
    """What the filters match, in groups; they count up to `most` in all."""
    told = {
        "upstream": Request.upstream,
        "kind": Request.kind,
        "state": Request.state,
        "reason": Request.reason,
        "repeated": Request.repeated,
        "is_tried": Request.attempts > 0,
        "is_early": sa.func.coalesce(Request.due_at > now, sa.false()),
        "is_accepted": Request.accepted_at.is_not(None),
        "has_number": Request.number.is_not(None),
    }
    some: Any = sa.select(*(value.label(name) for name, value in told.items())).where(*matching(requester_id, filters))
    columns = some.limit(most).subquery().c
    rows = session.execute(sa.select(*columns, sa.func.count().label("n")).group_by(*columns))
    return [Alike(row.n, _sample(row, now)) for row in rows]


def _sample(row: Any, now: datetime) -> Request:
    return Request(
        id=UUID(int=0),
        upstream=row.upstream,
        kind=row.kind,
        state=row.state,
        reason=row.reason,
        repeated=row.repeated,
        attempts=1 if row.is_tried else 0,
        due_at=now + timedelta(seconds=1) if row.is_early else now,
        accepted_at=now if row.is_accepted else None,
        number="+" if row.has_number else None,
    )


def gather(session: Session, sweep: Sweep) -> int:
    """Write down the next requests that belong to the sweep, oldest first; returns how many. The sweep is locked.

    What came after the preview, or has moved since, is left alone: nobody has looked at it.
    """
    if sweep.cursor is None:
        return 0
    belongs = (Request.id <= sweep.newest, Request.updated_at <= sweep.seen_at, Request.id > sweep.cursor)
    some = sa.select(Request.id).where(*of_sweep(sweep), *belongs).order_by(Request.id).limit(GATHERED_AT_ONCE)
    ids = list(session.scalars(some))
    rows = [{"sweep_id": sweep.id, "request_id": id_, "outcome": OutcomeKind.WAITING, "why": None} for id_ in ids]
    sets.insert(session.connection(), _OUTCOMES, rows)
    sweep.gathered += len(ids)
    sweep.cursor = ids[-1] if len(ids) == GATHERED_AT_ONCE else None
    return len(ids)


def waiting(session: Session, sweep_id: UUID, limit: int) -> list[UUID]:
    """Requests of a sweep that were not tried yet, the oldest first."""
    statement = sa.select(SweepOutcome.request_id).where(SweepOutcome.sweep_id == sweep_id, WAITING)
    return list(session.scalars(statement.order_by(SweepOutcome.request_id).limit(limit)))


def settle(session: Session, sweep: Sweep, outcomes: Mapping[UUID, tuple[OutcomeKind, str | None]]) -> None:
    """Write down what came of these, in the transaction that does it. The sweep is locked."""
    rows = [
        {"sweep_id": sweep.id, "request_id": id_, "outcome": outcome, "why": why}
        for id_, (outcome, why) in outcomes.items()
    ]
    sets.insert(session.connection(), _OUTCOMES, rows, _over_the_waiting)
    kinds = [outcome for outcome, _ in outcomes.values()]
    sweep.done += kinds.count(OutcomeKind.DONE)
    sweep.refused += kinds.count(OutcomeKind.REFUSED)
    sweep.gone += kinds.count(OutcomeKind.GONE)


def _over_the_waiting(insert: Any) -> Any:
    settled = {"outcome": insert.excluded.outcome, "why": insert.excluded.why}
    return insert.on_conflict_do_update(index_elements=["sweep_id", "request_id"], set_=settled)


def outcomes(
    session: Session, sweep_id: UUID, kinds: Sequence[OutcomeKind] = (), after: UUID | None = None, limit: int = 100
) -> list[SweepOutcome]:
    """What came of its requests, in the order in which they were made, behind the request `after`; `kinds` alone,
    where any are named."""
    statement = sa.select(SweepOutcome).where(SweepOutcome.sweep_id == sweep_id)
    if kinds:
        statement = statement.where(SweepOutcome.outcome.in_(kinds))
    if after is not None:
        statement = statement.where(SweepOutcome.request_id > after)
    return list(session.scalars(statement.order_by(SweepOutcome.request_id).limit(limit)))


def newest(session: Session, limit: int = 20, before: UUID | None = None) -> list[Sweep]:
    """The sweeps, the newest first; those that are older than the one `before`, where it is said."""
    statement = sa.select(Sweep) if before is None else sa.select(Sweep).where(Sweep.id < before)
    return list(session.scalars(statement.order_by(Sweep.id.desc()).limit(limit)))


def locked(session: Session, *conditions: sa.ColumnElement[bool], skip: bool = False) -> Sweep | None:
    """The oldest sweep of which this is true, locked; with `skip`, of those that nobody else has locked."""
    statement = sa.select(Sweep).where(*conditions).order_by(Sweep.due_at, Sweep.id).limit(1)
    found = statement.with_for_update(skip_locked=skip).execution_options(populate_existing=True)
    return session.scalar(found)


def is_due(now: datetime) -> sa.ColumnElement[bool]:
    return sa.and_(Sweep.due_at.is_not(None), Sweep.due_at <= now)


def due_longest(session: Session, now: datetime) -> UUID | None:
    return session.scalar(sa.select(Sweep.id).where(is_due(now)).order_by(Sweep.due_at, Sweep.id).limit(1))


def postpone(session: Session, sweep_id: UUID, until: datetime) -> None:
    """Have it wait, where it is still under way."""
    session.execute(sa.update(Sweep).where(Sweep.id == sweep_id, Sweep.due_at.is_not(None)).values(due_at=until))


def view(sweep: Sweep) -> dict[str, Any]:
    """The sweep as people and programs see it, ready for JSON."""
    return {
        "id": str(sweep.id),
        "act": sweep.act,
        "filters": sweep.filters,
        "reason": sweep.reason,
        "actor": sweep.actor,
        "state": str(sweep.state),
        "rate": sweep.rate,
        "previewed": sweep.previewed,
        "gathered": sweep.gathered,
        "counts": counts(sweep),
        "made_at": rfc3339(sweep.made_at),
        "finished_at": rfc3339(sweep.finished_at),
    }


def counts(sweep: Sweep) -> dict[str, int]:
    """How many of those gathered came to what."""
    ended = {"done": sweep.done, "refused": sweep.refused, "gone": sweep.gone}
    return {"waiting": sweep.gathered - sum(ended.values())} | ended


def view_outcome(row: SweepOutcome) -> dict[str, Any]:
    return {"request": str(row.request_id), "outcome": str(row.outcome), "why": row.why}
