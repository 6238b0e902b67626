"""Outages: destinations that fail. A circuit breaker for each endpoint, which all workers share and no restart forgets.

A row is an outage; no row is none, so that what is well costs nothing. While a breaker is open one result at a time is
sent as a probe, after growing waits; the rest waits. When a probe arrives it closes by itself, and what waited goes out
at a rate that doubles every ten seconds for a minute.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import sets
from models.base import Base, rfc3339

OPENS_AFTER = 10
"""Failures in a row, and"""

OPENS_AFTER_TIME = timedelta(minutes=1)
"""for so long: a receiver that is started anew refuses everything for seconds, and its results are back on the first
steps of the schedule anyway. What fails for a minute, ten times and more, is an outage."""

OPENS_AGAIN_AFTER = 3
"""Failures in a row, where it has only just closed."""

PAUSES_AFTER = timedelta(days=3)
"""With nothing but failures: as long as the schedule of one result. Then people should know."""

FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=30), timedelta(minutes=15)
"""Between two probes: doubling from one to the other."""

PAUSED_WAIT = timedelta(hours=1)

RAMP = timedelta(minutes=1)
RAMP_DOUBLES = timedelta(seconds=10)
RAMP_BEGINS = 5.0
"""Results a second, right after a breaker has closed."""

HOSTS_FORGOTTEN_AFTER = timedelta(days=1)
"""Without a failure: one-off hosts to which nothing is sent any more."""


class Health(StrEnum):
    HEALTHY = "healthy"
    FAILING = "failing"  # its last results failed; each is tried again on its schedule
    OPEN = "open"  # its breaker is: one probe at a time
    PAUSED = "paused"  # nothing but failures for three days; probed every hour
    RECOVERING = "recovering"  # what waited goes out, ever faster


class Outage(Base):
    """Of an endpoint, or of the host of one-off URLs; such a host has no breaker, only fewer calls in flight."""

    __tablename__ = "outages"
    __table_args__ = (
        sa.Index(
            "ix_outages_hosts",
            "failed_at",
            postgresql_where=sa.text("endpoint_id IS NULL"),
            sqlite_where=sa.text("endpoint_id IS NULL"),
        ),
    )

    line_id: Mapped[UUID] = mapped_column(primary_key=True)
    endpoint_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey("endpoints.id"))
    failures: Mapped[int]  # in a row
    began_at: Mapped[datetime]  # the first of them
    failed_at: Mapped[datetime]  # the last
    error: Mapped[str] = mapped_column(sa.Text)  # what it was
    probes: Mapped[int]  # that failed, since it was last well
    opened_at: Mapped[datetime | None]
    probe_at: Mapped[datetime | None]  # while it is open: when the next may go
    paused_at: Mapped[datetime | None]
    recovering_at: Mapped[datetime | None]  # since when, where it has closed

    def health(self) -> Health:
        if self.paused_at is not None:
            return Health.PAUSED
        if self.opened_at is not None:
            return Health.OPEN
        return Health.FAILING if self.recovering_at is None else Health.RECOVERING

    @property
    def is_open(self) -> bool:
        return self.opened_at is not None

    def rate(self, now: datetime) -> float | None:
        """Results a second that may go there; None where nothing is to be made good."""
        if self.recovering_at is None or now - self.recovering_at >= RAMP:
            return None
        return RAMP_BEGINS * math.pow(2.0, (now - self.recovering_at) / RAMP_DOUBLES)


_TABLE: sa.Table = Outage.__table__  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of the tries of one line that ended together, the oldest first. `error` of each, or None."""

    line_id: UUID
    endpoint_id: UUID | None
    results: Sequence[tuple[datetime, str | None]]
    is_probe: bool = False
    was_failing: bool = False  # there was an outage when they were claimed

    @property
    def has_failed(self) -> bool:
        return any(error is not None for _, error in self.results)


@dataclass(frozen=True, slots=True)
class Change:
    """An endpoint whose health is another now, for people."""

    endpoint_id: UUID
    health: Health
    error: str


def note(session: Session, heard: Sequence[Heard], now: datetime) -> tuple[set[UUID], list[Change]]:
    """Write down how lines do. Returns those whose breaker is open now, and the endpoints whose health changed.

    It asks the database nothing where all is well.
    """
    told = {one.line_id: one for one in heard if one.was_failing or one.has_failed}
    if not told:
        return set(), []
    _begin(session, [one for one in told.values() if one.has_failed])
    locked = sa.select(Outage).where(Outage.line_id.in_(list(told))).order_by(Outage.line_id).with_for_update()
    rows = list(session.scalars(locked.execution_options(populate_existing=True)))
    changes = []
    for row in rows:
        before, after = row.health(), _go_on(session, row, told[row.line_id], now)
        if row.endpoint_id is not None and after is not before and {before, after} & {Health.OPEN, Health.PAUSED}:
            changes.append(Change(row.endpoint_id, after, row.error))
    session.flush()
    return {row.line_id for row in rows if row.is_open}, changes


