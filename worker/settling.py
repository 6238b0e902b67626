"""Settling deliveries: what came of tries is written down, and who is in trouble is told to people."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models import delivery_attempt, event, outage, tally
from models.base import write
from models.delivery import Delivery, DeliveryState
from models.delivery_attempt import Attempt
from models.due import settle as settle_rows
from models.endpoint import Endpoint
from models.event import Entry, EventKind
from models.outage import Change, Health, Heard
from worker import logs, places
from worker.masking import beginning
from worker.runtime import Runtime

log = logging.getLogger(__name__)

GONE = 410
"""The endpoint is no longer there and wants nothing more (Standard Webhooks)."""

NO_ANSWER = "none"
"""Beside `2xx`, `4xx` and so on: what a try is counted as that nobody answered."""

JITTER = 0.1
"""Of each wait, either way: results that failed together come back apart."""

MOST_ANSWER = 1024
"""Bytes of a requester's answer that are kept."""

_random = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class Target:
    """Where a delivery goes and with which secrets it is signed.

    `refusal` is why it cannot go there at all; without a secret it cannot go there now.
    """

    url: str
    secrets: tuple[str, ...]
    refusal: str | None = None
    was_failing: bool = False
    is_probe: bool = False


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of one try. `status` is None where no answer came; `is_last` where trying again is of no use."""

    row: Delivery
    target: Target
    status: int | None
    error: str | None
    latency: timedelta
    at: datetime
    is_last: bool = False
    was_sent: bool = True  # else it says nothing about the destination
    retry_after: timedelta | None = None  # what the destination asked for
    body: bytes = b""

    @property
    def latency_ms(self) -> float:
        return round(self.latency.total_seconds() * 1000, 1)


def settle(runtime: Runtime, tried: Sequence[Tried]) -> None:
    """Write down tries that have ended, in one transaction."""
    arrived = {one.row.line_id for one in tried if one.error is None}
    runtime.proven.forget({one.row.line_id for one in tried} - arrived)
    runtime.proven.note(arrived)
    for one in tried:
        if one.retry_after:
            places.hold_off(runtime.limits, one.row.line_id, one.retry_after)
    schedule = [timedelta(seconds=step) for step in runtime.settings.environment.delivery_backoff]
    changes = write(runtime.engine, lambda session: _settle(session, tried, schedule, runtime.clock.now()))
    for change in changes:
        with logs.about(endpoint_id=change.endpoint_id):
            _tell(change)


def _settle(session: Session, tried: Sequence[Tried], schedule: Sequence[timedelta], now: datetime) -> list[Change]:
    is_open, changes = outage.note(session, _heard(tried), now)
    for one in tried:
        _write_outcome(one, schedule, is_held_back=one.row.line_id in is_open and one.row.endpoint_id is not None)
    gone = {one.row.endpoint_id for one in tried if one.status == GONE and one.row.endpoint_id is not None}
    _disable(session, gone, now)
    rows = [one.row for one in tried]
    settle_rows(session, Delivery, rows, ("state", "attempts", "due_at", "delivered_at", "last_status", "last_error"))
    delivery_attempt.append(session, [_attempt(one) for one in tried])
    event.append(session, [_entry(one) for one in tried if one.row.request_id is not None])
    tally.add(session, [_observation(one) for one in tried if one.was_sent])
    return changes


def _observation(tried: Tried) -> tally.Observation:
    endpoint_id = tried.row.endpoint_id
    who = tally.ONE_OFF if endpoint_id is None else str(endpoint_id)
    answer = NO_ANSWER if tried.status is None else f"{tried.status // 100}xx"
    return tally.Observation(tally.What.TRY, who, "", answer, tried.latency)


def _heard(tried: Sequence[Tried]) -> list[Heard]:
    lines: dict[UUID, list[Tried]] = {}
    for one in sorted(tried, key=lambda one: one.at):
        if one.was_sent and one.status != GONE:
            lines.setdefault(one.row.line_id, []).append(one)
    return [
        Heard(
            line_id,
            ones[0].row.endpoint_id,
            [(one.at, one.error) for one in ones],
            is_probe=any(one.target.is_probe for one in ones),
            was_failing=any(one.target.was_failing for one in ones),
        )
        for line_id, ones in lines.items()
    ]


def _write_outcome(tried: Tried, schedule: Sequence[timedelta], *, is_held_back: bool) -> None:
    """`is_held_back` where the breaker of its endpoint is open: then it is due whenever that may be probed, and the try
    does not count against its schedule."""
    row = tried.row
    row.last_status, row.last_error = tried.status, tried.error
    if tried.error is None:
        row.state, row.due_at, row.delivered_at = DeliveryState.DELIVERED, None, tried.at
    elif is_held_back and not tried.is_last:
        row.attempts, row.due_at = row.attempts - 1, tried.at
    elif tried.is_last or row.attempts > len(schedule):
        row.state, row.due_at = DeliveryState.FAILED, None
    else:
        wait = _jittered(schedule[row.attempts - 1])
        row.due_at = tried.at + max(wait, tried.retry_after or wait)


def _jittered(wait: timedelta) -> timedelta:
    return wait * (1 + JITTER * (2 * _random.random() - 1))


def _disable(session: Session, endpoint_ids: set[UUID], now: datetime) -> None:
    """An endpoint that answers 410 is gone for good (Standard Webhooks), until its owner enables it again."""
    if endpoint_ids:
        session.execute(
            sa.update(Endpoint)
            .where(Endpoint.id.in_(endpoint_ids), Endpoint.disabled_at.is_(None))
            .values(disabled_at=now, disabled_reason="it answered 410 Gone")
        )


def _attempt(tried: Tried) -> Attempt:
    answer = beginning(tried.body, MOST_ANSWER)
    return Attempt(tried.row.id, tried.at, tried.status, round(tried.latency_ms), tried.error, answer)


def _entry(tried: Tried) -> Entry:
    row = tried.row
    assert row.request_id is not None
    data = {
        "delivery": str(row.id),
        "event": row.type,
        "attempt": row.attempts,
        "status": tried.status,
        "latency_ms": tried.latency_ms,
        "outcome": str(row.state),
    }
    return Entry(row.request_id, tried.at, EventKind.DELIVERY, "worker", detail=tried.error, data=data)


def _tell(change: Change) -> None:
    match change.health:
        case Health.PAUSED:
            log.error(
                "endpoint %s is paused: nothing but failures for three days, the last: %s. It is probed every hour, and"
                " its results are kept for it",
                change.endpoint_id,
                change.error,
            )
        case Health.OPEN:
            log.warning(
                "endpoint %s does not take results (%s): it is only probed now", change.endpoint_id, change.error
            )
        case _:
            log.info("endpoint %s takes results again", change.endpoint_id)
