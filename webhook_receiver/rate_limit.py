"""How many requests a minute a key may make, over all processes, and what its holder is told of it.

The count stands in Redis. While that does not answer nobody is counted, and so nobody is turned back: this limit keeps
a requester's runaway program from taking the receiver for itself, and is worth less than the requester's requests. The
fields are those of draft-ietf-httpapi-ratelimit-headers-10.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Any
from uuid import UUID

import flask
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from models.requester import Caller
from webhook_receiver.problems import Problem
from worker import redis_client

log = logging.getLogger(__name__)

WINDOW = timedelta(minutes=1)
"""From a key's first request on; then its count begins anew."""

ANSWER = timedelta(milliseconds=250)
"""So long a request waits for Redis, at the most."""

LEFT_ALONE = timedelta(seconds=5)
"""After it has not answered, Redis is not asked for so long: else every request would wait for it."""

POLICY = "key"

_COUNT = """
local count = redis.call('INCR', KEYS[1])
local left = redis.call('PTTL', KEYS[1])
if left < 0 then left = tonumber(ARGV[1]); redis.call('PEXPIRE', KEYS[1], left) end
return {count, left}
"""


@dataclass(frozen=True, slots=True)
class Counted:
    """One more request of a key, in the window that ends after `left`."""

    most: int
    count: int
    left: timedelta

    @property
    def seconds(self) -> int:
        return max(1, math.ceil(self.left.total_seconds()))

    def headers(self) -> dict[str, str]:
        return {
            "RateLimit-Policy": f'"{POLICY}";q={self.most};w={int(WINDOW.total_seconds())}',
            "RateLimit": f'"{POLICY}";r={max(0, self.most - self.count)};t={self.seconds}',
        }


class RateLimit:
    """One for each process; for any number of threads."""

    def __init__(self, redis_url: str | None, usual: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`usual` requests a minute for a key of which nothing else is said; 0: any number. Without a `redis_url` this
        process counts what it sees itself."""
        self._usual, self._monotonic = usual, monotonic
        self._script: Callable[..., Any] | None = None
        if redis_url is not None:
            patience = ANSWER.total_seconds()
            client = redis_client.connect(
                redis_url, socket_timeout=patience, socket_connect_timeout=patience, retry=Retry(NoBackoff(), 0)
            )
            self._script = client.register_script(_COUNT)
        self._ask_again_at = -math.inf
        self._lock = threading.Lock()
        self._own: dict[UUID, tuple[int, float]] = {}  # by key: how many, and until when, in monotonic seconds

    def count(self, caller: Caller) -> Counted | None:
        """One more request of this key; None where it is not limited, or Redis does not answer."""
        most = self._usual if caller.requests_a_minute is None else caller.requests_a_minute
        if not most:
            return None
        if self._script is None:
            return self._count_here(caller.key_id, most)
        if self._monotonic() < self._ask_again_at:
            return None
        try:
            count, left = self._script(
                keys=[f"trunkline:{{key:{caller.key_id}}}:requests"], args=[int(WINDOW.total_seconds() * 1000)]
            )
        except redis.RedisError as error:
            self._ask_again_at = self._monotonic() + LEFT_ALONE.total_seconds()
            log.warning("requests of keys are not limited: Redis does not answer (%s)", type(error).__name__)
            return None
        return Counted(most, count, timedelta(milliseconds=left))

    def _count_here(self, key_id: UUID, most: int) -> Counted:
        now = self._monotonic()
        with self._lock:
            count, until = self._own.get(key_id, (0, 0.0))
            if until <= now:
                count, until = 0, now + WINDOW.total_seconds()
            self._own[key_id] = (count + 1, until)
        return Counted(most, count + 1, timedelta(seconds=until - now))


def require_room(counted: Counted | None) -> None:
    """Remember what the answer is to tell. Raises Problem, 429, for a request that is one too many."""
    flask.g.counted = counted
    if counted is not None and counted.count > counted.most:
        detail = f"This key may make {counted.most} requests a minute. Ask again in {counted.seconds} s."
        headers = {"Retry-After": str(counted.seconds)}
        raise Problem(HTTPStatus.TOO_MANY_REQUESTS, "rate_limited", detail, headers=headers)


def tell(response: flask.Response) -> flask.Response:
    """Say on the answer how many requests are left."""
    counted: Counted | None = flask.g.get("counted")
    if counted is not None:
        response.headers.update(counted.headers())
    return response