def _go_on(session: Session, row: Outage, heard: Heard, now: datetime) -> Health:
    if _is_over(row, heard, now):
        session.delete(row)
        return Health.HEALTHY
    _judge(row, heard, now)
    return row.health()


def _begin(session: Session, failed: Sequence[Heard]) -> None:
    """A row for each that fails, where there is none: of no failures yet."""
    rows = []
    for one in sorted(failed, key=lambda one: one.line_id):
        first, error = next((at, error) for at, error in one.results if error is not None)
        rows.append(
            {"line_id": one.line_id, "endpoint_id": one.endpoint_id, "failures": 0, "began_at": first,
             "failed_at": first, "error": error, "probes": 0}
        )  # fmt: skip
    if rows:
        sets.insert(session.connection(), _TABLE, rows, _unless_there)


def _unless_there(statement: Any) -> Any:
    return statement.on_conflict_do_nothing(index_elements=["line_id"])


def _is_over(row: Outage, heard: Heard, now: datetime) -> bool:
    """Whether it is well again: its last result arrived, and nothing is to be made good any more."""
    if heard.results[-1][1] is not None or row.is_open:
        return False
    return row.recovering_at is None or now - row.recovering_at >= RAMP


def _judge(row: Outage, heard: Heard, now: datetime) -> None:
    for at, error in heard.results:
        if error is None:
            _arrived(row, now)
        else:
            _failed(row, at, error)
    if heard.results[-1][1] is None or row.endpoint_id is None:
        return
    if row.is_open and heard.is_probe:
        _wait(row, now)
    elif not row.is_open and _opens(row, now):
        row.opened_at, row.recovering_at = now, None
        _wait(row, now)


def _arrived(row: Outage, now: datetime) -> None:
    row.failures = 0
    if row.is_open:
        row.opened_at = row.probe_at = row.paused_at = None
        row.recovering_at = now


def _failed(row: Outage, at: datetime, error: str) -> None:
    if row.failures == 0:
        row.began_at = at
    row.failures += 1
    row.failed_at, row.error = at, error


def _opens(row: Outage, now: datetime) -> bool:
    if row.rate(now) is not None:
        return row.failures >= OPENS_AGAIN_AFTER
    lasted = now - row.began_at
    return (row.failures >= OPENS_AFTER and lasted >= OPENS_AFTER_TIME) or lasted >= PAUSES_AFTER


def _wait(row: Outage, now: datetime) -> None:
    if row.paused_at is None and now - row.began_at >= PAUSES_AFTER:
        row.paused_at = now
    wait = PAUSED_WAIT if row.paused_at is not None else min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(row.probes, 20))
    row.probes += 1
    row.probe_at = now + wait


def take_probes(session: Session, line_ids: Sequence[UUID], now: datetime, until: datetime) -> set[UUID]:
    """Take the right to probe these for ourselves, until then; returns those of which nobody else has it."""
    ready = sa.select(Outage.line_id).where(Outage.line_id.in_(line_ids), Outage.probe_at <= now)
    mine = set(session.scalars(ready.order_by(Outage.line_id).with_for_update(skip_locked=True)))
    if mine:
        session.execute(sa.update(Outage).where(Outage.line_id.in_(mine)).values(probe_at=until))
    return mine


def forget(session: Session, line_id: UUID) -> None:
    """Begin anew there: what waits is due at once."""
    session.execute(sa.delete(Outage).where(Outage.line_id == line_id))


def forget_hosts(session: Session, now: datetime) -> None:
    """Forget one-off hosts to which nothing has been sent for long."""
    old = (Outage.endpoint_id.is_(None), Outage.failed_at < now - HOSTS_FORGOTTEN_AFTER)
    session.execute(sa.delete(Outage).where(*old))


def of_endpoints(session: Session) -> list[Outage]:
    """All that endpoints have, the oldest first."""
    of_them = sa.select(Outage).where(Outage.endpoint_id.is_not(None))
    return list(session.scalars(of_them.order_by(Outage.began_at)))


def view(outage: Outage | None) -> Mapping[str, Any]:
    """How an endpoint is, for its owner, ready for JSON."""
    return {
        "health": str(Health.HEALTHY if outage is None else outage.health()),
        "failing_since": rfc3339(outage.began_at) if outage is not None and outage.failures else None,
        "paused_at": rfc3339(outage.paused_at) if outage is not None else None,
        "next_probe_at": rfc3339(outage.probe_at) if outage is not None else None,
        "last_error": outage.error if outage is not None else None,
    }
