"""What `/metrics` reads from the rows, at the moment of asking: so many processes add up right, and none is forgotten.

Every receiver gives the same figures here: take the `max` of them, never the `sum`. All are bounded: counts that
were kept while the work went on, or rows of an index up to `models.standing.MOST`.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime

import sqlalchemy as sa
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from models import counter, dispatch, heartbeat, outage, partitioning, reconciliation, standing, tally
from models.base import read, write
from models.clock import Clock
from models.delivery import Delivery
from models.due import COUNTED, Step, count_due, count_due_requests
from models.endpoint import Endpoint
from models.inbox import Received
from models.outage import Health
from models.requester import Requester
from models.tally import BOUNDS_MS, ONE_OFF, Sum, What
from models.upstream import is_among, paused_names
from worker.app import UPSTREAM_QUEUES
from worker.decision import ANSWER_CLASSES
from worker.limits import Limits
from worker.relay import HEARTBEAT

log = logging.getLogger(__name__)

Family = GaugeMetricFamily | CounterMetricFamily | HistogramMetricFamily

WRITTEN = "metrics"
"""The sign of life that a look at the figures leaves: whether the database takes it is a figure, too."""


class Rows(Collector):
    """What stands in the database, at the moment of asking."""

    def __init__(self, engine: Engine, clock: Clock, limits: Limits) -> None:
        self._engine, self._clock, self._limits = engine, clock, limits

    def collect(self) -> Iterator[Family]:
        now = self._clock.now()
        yield from read(self._engine, lambda session: _families(session, now))
        yield _writable(self._engine, now)
        yield _shares(self._limits)


def _families(session: Session, now: datetime) -> list[Family]:
    rows: list[Family] = [_requests(session), *_due(session, now), _deliveries(session), _troubles(session)]
    rows += [_paused(session), _endpoints(session), *_standing(session), _heartbeat(session, now)]
    rows.append(_partitions(session, now))
    return [*rows, *_calls(session), *_tries(session), *_reconciled(session, now)]


def _writable(engine: Engine, now: datetime) -> GaugeMetricFamily:
    """Tried, not asked: a database that is full, read-only or a standby answers every question as ever."""
    try:
        write(engine, lambda session: heartbeat.beat(session, WRITTEN, now))
        is_writable = True
    except SQLAlchemyError as error:
        log.error("the database takes nothing: %s", type(error).__name__)  # noqa: TRY400 -- its text holds parameters
        is_writable = False
    help_ = "1 where the database took what was written for this answer."
    return GaugeMetricFamily("trunkline_database_writable", help_, value=float(is_writable))


def _heartbeat(session: Session, now: datetime) -> GaugeMetricFamily:
    help_ = "Since a hint last went from beat through the broker to a worker and was worked off; +Inf: never."
    last = heartbeat.last_beat(session, HEARTBEAT)
    age = math.inf if last is None else max(0.0, (now - last).total_seconds())
    return GaugeMetricFamily("trunkline_heartbeat_age_seconds", help_, value=age)


def _partitions(session: Session, now: datetime) -> GaugeMetricFamily:
    help_ = "Until a table that is divided by the month takes no more rows, unless partitions are made."
    family = GaugeMetricFamily("trunkline_partitions_ahead_seconds", help_, labels=("table",))
    for table in partitioning.TABLES:
        ends = [one.upper for one in partitioning.of(session, table)]
        if ends and ends[-1] is not None:
            family.add_metric((table,), (ends[-1] - now).total_seconds())
    return family


def _standing(session: Session) -> Iterator[GaugeMetricFamily]:
    up_to = f"counted up to {standing.MOST}"
    about_unknown = f"Orders of which nobody knows whether they reached the upstream, {up_to}."
    about_stock = f"Requests that wait for stock, {up_to}."
    for name, help_, counts in (
        ("trunkline_unknown", about_unknown, standing.unknown(session)),
        ("trunkline_out_of_stock", about_stock, standing.out_of_stock(session)),
    ):
        family = GaugeMetricFamily(name, help_, labels=("upstream",))
        for upstream in UPSTREAM_QUEUES:
            family.add_metric((upstream,), counts.get(upstream, 0))
        yield family
    held = GaugeMetricFamily(
        "trunkline_held", f"Requests that wait for a person, {up_to}.", labels=("upstream", "reason")
    )
    for (upstream, reason), count in standing.held_by_reason(session).items():
        held.add_metric((upstream, reason), count)
    yield held


def _calls(session: Session) -> Iterator[Family]:
    """Every series is there from the start: of one that is born with its first failure, the rate would not show it."""
    sums = tally.sums(session, What.CALL)
    counts = Counter(
        {(one, step.value, answer): 0 for one in UPSTREAM_QUEUES for step in Step for answer in ANSWER_CLASSES}
    )
    for one in sums:
        counts[one.who, one.call, one.answer] += one.n
    labels = ("upstream", "call", "answer")
    family = CounterMetricFamily("trunkline_upstream_calls", "Calls to upstreams by what came of them.", labels=labels)
    for key, n in counts.items():
        family.add_metric(key, n)
    yield family
    times = HistogramMetricFamily(
        "trunkline_upstream_call_seconds", "Time of a call to an upstream.", labels=labels[:2]
    )
    for upstream in UPSTREAM_QUEUES:
        for step in Step:
            of_it = [one for one in sums if (one.who, one.call) == (upstream, step.value)]
            times.add_metric((upstream, step.value), *_buckets(of_it))
    yield times


def _tries(session: Session) -> Iterator[Family]:
    sums, names = tally.sums(session, What.TRY), _endpoint_names(session)
    labels = ("requester", "endpoint", "answer")
    help_ = f"Tries to hand over a result, by HTTP status class or none; {ONE_OFF}: all of notify_url."
    family = CounterMetricFamily("trunkline_delivery_tries", help_, labels=labels)
    times = HistogramMetricFamily("trunkline_delivery_try_seconds", "Time of a try.", labels=labels[:2])
    for who, name in names.items():
        of_it = [one for one in sums if one.who == who]
        counts = Counter({"2xx": 0, "4xx": 0, "5xx": 0, "none": 0})
        for one in of_it:
            counts[one.answer] += one.n
        for answer, n in counts.items():
            family.add_metric((*name, answer), n)
        times.add_metric(name, *_buckets(of_it))
    yield family
    yield times


def _endpoint_names(session: Session) -> dict[str, tuple[str, str]]:
    """Whose and which, by id. Endpoints are few: one for each program that wants results."""
    named = sa.select(Endpoint.id, Requester.name, Endpoint.name).join(Requester, Requester.id == Endpoint.requester_id)
    return {ONE_OFF: ("", ONE_OFF)} | {str(id_): (requester, name) for id_, requester, name in session.execute(named)}


def _buckets(sums: Sequence[Sum]) -> tuple[list[tuple[str, float]], float]:
    """Cumulative, and the sum of seconds."""
    found = [(str(bound / 1000), float(sum(one.n for one in sums if one.up_to_ms <= bound))) for bound in BOUNDS_MS]
    found.append(("+Inf", float(sum(one.n for one in sums))))
    return found, sum(one.seconds for one in sums)


def _requests(session: Session) -> GaugeMetricFamily:
    family = GaugeMetricFamily("trunkline_requests", "Requests by upstream and state.", labels=("upstream", "state"))
    for (upstream, state), count in counter.by_upstream(session).items():
        family.add_metric((upstream, state.value), count)
    return family


def _due(session: Session, now: datetime) -> list[GaugeMetricFamily]:
    count = GaugeMetricFamily("trunkline_due", f"Rows that are due, counted up to {COUNTED}.", labels=("what",))
    age = GaugeMetricFamily("trunkline_due_age_seconds", "How long the oldest due row has waited.", labels=("what",))
    waiting = {f"requests:{name}": standing.oldest_due(session, name) for name in UPSTREAM_QUEUES}
    waiting |= {"inbox": _oldest_received(session), "deliveries": dispatch.oldest_due(session, now)}
    counts = {f"requests:{name}": count_due_requests(session, name, now) for name in UPSTREAM_QUEUES}
    counts |= {"inbox": count_due(session, Received, now), "deliveries": dispatch.count_due(session, now)}
    for what, due_at in waiting.items():
        count.add_metric((what,), counts[what])
        age.add_metric((what,), max(0.0, (now - due_at).total_seconds()) if due_at is not None else 0.0)
    return [count, age]


def _oldest_received(session: Session) -> datetime | None:
    return session.scalar(sa.select(sa.func.min(Received.due_at)).where(Received.due_at.is_not(None)))


def _deliveries(session: Session) -> GaugeMetricFamily:
    pending = sa.select(sa.func.count()).where(Delivery.due_at.is_not(None))
    help_ = "Results that have not arrived and will be tried again."
    return GaugeMetricFamily("trunkline_deliveries_pending", help_, value=session.scalar(pending) or 0)


def _troubles(session: Session) -> GaugeMetricFamily:
    """Each of them wants a person."""
    family = GaugeMetricFamily("trunkline_troubles", "Rows that a person should look at.", labels=("what",))
    counts = {
        "inbox_not_understood": standing.not_understood(session),
        "dead_letters": standing.dead_letters(session),
        "contradicted_requests": standing.contradicted(session),
        "failed_deliveries": standing.failed_deliveries(session),
    }
    for what, count in counts.items():
        family.add_metric((what,), count)
    return family


def _paused(session: Session) -> GaugeMetricFamily:
    family = GaugeMetricFamily("trunkline_upstream_paused", "1 while nothing is ordered there.", labels=("upstream",))
    paused = paused_names(session)
    for name in UPSTREAM_QUEUES:
        family.add_metric((name,), float(is_among(paused, name)))
    return family


def _endpoints(session: Session) -> GaugeMetricFamily:
    help_ = "Endpoints in trouble. Those that are open or paused get one result at a time, as a probe."
    family = GaugeMetricFamily("trunkline_endpoints_in_trouble", help_, labels=("health",))
    found = Counter(row.health() for row in outage.of_endpoints(session))
    for health in Health:
        if health is not Health.HEALTHY:
            family.add_metric((health.value,), found[health])
    return family


def _shares(limits: Limits) -> GaugeMetricFamily:
    help_ = "How much of its limits an upstream is given: less than 1 since it refused calls (429) or grew slow."
    family = GaugeMetricFamily("trunkline_upstream_share", help_, labels=("upstream",))
    for name in UPSTREAM_QUEUES:
        family.add_metric((name,), limits.congestion(name).share)
    return family


def _reconciled(session: Session, now: datetime) -> list[GaugeMetricFamily]:
    """An upstream that was never compared has none of these: an alert on the age must allow for that."""
    findings = GaugeMetricFamily(
        "trunkline_reconciliation_findings",
        "Where the last comparison found our books and the upstream's list to differ.",
        labels=("upstream", "kind"),
    )
    age = GaugeMetricFamily(
        "trunkline_reconciliation_age_seconds", "Since the last comparison that got a list.", labels=("upstream",)
    )
    failed = GaugeMetricFamily(
        "trunkline_reconciliation_failed", "1 where a later try got no list.", labels=("upstream",)
    )
    for row in reconciliation.reports(session):
        failed.add_metric((row.upstream,), float(row.failed_at is not None))
        if row.started_at is not None:
            age.add_metric((row.upstream,), max(0.0, (now - row.started_at).total_seconds()))
            for kind in reconciliation.FindingKind:
                findings.add_metric((row.upstream, kind.value), row.counts.get(kind.value, 0))
    return [findings, age, failed]
