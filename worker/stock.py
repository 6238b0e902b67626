"""Waiting for empty stock: one look serves all requests that wait for the same, and wakes the oldest of them.

Where an upstream's stock cannot be asked, an order is the only question there is: then a few of those that wait are
woken, and twice as many the next time, until one of them is refused again.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from models import stock_watch, upstream
from models.base import read, write
from models.request import Request
from models.state import State
from models.stock_watch import MOST_WOKEN, StockWatch, Wish
from models.transition import Move, apply
from worker.limits import Permits
from worker.pausing import pause_where_needed
from worker.runtime import Runtime
from worker.upstreams import DIALECTS
from worker.upstreams.base import BadQuery, Dialect, StockRow, Unavailable, Upstream, WrongAccount

LOOKS = 10
"""Watches looked at together."""

SOON = timedelta(seconds=5)
"""After a look that woke somebody: there may be more, and the next may be waiting."""

LONGEST_PARKED = timedelta(hours=1)
"""A parked request tries by itself after this, whatever became of its watch."""

STOCK_IS_BACK = "There is stock again; it is ordered next."

_STEP = timedelta(microseconds=1)

Found = Sequence[StockRow] | BadQuery | Unavailable | WrongAccount


def wish(name: str, spec: Mapping[str, Any]) -> Wish | None:
    """What an order waits for; None where nothing tells it from others, and it asks again by itself."""
    dialect = DIALECTS[name]
    query = dialect.stock_query(spec)
    if query is None:
        return None
    written = json.dumps([dict(query), dict(dialect.stock_terms(spec))], sort_keys=True, separators=(",", ":"))
    return Wish(hashlib.sha256(written.encode()).hexdigest(), query)


def parked(move: Move, wanted: Wish, deadline: datetime, interval: timedelta, now: datetime) -> Move:
    """The move of a request that waits for stock, made to wait for the watch and not for its own turn."""
    due_at = min(now + LONGEST_PARKED, deadline)
    every = f"The stock is looked at every {interval.total_seconds():g} s; who waits longest is served first."
    detail = f"{(move.detail or 'Nothing in stock fits').rstrip('.')}. {every}"
    return replace(move, due_at=due_at, detail=detail, changes={**move.changes, "stock_key": wanted.key})


def look(runtime: Runtime, name: str) -> bool:
    """Look at the stock that requests wait for at one upstream, where it is time. Says whether there may be more."""
    settings, clock = runtime.settings.upstreams[name], runtime.clock
    now = clock.now()
    if not read(runtime.engine, lambda session: count_due(session, name, now)):
        return False
    permits = runtime.limits.acquire(name, LOOKS, settings.max_in_flight, settings.rate, settings.call_limit)
    granted = permits.count
    try:
        watches = write(
            runtime.engine,
            lambda session: stock_watch.claim(session, name, granted, clock.now(), settings.lease) if granted else [],
        )
        runtime.limits.give_back(permits, granted - len(watches), unused=True)
        _look_at(runtime, runtime.client(name), watches, permits)
    finally:
        runtime.limits.give_back(permits, permits.count)
    return 0 < granted == len(watches)


def count_due(session: Session, name: str, now: datetime) -> int:
    """How many watches may be looked at now; none while the upstream is paused, since nothing could be ordered."""
    if upstream.find_pause(session, name) is not None:
        return 0
    return stock_watch.count_due(session, name, now)


def _look_at(runtime: Runtime, client: Upstream, watches: Sequence[StockWatch], permits: Permits) -> None:
    within = runtime.settings.upstreams[client.name].answer_within
    interval = timedelta(seconds=runtime.settings.environment.stock_interval)

    async def ask(item: tuple[int, StockWatch]) -> tuple[StockWatch, Found]:
        place, watch = item
        await asyncio.sleep(permits.wait_of(place, runtime.limits.monotonic()))
        try:
            return watch, await client.stock({key: str(value) for key, value in watch.query.items()}, within)
        except (BadQuery, Unavailable, WrongAccount) as failure:
            return watch, failure

    for group in runtime.loop.stream(list(enumerate(watches)), ask):
        for watch, found in group:
            _settle(runtime, watch, found, interval)


def _settle(runtime: Runtime, watch: StockWatch, found: Found, interval: timedelta) -> None:
    write(runtime.engine, lambda session: settle(session, watch, found, interval, runtime.clock.now()))


def settle(session: Session, claimed: StockWatch, found: Found, interval: timedelta, now: datetime) -> int:
    """Wake those for whom there is stock, and say when to look again; returns how many were woken."""
    watch = stock_watch.lock(session, claimed)
    if watch is None:
        return 0
    watch.looked_at, watch.found = now, len(found) if isinstance(found, Sequence) else None
    if isinstance(found, Unavailable | WrongAccount):
        pause_where_needed(session, watch.upstream, found, now)
        watch.due_at = now + interval
        session.flush()
        return 0
    waiting = stock_watch.waiting(session, watch.upstream, watch.key, now)
    if not waiting:
        session.delete(watch)
        session.flush()
        return 0
    woken = _served(DIALECTS[watch.upstream], waiting, watch, found)
    moves = [
        # A moment apart, so that they are claimed in the order in which they came.
        Move(
            row.id, State.QUEUED, "stock", row.reason, "There is stock again; it is ordered next.", now + place * _STEP
        )
        for place, row in enumerate(woken)
    ]
    apply(session, {row.id: row for row in waiting}, moves, now)
    watch.due_at = now + (min(SOON, interval) if woken else interval)
    session.flush()
    return len(woken)


def _served(
    dialect: Dialect, waiting: Sequence[Request], watch: StockWatch, found: Sequence[StockRow] | BadQuery
) -> list[Request]:
    """Who is woken: the oldest, as far as the stock goes, each for a number of their own."""
    if isinstance(found, BadQuery):
        width, watch.width = watch.width, min(watch.width * 2, MOST_WOKEN)
        return list(waiting[:width])
    left, woken = list(found), []
    for row in waiting:
        fitting = next((place for place, one in enumerate(left) if dialect.is_met_by(row.spec, one)), None)
        if fitting is not None:
            del left[fitting]
            woken.append(row)
    return woken
