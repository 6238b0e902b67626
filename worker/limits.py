"""Limits that hold over all workers: how many calls are in flight at an upstream, how many begin in a second, and that
none begins while it asks us to slow down.

They live in Redis. Without it each process keeps to a share of its own: a limit that is too low, never none.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from queue import Empty, SimpleQueue
from statistics import median
from typing import Any
from uuid import uuid4

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker import redis_client
from worker.congestion import Congestion

log = logging.getLogger(__name__)

ANSWER = timedelta(seconds=1)

SHARE_WITHOUT_REDIS = 4
"""We do not know how many processes there are: each takes a quarter of the limit."""

FORGOTTEN = timedelta(minutes=10)
"""After so long without any answer, what an upstream could bear then says nothing any more."""

_NOT_NOW, _WHEN_ONE_ENDS = -1, -2

LONGEST_HOLD_OFF = timedelta(minutes=1)
"""That an upstream's wish to be asked less keeps everybody from asking. Who was told so waits as long as it said; for
all others one of them asks after this, and is told again where it still holds."""

AHEAD = timedelta(milliseconds=250)
"""So far ahead places in the rate are given away: enough that a set is worth its transaction, and what is in a hurry
waits for no more than that. It may have places as far ahead again."""

KEPT_FREE = 20
"""One in so many calls in flight is left by bulk jobs to what is in a hurry."""

WORTH_IT = 1 / 8
"""Of the calls that may be in flight, and of those that may begin in a second, a bulk job takes at least so many at
once: one by one, as they become free, they would all be sets of one."""

AGAIN = timedelta(milliseconds=50)
"""When to ask again where so many calls are in flight that there is no room: one of them ends at any moment."""

_ACQUIRE = """
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1e6
if redis.call('EXISTS', KEYS[3]) == 1 then return {0, '-1'} end
local share = tonumber(redis.call('HGET', KEYS[4], 'share') or 1)
local wanted, most, rate = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]) * share
local hold, ahead, some = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local room = math.max(1, math.floor(most * share))
local free = room - redis.call('ZCARD', KEYS[1])
if free < math.min(wanted, math.max(1, math.floor(room * some))) then return {0, '-2'} end
local next = math.max(now, tonumber(redis.call('GET', KEYS[2]) or 0))
if next - now > ahead + 1 / rate + 1 then next = now end
local least = math.min(wanted, math.max(1, math.floor(rate * some)))
local wait = next + (least - 1) / rate - now - ahead
if wait > 0 then return {0, string.format('%.6f', wait)} end
local granted = math.min(wanted, free, math.floor((now + ahead - next) * rate) + 1)
local permits = {}
for i = 1, granted do permits[2 * i - 1] = now + hold; permits[2 * i] = ARGV[7] .. ':' .. i end
redis.call('ZADD', KEYS[1], unpack(permits))
redis.call('EXPIRE', KEYS[1], math.ceil(hold) + 1)
local last = string.format('%.6f', next + granted / rate)
redis.call('SET', KEYS[2], last, 'EX', math.ceil(1 / rate) + 60)
return {granted, string.format('%.6f', next - now), string.format('%.9f', 1 / rate), last}
"""
"""In flight: a sorted set of permits, each with the time when its holder must be dead. Rate: calls have places in time,
as far apart as the rate says, and the next free one is kept (the generic cell rate algorithm); one that lies further
ahead than it can, after Redis was given another clock, is forgotten. Redis' own clock counts, so that the hosts' need
not agree. Answers how many are granted, the seconds until the first may begin and between two, and where the places
end; or none, and the seconds until there are places enough (-1: not until it is told otherwise; -2: when a call has
ended)."""

_GIVE_BACK = """
redis.call('ZREM', KEYS[1], unpack(ARGV, 3))
if ARGV[1] ~= '' and redis.call('GET', KEYS[2]) == ARGV[1] then
  redis.call('SET', KEYS[2], string.format('%.6f', tonumber(ARGV[1]) - tonumber(ARGV[2])), 'KEEPTTL')
