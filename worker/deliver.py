"""Delivering results: claim what is due, POST it signed, settle it. In sets, like requests.

Delivery is at least once: a worker that dies after the requester took a result sends it again, under the same
`webhook-id`. One that is refused or not answered is due again after the next step of the schedule.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models import event
from models.base import rfc3339, write
from models.delivery import Delivery, DeliveryState
from models.due import claim, settle
from models.endpoint import Endpoint
from models.event import Entry, EventKind
from models.requester import Requester
from worker.limits import Permits
from worker.runtime import Runtime
from worker.signing import sign
from worker.upstreams.http import NoAnswer, Reply

log = logging.getLogger(__name__)

CHUNK = 50
MOST_IN_FLIGHT = 100
PER_SECOND = 2_000.0
"""Over all workers, for all endpoints together: so that requesters who hang cannot take every worker's time."""

LEASE_SLACK = timedelta(seconds=15)

GONE = 410
"""The endpoint is no longer there and wants nothing more (Standard Webhooks)."""

JITTER = 0.1
"""Of each wait, either way: results that failed together come back apart."""

_random = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class Target:
    """Where a delivery goes and with which secrets it is signed; `refusal` is why it cannot go there at all."""

    url: str
    secrets: tuple[str, ...]
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of one try. `status` is None where no answer came; `is_last` where trying again is of no use."""

    row: Delivery
    status: int | None
    error: str | None
    latency: timedelta
    at: datetime
    is_last: bool = False


def deliver(runtime: Runtime) -> bool:
    """Send results that are due, one chunk of them. Says whether there may be more."""
    within = timedelta(seconds=runtime.settings.environment.delivery_timeout)
    lease = within + LEASE_SLACK
    permits = runtime.limits.acquire("deliveries", CHUNK, MOST_IN_FLIGHT, PER_SECOND, lease)
    granted = permits.count
    if not granted:
        return False
    try:
        claimed = write(runtime.engine, lambda session: _claim(session, granted, runtime.clock.now(), lease))
        runtime.limits.give_back(permits, granted - len(claimed), unused=True)
        _send_and_settle(runtime, claimed, within, permits)
    finally:
        runtime.limits.give_back(permits, permits.count)
    return len(claimed) == granted


def _claim(session: Session, limit: int, now: datetime, lease: timedelta) -> list[tuple[Delivery, Target]]:
    rows = claim(session, Delivery, limit, now, lease)
    endpoints = _by_id(session, Endpoint, {row.endpoint_id for row in rows if row.endpoint_id is not None})
    requesters = _by_id(session, Requester, {row.requester_id for row in rows if row.endpoint_id is None})
    return [(row, _target(row, endpoints, requesters, now)) for row in rows]


def _by_id(session: Session, table: type[Any], ids: set[UUID]) -> dict[UUID, Any]:
    if not ids:
        return {}
    return {row.id: row for row in session.scalars(sa.select(table).where(table.id.in_(ids)))}


def _target(
    row: Delivery, endpoints: Mapping[UUID, Endpoint], requesters: Mapping[UUID, Requester], now: datetime
) -> Target:
    if row.endpoint_id is None:
        return Target(row.url or "", (requesters[row.requester_id].secret,))
    endpoint = endpoints[row.endpoint_id]
    refusal = "the endpoint is disabled" if endpoint.disabled_at is not None else None
    secrets = [endpoint.secret]
    if endpoint.previous_secret and endpoint.previous_expires_at and endpoint.previous_expires_at > now:
        secrets.append(endpoint.previous_secret)
    return Target(endpoint.url, tuple(secrets), refusal)


def _send_and_settle(
    runtime: Runtime, claimed: Sequence[tuple[Delivery, Target]], within: timedelta, permits: Permits
) -> None:
    async def one(item: tuple[Delivery, Target]) -> Tried:
        return await _send(runtime, *item, within)

    for group in runtime.loop.stream(claimed, one):
        runtime.limits.give_back(permits, len(group))
        write(runtime.engine, lambda session, group=group: _settle(session, runtime, group, runtime.clock.now()))  # type: ignore[misc]


async def _send(runtime: Runtime, row: Delivery, target: Target, within: timedelta) -> Tried:
    if target.refusal is not None:
        return Tried(row, None, target.refusal, timedelta(), runtime.clock.now(), is_last=True)
    body = {"type": row.type, "timestamp": rfc3339(row.created_at), "data": row.data}
    began = runtime.clock.monotonic()
    try:
        content, headers = sign(str(row.id), body, target.secrets, runtime.clock.now())
        reply: Reply = await runtime.destinations.post(target.url, content, headers, within)
    except NoAnswer as failure:
        return Tried(row, None, str(failure), timedelta(seconds=runtime.clock.monotonic() - began), runtime.clock.now())
    except Exception as error:
        # A fault of ours with one row (its URL, its secret) must not take the other results of the set with it.
        log.exception("cannot send delivery %s", row.id)
        detail = f"Trunkline's own sender failed: {type(error).__name__}"
        return Tried(row, None, detail, timedelta(seconds=runtime.clock.monotonic() - began), runtime.clock.now())
    refusal = None if reply.is_success else f"answered {reply.status}"
    return Tried(row, reply.status, refusal, reply.latency, runtime.clock.now(), is_last=reply.status == GONE)


def _settle(session: Session, runtime: Runtime, tried: Sequence[Tried], now: datetime) -> None:
    schedule = [timedelta(seconds=step) for step in runtime.settings.environment.delivery_backoff]
    for one in tried:
        _write_outcome(one, schedule)
    gone = {one.row.endpoint_id for one in tried if one.status == GONE and one.row.endpoint_id is not None}
    _disable(session, gone, now)
    rows = [one.row for one in tried]
    settle(session, Delivery, rows, ("state", "due_at", "delivered_at", "last_status", "last_error"))
    event.append(session, [_entry(one) for one in tried if one.row.request_id is not None])


def _write_outcome(tried: Tried, schedule: Sequence[timedelta]) -> None:
    row = tried.row
    row.last_status, row.last_error = tried.status, tried.error
    if tried.error is None:
        row.state, row.due_at, row.delivered_at = DeliveryState.DELIVERED, None, tried.at
    elif tried.is_last or row.attempts > len(schedule):
        row.state, row.due_at = DeliveryState.FAILED, None
    else:
        row.due_at = tried.at + _jittered(schedule[row.attempts - 1])


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


def _entry(tried: Tried) -> Entry:
    row = tried.row
    assert row.request_id is not None
    data = {
        "delivery": str(row.id),
        "event": row.type,
        "attempt": row.attempts,
        "status": tried.status,
        "latency_ms": round(tried.latency.total_seconds() * 1000, 1),
        "outcome": str(row.state),
    }
    return Entry(row.request_id, tried.at, EventKind.DELIVERY, "worker", detail=tried.error, data=data)
