"""Limits that hold over all workers: how many calls are in flight at an upstream, how many begin in a second, and that
none begins while it asks us to slow down.

They live in Redis. Without it each process keeps to a share of its own: a limit that is too low, never none.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from queue import Empty, SimpleQueue
from typing import Any
from uuid import uuid4

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

log = logging.getLogger(__name__)

ANSWER = timedelta(seconds=1)

SHARE_WITHOUT_REDIS = 4
"""We do not know how many processes there are: each takes a quarter of the limit."""

LONGEST_HOLD_OFF = timedelta(minutes=1)
"""That an upstream's wish to be asked less keeps everybody from asking. Who was told so waits as long as it said; for
all others one of them asks after this, and is told again where it still holds."""

_ACQUIRE = """
if redis.call('EXISTS', KEYS[3]) == 1 then return 0 end
local now = tonumber(redis.call('TIME')[1]) + tonumber(redis.call('TIME')[2]) / 1e6
local wanted, most, rate, hold = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local bucket = redis.call('HMGET', KEYS[2], 'tokens', 'at')
local burst = math.max(1, rate)
local tokens = math.min(burst, (tonumber(bucket[1]) or burst) + (now - (tonumber(bucket[2]) or now)) * rate)
local granted = math.max(0, math.min(wanted, most - redis.call('ZCARD', KEYS[1]), math.floor(tokens)))
for i = 1, granted do redis.call('ZADD', KEYS[1], now + hold, ARGV[5] .. ':' .. i) end
redis.call('HSET', KEYS[2], 'tokens', tokens - granted, 'at', now)
redis.call('EXPIRE', KEYS[1], math.ceil(hold) + 1)
redis.call('EXPIRE', KEYS[2], math.ceil(burst / rate) + 60)
return granted
"""
"""In flight: a sorted set of permits, each with the time when its holder must be dead. Rate: a token bucket that
holds one second's worth. Redis' own clock counts, so that the hosts' need not agree."""

_GIVE_BACK = """
redis.call('ZREM', KEYS[1], unpack(ARGV, 2))
if tonumber(ARGV[1]) > 0 then redis.call('HINCRBYFLOAT', KEYS[2], 'tokens', ARGV[1]) end
"""


@dataclass(slots=True)
class Permits:
    """Leave to have calls in flight, until it is given back or its time has run out."""

    name: str
    count: int  # that are still held
    id: str = field(default_factory=lambda: uuid4().hex)
    shared: bool = True


class Limits:
    def __init__(self, redis_url: str | None, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`monotonic` gives seconds, for what is counted without Redis."""
        self._redis = _connect(redis_url)
        self._acquire = self._redis.register_script(_ACQUIRE) if self._redis else None
        self._give_back = self._redis.register_script(_GIVE_BACK) if self._redis else None
        self._own = _OwnLimits(monotonic)
        self._debts: SimpleQueue[tuple[str, list[int | str]]] = SimpleQueue()  # to be given back when Redis answers

    def acquire(self, name: str, wanted: int, most: int, rate: float, hold: timedelta) -> Permits:
        """As many permits as there are, up to `wanted`; perhaps none. Each ends by itself after `hold`."""
        permits = Permits(name, wanted)
        if self._acquire is not None:
            try:
                self._settle_debts()
                args: list[int | float | str] = [wanted, most, rate, hold.total_seconds(), permits.id]
                granted: Any = self._acquire(keys=[*_keys(name), _hold_off_key(name)], args=args)
                return Permits(name, int(granted), permits.id)
            except redis.RedisError as error:
                log.warning("limits of %s are this process's own: Redis does not answer (%s)", name, error)
        count = self._own.acquire(name, wanted, max(1, most // SHARE_WITHOUT_REDIS), rate / SHARE_WITHOUT_REDIS)
        return Permits(name, count, permits.id, shared=False)

    def hold_off(self, name: str, wait: timedelta) -> None:
        """Give nobody a permit there for so long, or `LONGEST_HOLD_OFF`: the upstream asked us to slow down."""
        wait = min(wait, LONGEST_HOLD_OFF)
        self._own.hold_off(name, wait)  # also here: Redis may be gone before the wait is over
        if self._redis is None or not wait:
            return
        try:
            self._redis.set(_hold_off_key(name), 1, px=wait)
        except redis.RedisError as error:
            log.warning("only this process slows down at %s: Redis does not answer (%s)", name, error)

    def give_back(self, permits: Permits, count: int, *, unused: bool = False) -> None:
        """So many of the calls have ended; or never began, and then their share of the rate comes back too."""
        if not count:
            return
        names = [f"{permits.id}:{number}" for number in range(permits.count - count + 1, permits.count + 1)]
        permits.count -= count
        tokens = count if unused else 0
        if not permits.shared:
            self._own.give_back(permits.name, count, tokens)
            return
        self._debts.put((permits.name, [tokens, *names]))
        try:
            self._settle_debts()
        except redis.RedisError as error:
            log.warning("permits of %s are given back later: Redis does not answer (%s)", permits.name, error)

    def _settle_debts(self) -> None:
        """Give back what is owed. What Redis does not take now is owed on: a broker that comes back with its memory
        still holds those permits, and they would stop an upstream until they end by themselves."""
        assert self._give_back is not None
        with suppress(Empty):
            while True:
                name, args = self._debts.get_nowait()
                try:
                    self._give_back(keys=_keys(name), args=args)
                except redis.RedisError:
                    self._debts.put((name, args))
                    raise


def _connect(url: str | None) -> redis.Redis | None:
    if url is None:
        return None
    patience = ANSWER.total_seconds()
    return redis.Redis.from_url(url, socket_timeout=patience, retry=Retry(NoBackoff(), 1))


def _keys(name: str) -> Sequence[str]:
    return [f"trunkline:{{{name}}}:in-flight", f"trunkline:{{{name}}}:rate"]


def _hold_off_key(name: str) -> str:
    return f"trunkline:{{{name}}}:hold-off"


class _OwnLimits:
    """The same limits, for one process."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._in_flight: dict[str, int] = {}
        self._tokens: dict[str, tuple[float, float]] = {}
        self._not_before: dict[str, float] = {}

    def hold_off(self, name: str, wait: timedelta) -> None:
        with self._lock:
            self._not_before[name] = self._monotonic() + wait.total_seconds()

    def acquire(self, name: str, wanted: int, most: int, rate: float) -> int:
        with self._lock:
            now, burst = self._monotonic(), max(1.0, rate)
            if now < self._not_before.get(name, now):
                return 0
            tokens, at = self._tokens.get(name, (burst, now))
            tokens = min(burst, tokens + (now - at) * rate)
            granted = max(0, min(wanted, most - self._in_flight.get(name, 0), int(tokens)))
            self._tokens[name] = (tokens - granted, now)
            self._in_flight[name] = self._in_flight.get(name, 0) + granted
            return granted

    def give_back(self, name: str, count: int, tokens: int) -> None:
        with self._lock:
            self._in_flight[name] = max(0, self._in_flight.get(name, 0) - count)
            left, at = self._tokens[name]
            self._tokens[name] = (left + tokens, at)
