"""How everything stands, on one screen: what `trunkline status`, the live board and the console's first page show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from models import counter, dispatch, outage, pulse, spending, standing
from models import upstream as switches
from models.base import rfc3339
from models.due import count_due, count_due_requests
from models.endpoint import Endpoint
from models.heartbeat import last_beat
from models.inbox import Received
from models.outage import Health
from models.state import FINAL, State
from worker.explain.stuck import silence
from worker.limits import Limits
from worker.relay import HEARTBEAT
from worker.settings import Settings

LATELY = timedelta(minutes=10)
"""What "now" means where a rate is told: long enough that a bulk job's chunks even out."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What ended between two looks at the counts, as `models.pulse` keeps them."""

    ended: int
    failed: int
    time: timedelta

    @property
    def a_minute(self) -> float:
        minutes = self.time / timedelta(minutes=1)
        return self.ended / minutes if minutes else 0.0

    @property
    def failed_share(self) -> float | None:
        """Of what ended; None where nothing did."""
        return self.failed / self.ended if self.ended else None


@dataclass(frozen=True, slots=True)
class UpstreamNow:
    """`due` and `unknown` are counted up to a bound: see `models.due` and `models.standing`."""

    name: str
    missing: tuple[str, ...]  # settings without which nothing is ordered there
    pause: switches.Pause | None
    share: float  # of its limits that it is given: below 1 since it refused calls or grew slow
    in_flight: int | None  # None where Redis does not answer
    most_in_flight: int
    counts: Mapping[State, int]
    due: int
    oldest_due: datetime | None
    unknown: int
    out_of_stock: int
    spending: tuple[tuple[str, int, int], ...]  # what a limit is about, its limit, how much of it is taken
    rate: Rate


@dataclass(frozen=True, slots=True)
class EndpointNow:
    id: str
    name: str
    health: Health
    failing_since: datetime
    error: str


@dataclass(frozen=True, slots=True)
class Overview:
    at: datetime
    silence: str | None  # the sentence that nothing works; None where workers do
    counts: Mapping[State, int]
    oldest: Mapping[State, datetime]  # when the oldest of each open state was made
    upstreams: tuple[UpstreamNow, ...]
    held: Mapping[tuple[str, str], int]  # by upstream and reason
    deliveries_due: int
    oldest_delivery: datetime | None
    deliveries_failed: int
    endpoints: tuple[EndpointNow, ...]  # that are in trouble
    inbox_due: int
    not_understood: int
    dead_letters: int
    contradicted: int
    broker: str | None = None  # what is wrong with it; None where it answers, or nobody asked

    @property
    def unknown(self) -> int:
        return sum(one.unknown for one in self.upstreams)


def gather(session: Session, settings: Settings, limits: Limits, now: datetime, broker: str | None = None) -> Overview:
    """Everything, in some twenty short questions. `broker` is what was found wrong with it, where somebody asked."""
    upstreams = tuple(_upstreams(session, settings, limits, now))
    return Overview(
        at=now,
        silence=silence(last_beat(session, HEARTBEAT), now),
        counts={state: sum(one.counts[state] for one in upstreams) for state in State},
        oldest=standing.oldest_by_state(session),
        upstreams=upstreams,
        held=standing.held_by_reason(session),
        deliveries_due=dispatch.count_due(session, now),
        oldest_delivery=dispatch.oldest_due(session, now),
        deliveries_failed=standing.failed_deliveries(session),
        endpoints=tuple(_endpoint(session, row) for row in outage.of_endpoints(session)),
        inbox_due=count_due(session, Received, now),
        not_understood=standing.not_understood(session),
        dead_letters=standing.dead_letters(session),
        contradicted=standing.contradicted(session),
        broker=broker,
    )


