"""One comparison of our books with an upstream's list: on demand, or the daily one that a relay's tick begins.

The list is read whole or not at all: one that breaks off says nothing about any number. It is read on a loop and a
connection of its own, so that a long one keeps no order waiting.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial

from sqlalchemy.engine import Engine

from models import reconciliation
from models.base import read, rfc3339, write
from models.clock import Clock
from worker import inquiry, logs
from worker.reconciling.books import Listed, read_books
from worker.reconciling.compare import Report, compare
from worker.runtime import Runtime
from worker.settings import Settings
from worker.upstreams import DIALECTS
from worker.upstreams.base import OwnedNumber, Unavailable, WrongAccount

log = logging.getLogger(__name__)

LISTED_WITHIN = timedelta(minutes=15)
"""For all pages of a list: 100,000 numbers of MessageMedia's are 2,000 pages, one after the other."""

LEASE = LISTED_WITHIN + timedelta(minutes=15)
"""Of a daily run: the list, and the time to compare and keep it."""

REST = timedelta(minutes=15)
"""After a daily run that got no list, before the next try."""

LANE = "reconciliation"

Ask = Callable[[], Sequence[OwnedNumber]]


def asking(name: str, settings: Settings) -> Ask:
    """How to ask an upstream for its list. What that raises, `inquiry.owned` says."""
    return lambda: inquiry.owned(name, settings, LISTED_WITHIN)


def look(engine: Engine, name: str, ask: Ask, settling: timedelta, clock: Clock) -> Report:
    """Compare, and keep nothing. Raises Unavailable, WrongAccount, SettingsError."""
    started_at = clock.now()
    rows = ask()
    listed = Listed.of(name, rows, started_at, clock.now())
    books = read(engine, lambda session: read_books(session, listed))
    return compare(listed, books, DIALECTS[name], settling)


def reconcile(
    engine: Engine, name: str, ask: Ask, settling: timedelta, clock: Clock, *, fence: int | None = None
) -> tuple[Report, list[str]]:
    """Compare and keep the report; returns it, and for each finding when a run first showed it (RFC 3339).

    Where the upstream gave no list that is kept, and raised: Unavailable, WrongAccount. The last report stands then.
    """
    try:
        report = look(engine, name, ask, settling, clock)
    except (Unavailable, WrongAccount) as error:
        said, now = str(error), clock.now()
        write(
            engine,
            lambda session: reconciliation.keep_failure(session, name, said, now, fence=fence, rest=REST),
        )
        raise
    known = read(engine, lambda session: reconciliation.known_since(session, name))
    today = str(rfc3339(report.listed.started_at))
    since = [known.get((one.kind.value, one.number), today) for one in report.findings]
    views = [one.view(at) for one, at in zip(report.findings, since, strict=True)]
    started_at, finished_at, counts = report.listed.started_at, report.listed.finished_at, report.counts
    write(
        engine,
        lambda session: reconciliation.keep(session, name, started_at, finished_at, counts, views),
    )
    return report, since


def due(runtime: Runtime) -> list[str]:
    """The upstreams whose daily run is to begin now: those that are set up, when the interval is over."""
    interval = timedelta(seconds=runtime.settings.environment.reconcile_interval)
    if not interval:
        return []
    names = [name for name in DIALECTS if not runtime.settings.missing_for(name)]
    now = runtime.clock.now()
    return read(runtime.engine, lambda session: reconciliation.due(session, names, now, interval))


def begin_due(runtime: Runtime) -> None:
    """Begin the daily runs that are due, each in a thread of their lane: the caller waits for none of them."""
    for name in due(runtime):
        runtime.lanes.run(LANE, partial(_work, runtime, name))


def _work(runtime: Runtime, name: str) -> bool:
    run_daily(runtime, name)
    return False


def run_daily(runtime: Runtime, name: str, ask: Ask | None = None) -> bool:
    """Run what is due at one upstream, unless another does; says whether it did. It is one call of the upstream's
    limits, whose pages come one after the other."""
    limits, settings = runtime.limits, runtime.settings.upstreams[name]
    permits = limits.acquire(name, 1, settings.max_in_flight, settings.rate, LISTED_WITHIN)
    if not permits.count:
        return False
    try:
        with logs.about(upstream=name):
            return _run_claimed(runtime, name, ask or asking(name, runtime.settings))
    finally:
        limits.give_back(permits, permits.count)


def _run_claimed(runtime: Runtime, name: str, ask: Ask) -> bool:
    interval = timedelta(seconds=runtime.settings.environment.reconcile_interval)
    now = runtime.clock.now()
    fence = write(runtime.engine, lambda session: reconciliation.claim(session, name, now, interval, LEASE))
    if fence is None:
        return False
    settling = runtime.settings.upstreams[name].settles_within
    try:
        report, _ = reconcile(runtime.engine, name, ask, settling, runtime.clock, fence=fence)
    except (Unavailable, WrongAccount) as error:
        log.warning("%s could not be reconciled: %s", name, error)
        return True
    level = logging.WARNING if report.findings else logging.INFO
    log.log(level, "%s is reconciled: %s", name, report.counts)
    return True
