"""Delivering results: claim what is due, POST it signed, settle it. In sets, like requests.

Delivery is at least once: a worker that dies after the requester took a result sends it again, under the same
`webhook-id`. One that is refused or not answered is due again after the next step of the schedule. No destination waits
for another: each has its own places in flight, and its own breaker (`models.outage`).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session, lazyload

from models import dispatch
from models.base import read, write
from models.delivery import Delivery, body
from models.dispatch import Ready
from models.endpoint import Endpoint
from models.requester import Requester
from worker import logs, settling, tracing
from worker.places import Places
from worker.runtime import Runtime
from worker.settling import GONE, Target, Tried
from worker.signing import sign
from worker.tracing import Side
from worker.upstreams.ask import retry_after
from worker.upstreams.http import NoAnswer, Reply

log = logging.getLogger(__name__)

CHUNK = 50

LEASE_SLACK = timedelta(seconds=15)

PATIENCE = timedelta(milliseconds=100)
"""With one set. Then those of it that have not answered are left to a thread of their own."""

SLOW = "deliveries, slow"

UNSIGNED = "its signing secret cannot be opened: TRUNKLINE_SECRET_KEY lacks the key that sealed it"

ASKS_TO_WAIT = (429, 503)
"""Answers whose `Retry-After` is honoured."""


def deliver(runtime: Runtime) -> bool:
    """Send results that are due, one chunk of them. Says whether there may be more.

    It does not wait for destinations that are slow: what is left of the set is settled by another thread.
    """
    within = timedelta(seconds=runtime.settings.environment.delivery_timeout)
    places = Places(runtime.limits, CHUNK, within + LEASE_SLACK)
    if not places.count:
        return False
    try:
        claimed, is_more = _take(runtime, places, within + LEASE_SLACK)
        groups = runtime.loop.stream(claimed, lambda item: _traced(runtime, *item, within), PATIENCE)
        if _settle(runtime, groups, places, PATIENCE):
            places.end()
        else:
            runtime.lanes.leave(SLOW, lambda: _finish(runtime, groups, places))
    except BaseException:
        places.end()
        raise
    return is_more


def _take(runtime: Runtime, places: Places, lease: timedelta) -> tuple[list[tuple[Delivery, Target]], bool]:
    """A set of results to send, and whether any of their destinations has had all of its share."""
    now = runtime.clock.now()
    ready = read(runtime.engine, lambda session: dispatch.ready_lines(session, now))
    shares = places.deal(ready, runtime.proven, now)
    if not shares:
        return [], False
    known = {one.id: one for one in ready if one.id in shares}
    claimed = write(runtime.engine, lambda session: _claim(session, shares, known, runtime.clock.now(), lease))
    used = Counter(row.line_id for row, _ in claimed)
    places.keep(used)
    return claimed, any(used[id_] >= share for id_, share in shares.items() if not known[id_].is_probe)


def _claim(
    session: Session, shares: Mapping[UUID, int], known: Mapping[UUID, Ready], now: datetime, lease: timedelta
) -> list[tuple[Delivery, Target]]:
    probes = {id_ for id_, one in known.items() if one.is_probe}
    rows = dispatch.claim(session, shares, probes, now, lease)
    endpoints = _by_id(session, Endpoint, {row.endpoint_id for row in rows if row.endpoint_id is not None})
    requesters = _by_id(session, Requester, {row.requester_id for row in rows if row.endpoint_id is None})
    return [(row, _target(row, known[row.line_id], endpoints, requesters, now)) for row in rows]


def _by_id(session: Session, table: type[Any], ids: set[UUID]) -> dict[UUID, Any]:
    if not ids:
        return {}
    return {row.id: row for row in session.scalars(sa.select(table).where(table.id.in_(ids)).options(lazyload("*")))}


def _target(
    row: Delivery,
    ready: Ready,
    endpoints: Mapping[UUID, Endpoint],
    requesters: Mapping[UUID, Requester],
    now: datetime,
) -> Target:
    if row.endpoint_id is None:
        secrets = _opened(requesters[row.requester_id].secret)
        return Target(row.url or "", secrets, was_failing=ready.outage is not None)
    endpoint = endpoints[row.endpoint_id]
    refusal = "the endpoint is disabled" if endpoint.disabled_at is not None else None
    is_kept = endpoint.previous_expires_at is not None and endpoint.previous_expires_at > now
    previous = endpoint.previous_secret if is_kept and endpoint.secret is not None else None
    secrets = _opened(endpoint.secret, previous)
    return Target(endpoint.url, secrets, refusal, ready.outage is not None, ready.is_probe)


def _opened(*secrets: str | None) -> tuple[str, ...]:
    return tuple(secret for secret in secrets if secret is not None)


def _settle(runtime: Runtime, groups: Iterator[Sequence[Tried]], places: Places, patience: timedelta | None) -> bool:
    """Write down what came, as it comes. False where it took too long, and some are left."""
    began = runtime.clock.monotonic()
    for tried in groups:
        if tried:
            places.free(Counter(one.row.line_id for one in tried))
            settling.settle(runtime, tried)
        if patience is not None and runtime.clock.monotonic() - began > patience.total_seconds():
            return False
    return True


def _finish(runtime: Runtime, groups: Iterator[Sequence[Tried]], places: Places) -> None:
    try:
        _settle(runtime, groups, places, None)
    finally:
        places.end()


async def _traced(runtime: Runtime, row: Delivery, target: Target, within: timedelta) -> Tried:
    about: dict[str, Any] = {
        "delivery_id": row.id,
        "request_id": row.request_id,
        "attempt": row.attempts,
        "event": row.type,
    }
    with tracing.span("deliver", row.request_id or row.id, Side.CLIENT, **about) as span:
        tried = await _send(runtime, row, target, within, span.traceparent)
        span.tell(**({} if tried.status is None else {"status": tried.status}))
        if tried.error is not None:
            span.fail("no answer" if tried.status is None else str(tried.status))
    return tried


async def _send(runtime: Runtime, row: Delivery, target: Target, within: timedelta, traceparent: str) -> Tried:
    logs.say(delivery_id=row.id, request_id=row.request_id, batch_id=row.batch_id, attempt=row.attempts)
    if target.refusal is not None:
        return Tried(row, target, None, target.refusal, timedelta(), runtime.clock.now(), is_last=True, was_sent=False)
    if not target.secrets:
        return Tried(row, target, None, UNSIGNED, timedelta(), runtime.clock.now(), was_sent=False)
    began = runtime.clock.monotonic()

    def none(error: str, *, was_sent: bool = True) -> Tried:
        latency = timedelta(seconds=runtime.clock.monotonic() - began)
        return Tried(row, target, None, error, latency, runtime.clock.now(), was_sent=was_sent)

    try:
        content, headers = sign(str(row.id), body(row), target.secrets, runtime.clock.now())
        if traceparent:
            headers["traceparent"] = traceparent
        reply: Reply = await runtime.destinations.post(target.url, content, headers, within)
    except NoAnswer as failure:
        return none(str(failure))
    except Exception as error:
        # A fault of ours with one row (its URL, its secret) must not take the other results of the set with it.
        log.exception("cannot send delivery %s", row.id)
        return none(f"Trunkline's own sender failed: {type(error).__name__}", was_sent=False)
    return _answered(row, target, reply, runtime.clock.now())


def _answered(row: Delivery, target: Target, reply: Reply, now: datetime) -> Tried:
    error = None if reply.is_success else f"answered {reply.status}"
    asked = retry_after(reply.headers.get("retry-after"), now) if reply.status in ASKS_TO_WAIT else None
    return Tried(
        row, target, reply.status, error, reply.latency, now, reply.status == GONE, retry_after=asked, body=reply.body
    )