def _upstreams(session: Session, settings: Settings, limits: Limits, now: datetime) -> Iterator[UpstreamNow]:
    counts, pauses = counter.by_upstream(session), {one.upstream: one for one in switches.pauses(session)}
    unknown, stock = standing.unknown(session), standing.out_of_stock(session)
    past = pulse.since(session, now - LATELY)
    for name, configured in sorted(settings.upstreams.items()):
        own = {state: counts.get((name, state), 0) for state in State}
        yield UpstreamNow(
            name=name,
            missing=tuple(settings.missing_for(name)),
            pause=pauses.get(switches.ALL) or pauses.get(name),
            share=limits.congestion(name).share,
            in_flight=limits.in_flight(name),
            most_in_flight=configured.max_in_flight,
            counts=own,
            due=count_due_requests(session, name, now),
            oldest_due=standing.oldest_due(session, name),
            unknown=unknown.get(name, 0),
            out_of_stock=stock.get(name, 0),
            spending=tuple(_spending(session, settings, name, now)),
            rate=_rate(past.get(name, []), own, now),
        )


def _spending(session: Session, settings: Settings, name: str, now: datetime) -> Iterator[tuple[str, int, int]]:
    ceilings = {
        subject: limit
        for subject, limit in settings.ceilings.items()
        if subject == spending.EVERYWHERE or subject.split(":")[1] == name
    }
    used = spending.used(session, ceilings, now) if ceilings else {}
    for subject, limit in ceilings.items():
        yield spending.describe(subject), limit, used.get(subject, 0)


def _rate(past: Sequence[tuple[datetime, Mapping[State, int]]], counts: Mapping[State, int], now: datetime) -> Rate:
    if not past:
        return Rate(0, 0, timedelta())
    began, before = past[0]
    ended = sum(counts[state] - before[state] for state in FINAL)
    return Rate(max(0, ended), max(0, counts[State.FAILED] - before[State.FAILED]), now - began)


def _endpoint(session: Session, row: outage.Outage) -> EndpointNow:
    endpoint = session.get_one(Endpoint, row.endpoint_id)
    return EndpointNow(str(endpoint.id), endpoint.name, row.health(), row.began_at, row.error)


def view(overview: Overview) -> dict[str, Any]:
    """The overview, ready for JSON."""
    return {
        "at": rfc3339(overview.at),
        "working": overview.silence is None,
        "silence": overview.silence,
        "broker": overview.broker,
        "counts": {state.value: count for state, count in overview.counts.items()},
        "oldest": {state.value: rfc3339(moment) for state, moment in overview.oldest.items()},
        "upstreams": [_upstream_view(one) for one in overview.upstreams],
        "held": [
            {"upstream": upstream, "reason": reason, "count": count}
            for (upstream, reason), count in sorted(overview.held.items())
        ],
        "unknown": overview.unknown,
        "deliveries": {
            "due": overview.deliveries_due,
            "oldest_due_at": rfc3339(overview.oldest_delivery),
            "failed": overview.deliveries_failed,
        },
        "endpoints": [
            {"id": one.id, "name": one.name, "health": str(one.health), "failing_since": rfc3339(one.failing_since)}
            | {"error": one.error}
            for one in overview.endpoints
        ],
        "inbox": {"due": overview.inbox_due, "not_understood": overview.not_understood},
        "dead_letters": overview.dead_letters,
        "contradicted": overview.contradicted,
    }


def _upstream_view(one: UpstreamNow) -> dict[str, Any]:
    pause = one.pause
    return {
        "name": one.name,
        "missing": list(one.missing),
        "paused": None
        if pause is None
        else {
            "reason": pause.reason,
            "detail": pause.detail,
            "by": pause.actor,
            "at": rfc3339(pause.paused_at),
            "all": pause.upstream == switches.ALL,
        },
        "share": one.share,
        "in_flight": one.in_flight,
        "max_in_flight": one.most_in_flight,
        "counts": {state.value: count for state, count in one.counts.items()},
        "due": one.due,
        "oldest_due_at": rfc3339(one.oldest_due),
        "unknown": one.unknown,
        "out_of_stock": one.out_of_stock,
        "limits": [{"what": what, "limit": limit, "taken": taken} for what, limit, taken in one.spending],
        "ended_a_minute": round(one.rate.a_minute, 1),
        "failed_share": one.rate.failed_share,
    }
