"""Figures for Prometheus. What the rows can tell is read from them, so that many processes add up right."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime

import flask
import sqlalchemy as sa
from flask.typing import ResponseReturnValue
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models import counter, dispatch, outage, reconciliation
from models.base import read
from models.clock import Clock
from models.delivery import Delivery, DeliveryState, in_state
from models.due import COUNTED, PRIORITIES, count_due, count_due_requests
from models.inbox import Received
from models.outage import Health
from models.request import Request
from models.requester import Caller
from models.upstream import is_among, paused_names
from webhook_receiver.operations import Answer, Api
from worker.app import UPSTREAM_QUEUES
from worker.limits import Limits

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Where the processes of one server put their counts, so that whichever is asked can add them up."""

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
"""Seconds. A callback takes about one millisecond."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

metrics = Api("metrics")


class HttpTimes:
    """How long answers took, by the route's template: a path may hold a token."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        shared = FOLDER_VARIABLE in os.environ
        self._times = Histogram(
            "trunkline_http_request_seconds",
            "Time from a request's arrival in the application to its answer.",
            ("method", "route", "status"),
            buckets=BUCKETS,
            registry=None if shared else self.registry,
        )
        if shared:
            MultiProcessCollector(self.registry)  # type: ignore[no-untyped-call]

    def watch(self, app: flask.Flask) -> None:
        app.before_request(self._begin)
        app.after_request(self._end)

    @staticmethod
    def _begin() -> None:
        flask.g.began_at = time.perf_counter()

    def _end(self, response: flask.Response) -> flask.Response:
        rule, method = flask.request.url_rule, flask.request.method
        labels = (method if method in METHODS else "other", "none" if rule is None else rule.rule)
        self._times.labels(*labels, str(response.status_code)).observe(time.perf_counter() - flask.g.began_at)
        return response


class Rows(Collector):
    """What stands in the database, at the moment of asking."""

    def __init__(self, engine: Engine, clock: Clock, limits: Limits) -> None:
        self._engine, self._clock, self._limits = engine, clock, limits

    def collect(self) -> Iterator[GaugeMetricFamily]:
        now = self._clock.now()
        yield from read(self._engine, lambda session: _families(session, now))
        yield _shares(self._limits)


def _families(session: Session, now: datetime) -> list[GaugeMetricFamily]:
    rows = [_requests(session), *_due(session, now), _deliveries(session), _troubles(session), _paused(session)]
    rows.append(_endpoints(session))
    return [*rows, *_reconciled(session, now)]


def _requests(session: Session) -> GaugeMetricFamily:
    family = GaugeMetricFamily("trunkline_requests", "Requests by upstream and state.", labels=("upstream", "state"))
    for (upstream, state), count in counter.by_upstream(session).items():
        family.add_metric((upstream, state.value), count)
    return family


def _due(session: Session, now: datetime) -> list[GaugeMetricFamily]:
    count = GaugeMetricFamily("trunkline_due", f"Rows that are due, counted up to {COUNTED}.", labels=("what",))
    age = GaugeMetricFamily("trunkline_due_age_seconds", "How long the oldest due row has waited.", labels=("what",))
    waiting = {f"requests:{name}": _oldest_request(session, name) for name in UPSTREAM_QUEUES}
    waiting |= {"inbox": _oldest_received(session), "deliveries": dispatch.oldest_due(session, now)}
    counts = {f"requests:{name}": count_due_requests(session, name, now) for name in UPSTREAM_QUEUES}
    counts |= {"inbox": count_due(session, Received, now), "deliveries": dispatch.count_due(session, now)}
    for what, due_at in waiting.items():
        count.add_metric((what,), counts[what])
        age.add_metric((what,), max(0.0, (now - due_at).total_seconds()) if due_at is not None else 0.0)
    return [count, age]


def _oldest_request(session: Session, upstream: str) -> datetime | None:
    """Each priority is asked for by itself: so the index gives its first entry, and is not read through."""
    due = sa.select(sa.func.min(Request.due_at)).where(Request.upstream == upstream, Request.due_at.is_not(None))
    oldest = [session.scalar(due.where(Request.priority == priority)) for priority in PRIORITIES]
    return min((due_at for due_at in oldest if due_at is not None), default=None)


def _oldest_received(session: Session) -> datetime | None:
    return session.scalar(sa.select(sa.func.min(Received.due_at)).where(Received.due_at.is_not(None)))


def _deliveries(session: Session) -> GaugeMetricFamily:
    pending = sa.select(sa.func.count()).where(Delivery.due_at.is_not(None))
    help_ = "Results that have not arrived and will be tried again."
    return GaugeMetricFamily("trunkline_deliveries_pending", help_, value=session.scalar(pending) or 0)


def _troubles(session: Session) -> GaugeMetricFamily:
    """Each of them wants a person."""
    family = GaugeMetricFamily("trunkline_troubles", "Rows that a person should look at.", labels=("what",))
    conditions = {
        "inbox_not_understood": sa.select(Received.id).where(Received.problem.is_not(None)),
        "contradicted_requests": sa.select(Request.id).where(Request.contradicted_at.is_not(None)),
        "failed_deliveries": sa.select(Delivery.id).where(in_state(DeliveryState.FAILED)),
    }
    for what, rows in conditions.items():
        found = session.scalar(sa.select(sa.func.count()).select_from(rows.limit(COUNTED).subquery()))
        family.add_metric((what,), found or 0)
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


@metrics.operation("GET", "/metrics", None, {200: Answer(None, "text/plain")}, for_browsers=True, is_limited=False)
def show_metrics(_caller: Caller) -> ResponseReturnValue:
    """Figures for Prometheus."""
    registry: CollectorRegistry = flask.current_app.extensions["trunkline_metrics"]
    return flask.Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