end
"""
"""Places of calls that were never made are free again where they are the last ones."""


@dataclass(slots=True)
class Permits:
    """Leave to have calls in flight, until it is given back or its time has run out."""

    name: str
    count: int  # that are still held
    id: str = field(default_factory=lambda: uuid4().hex)
    shared: bool = True
    again_in: float | None = None  # where there are none: seconds until it is worth asking again, if it is
    opens_at: float = 0.0  # monotonic seconds, when the first call may begin
    step: float = 0.0  # seconds between two
    ends: str = ""  # of their places in the rate, as Redis wrote it

    def wait_of(self, place: int, now: float) -> float:
        """Seconds until the call at this place, from 0, may begin. `now` is by the clock of the limits."""
        return max(0.0, self.opens_at + place * self.step - now)


class Limits:
    def __init__(self, redis_url: str | None, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`monotonic` gives seconds, for what is counted without Redis and for when a call may begin."""
        self.monotonic = monotonic
        self._redis = _connect(redis_url)
        self._acquire = self._redis.register_script(_ACQUIRE) if self._redis else None
        self._give_back = self._redis.register_script(_GIVE_BACK) if self._redis else None
        self._own = _OwnLimits(monotonic)
        self._debts: SimpleQueue[tuple[str, list[float | str]]] = SimpleQueue()  # to be given back when Redis answers

    def acquire(
        self, name: str, wanted: int, most: int, rate: float, hold: timedelta, *, is_bulk: bool = False
    ) -> Permits:
        """As many permits as there are, up to `wanted`; perhaps none. Each ends by itself after `hold`.

        `most` in flight and `rate` a second are over all workers; of both, only the share that the upstream can bear
        (`worker.congestion`). Bulk work leaves some of them free for what is in a hurry.
        """
        ahead, some = (AHEAD, WORTH_IT) if is_bulk else (2 * AHEAD, 0.0)
        most -= most // KEPT_FREE if is_bulk else 0
        if self._acquire is not None:
            permits = Permits(name, wanted)
            try:
                self._settle_debts()
                args: list[float | str] = [wanted, most, rate, hold.total_seconds(), ahead.total_seconds(), some]
                answer: list[Any] = self._acquire(keys=_keys(name), args=[*args, permits.id])
                return self._granted(permits, *answer)
            except redis.RedisError as error:
                log.warning("limits of %s are this process's own: Redis does not answer (%s)", name, error)
        most, rate = max(1, most // SHARE_WITHOUT_REDIS), rate / SHARE_WITHOUT_REDIS
        return self._own.acquire(name, wanted, most, rate, ahead, some)

    def _granted(self, permits: Permits, count: int, wait: bytes, step: bytes = b"0", ends: bytes = b"") -> Permits:
        permits.count = count
        if count:
            permits.opens_at, permits.step = self.monotonic() + float(wait), float(step)
            permits.ends = ends.decode()
        elif float(wait) != _NOT_NOW:
            permits.again_in = AGAIN.total_seconds() if float(wait) == _WHEN_ONE_ENDS else float(wait)
        return permits

    def heard(self, name: str, latencies: Sequence[timedelta], now: datetime, *, is_refused: bool) -> None:
        """What answers tell of how much an upstream can bear: how long calls took, and whether any was one too many."""
        latency = median(one.total_seconds() for one in latencies) if latencies else None
        before = self._own.congestion(name)
        after = before.heard(now.timestamp(), latency, is_refused=is_refused)
        if after is before:
            return  # it was heard a moment ago, here
        if self._redis is not None:
            try:
                before = self._read_congestion(name)
                after = before.heard(now.timestamp(), latency, is_refused=is_refused)
                if after is not before:
                    self._write_congestion(name, after)
            except redis.RedisError as error:
                log.warning("only this process knows how %s does: Redis does not answer (%s)", name, error)
        self._own.set_congestion(name, after)

    def congestion(self, name: str) -> Congestion:
        """How much of its limits an upstream is given now; where Redis does not answer, as this process has seen it."""
        try:
            return self._read_congestion(name)
        except redis.RedisError:
            return self._own.congestion(name)

    def in_flight(self, name: str) -> int | None:
        """How many calls are in flight over all workers; None where nobody can tell, since Redis does not answer."""
        if self._redis is None:
            return None
        try:
            now = float(self._redis.time()[0])
            return int(self._redis.zcount(_keys(name)[0], now, "+inf"))
        except redis.RedisError:
            return None

    def _read_congestion(self, name: str) -> Congestion:
        if self._redis is None:
            return self._own.congestion(name)
        share, usual, at = self._redis.hmget(_share_key(name), "share", "usual", "at")
        if share is None or at is None:
            return Congestion()
        return Congestion(float(share), float(usual) if usual else None, float(at))

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

    def _write_congestion(self, name: str, seen: Congestion) -> None:
        assert self._redis is not None
        usual = "" if seen.usual is None else seen.usual
        values: dict[str | bytes | bytearray | memoryview[int] | int | float, Any] = {
            "share": seen.share,
            "usual": usual,
            "at": seen.at,
        }
        with self._redis.pipeline() as pipeline:
            pipeline.hset(_share_key(name), mapping=values)
            pipeline.expire(_share_key(name), FORGOTTEN)
            pipeline.execute()

    def give_back(self, permits: Permits, count: int, *, unused: bool = False) -> None:
        """So many of the calls have ended; or never began, and then their share of the rate comes back too."""
        if not count:
            return
        names = [f"{permits.id}:{number}" for number in range(permits.count - count + 1, permits.count + 1)]
        permits.count -= count
        unused_time = count * permits.step if unused else 0.0
        if not permits.shared:
            self._own.give_back(permits, count, unused_time)
            return
        self._debts.put((permits.name, [permits.ends if unused else "", unused_time, *names]))
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
                    self._give_back(keys=_keys(name)[:2], args=args)
                except redis.RedisError:
                    self._debts.put((name, args))
                    raise


def _connect(url: str | None) -> redis.Redis | None:
    if url is None:
        return None
    patience = ANSWER.total_seconds()
    return redis_client.connect(url, socket_timeout=patience, retry=Retry(NoBackoff(), 1))


def _keys(name: str) -> Sequence[str]:
    return [f"trunkline:{{{name}}}:in-flight", f"trunkline:{{{name}}}:next", _hold_off_key(name), _share_key(name)]


def _hold_off_key(name: str) -> str:
    return f"trunkline:{{{name}}}:hold-off"


def _share_key(name: str) -> str:
    return f"trunkline:{{{name}}}:share"


class _OwnLimits:
    """The same limits, for one process."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._in_flight: dict[str, int] = {}
        self._next: dict[str, float] = {}
        self._not_before: dict[str, float] = {}
        self._congestion: dict[str, Congestion] = {}

    def congestion(self, name: str) -> Congestion:
        return self._congestion.get(name, Congestion())

    def set_congestion(self, name: str, seen: Congestion) -> None:
        self._congestion[name] = seen

    def hold_off(self, name: str, wait: timedelta) -> None:
        with self._lock:
            self._not_before[name] = self._monotonic() + wait.total_seconds()

    def acquire(self, name: str, wanted: int, most: int, rate: float, ahead: timedelta, some: float) -> Permits:
        with self._lock:
            now, share = self._monotonic(), self.congestion(name).share
            none = Permits(name, 0, shared=False)
            if now < self._not_before.get(name, now):
                return none
            room = max(1, math.floor(most * share))
            free = room - self._in_flight.get(name, 0)
            if free < min(wanted, max(1, math.floor(room * some))):
                return replace(none, again_in=AGAIN.total_seconds())
            step, begins, until = 1 / (rate * share), max(now, self._next.get(name, now)), now + ahead.total_seconds()
            least = min(wanted, max(1, math.floor(some / step)))
            if (wait := begins + (least - 1) * step - until) > 0:
                return replace(none, again_in=wait)
            granted = min(wanted, free, math.floor((until - begins) / step) + 1)
            self._next[name] = begins + granted * step
            self._in_flight[name] = self._in_flight.get(name, 0) + granted
            return Permits(name, granted, shared=False, opens_at=begins, step=step, ends=str(self._next[name]))

    def give_back(self, permits: Permits, count: int, unused_time: float) -> None:
        name = permits.name
        with self._lock:
            self._in_flight[name] = max(0, self._in_flight.get(name, 0) - count)
            if permits.ends == str(self._next[name]):
                self._next[name] -= unused_time
