"""What the last comparison of our books with an upstream's own list has shown; one row for each upstream.

The row also says whose turn it is: a daily run is claimed by moving `claimed_until`, so that of several relays one
runs it, and one that died is followed by the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.base import Base, insert_for, rfc3339

MOST_KEPT = 1_000
"""Findings of one kind that are kept with the last report. The counts are whole; the command shows all there are."""


class FindingKind(StrEnum):
    ORPHAN = "orphan"  # paid at the upstream, and nobody here holds it
    LANDED = "landed"  # paid at the upstream by an order of ours that still waits for evidence
    TWICE = "twice"  # paid at the upstream, and it carries the key of a request that has got another number
    GHOST = "ghost"  # held here, and the upstream does not list it
    DRIFT = "drift"  # held by both, and the upstream's configuration is not the one asked for


class Reconciliation(Base):
    """`started_at` to `findings` are the last run that was answered; `failed_at` and `error` one since that was not."""

    __tablename__ = "reconciliations"

    upstream: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    waits_since: Mapped[datetime]  # the last run's start; before the first, when a relay first saw the upstream
    claimed_until: Mapped[datetime | None]  # a run is under way, or has just failed
    fence: Mapped[int] = mapped_column(default=0)  # goes up with every claim
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    counts: Mapped[dict[str, Any]]  # of all findings by kind; `ours` and `theirs` are how many numbers were compared
    findings: Mapped[list[Any]] = mapped_column(sa.JSON)
    failed_at: Mapped[datetime | None]
    error: Mapped[str | None] = mapped_column(sa.Text)


def due(session: Session, upstreams: Iterable[str], now: datetime, interval: timedelta) -> list[str]:
    """Those of these upstreams that are to be compared now, and those that were never seen here before."""
    wanted = set(upstreams)
    rows = session.scalars(sa.select(Reconciliation).where(Reconciliation.upstream.in_(wanted)))
    resting = {row.upstream for row in rows if not _is_due(row, now, interval)}
    return sorted(wanted - resting)


def _is_due(row: Reconciliation, now: datetime, interval: timedelta) -> bool:
    is_free = row.claimed_until is None or row.claimed_until <= now
    return is_free and row.waits_since <= now - interval


def claim(session: Session, upstream: str, now: datetime, interval: timedelta, lease: timedelta) -> int | None:
    """Take an upstream's run until the lease ends: its fence; None where it is not due, or another has taken it.

    One that was never seen before is only entered: its first run comes after the interval.
    """
    _enter(session, upstream, now)
    statement = sa.select(Reconciliation).where(Reconciliation.upstream == upstream).with_for_update()
    row = session.scalars(statement).one()
    if not _is_due(row, now, interval):
        return None
    row.fence, row.claimed_until = row.fence + 1, now + lease
    session.flush()
    return row.fence


def _enter(session: Session, upstream: str, now: datetime) -> None:
    values = {"upstream": upstream, "waits_since": now, "fence": 0, "counts": {}, "findings": []}
    statement = insert_for(session)(Reconciliation).values(**values)
    session.execute(statement.on_conflict_do_nothing(index_elements=["upstream"]))


def keep(
    session: Session,
    upstream: str,
    started_at: datetime,
    finished_at: datetime,
    counts: Mapping[str, int],
    findings: Sequence[Mapping[str, Any]],
) -> None:
    """Make this the last report. One that began before the report that stands there changes nothing."""
    _enter(session, upstream, started_at)
    newer = sa.or_(Reconciliation.started_at.is_(None), Reconciliation.started_at <= started_at)
    statement = sa.update(Reconciliation).where(Reconciliation.upstream == upstream, newer)
    session.execute(
        statement.values(
            waits_since=started_at,
            claimed_until=None,
            started_at=started_at,
            finished_at=finished_at,
            counts=dict(counts),
            findings=_first_of_each_kind(findings),
            failed_at=None,
            error=None,
        )
    )


def _first_of_each_kind(findings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    left = dict.fromkeys((kind.value for kind in FindingKind), MOST_KEPT)
    kept = []
    for one in findings:
        if left[one["kind"]]:
            left[one["kind"]] -= 1
            kept.append(dict(one))
    return kept


def keep_failure(
    session: Session, upstream: str, error: str, now: datetime, *, fence: int | None = None, rest: timedelta
) -> None:
    """Note that the upstream gave no whole list. The last report stands; a claimed run is tried again after `rest`."""
    _enter(session, upstream, now)
    statement = sa.update(Reconciliation).where(Reconciliation.upstream == upstream)
    session.execute(statement.values(failed_at=now, error=error))
    if fence is not None:
        session.execute(statement.where(Reconciliation.fence == fence).values(claimed_until=now + rest))


def reports(session: Session) -> list[Reconciliation]:
    """The last report of each upstream for which there is one, or for which the last try failed."""
    told = sa.or_(Reconciliation.started_at.is_not(None), Reconciliation.failed_at.is_not(None))
    return list(session.scalars(sa.select(Reconciliation).where(told).order_by(Reconciliation.upstream)))


def known_since(session: Session, upstream: str) -> dict[tuple[str, str], str]:
    """When a run first showed each finding of the last report, by kind and number; RFC 3339."""
    row = session.get(Reconciliation, upstream)
    return {} if row is None else {(one["kind"], one["number"]): one["since"] for one in row.findings}


def view(row: Reconciliation) -> dict[str, Any]:
    """The report as people and programs see it, ready for JSON."""
    return {
        "upstream": row.upstream,
        "started_at": rfc3339(row.started_at),
        "finished_at": rfc3339(row.finished_at),
        "counts": row.counts,
        "findings": row.findings,
        "failed_at": rfc3339(row.failed_at),
        "error": row.error,
    }
