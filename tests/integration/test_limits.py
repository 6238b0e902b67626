"""Limits over all workers: never exceeded, never lost with their holder, never gone with Redis."""

from __future__ import annotations

import threading
from datetime import timedelta
from itertools import count

import pytest
import redis

from tests import services
from tests.sandbox import eventually
from tests.working import together
from worker.limits import LONGEST_HOLD_OFF, SHARE_WITHOUT_REDIS, Limits, Permits

HOLD = timedelta(seconds=60)
PLENTY = 1_000_000.0
"""A rate that hinders nobody."""


def granted(permits: Permits) -> int:
    return permits.count


def test_no_more_are_in_flight_than_allowed_until_some_come_back(redis_url: str) -> None:
    here, there = Limits(redis_url), Limits(redis_url)
    first = here.acquire("avanser", 3, 5, PLENTY, HOLD)
    second = there.acquire("avanser", 3, 5, PLENTY, HOLD)
    assert (first.count, second.count) == (3, 2)
    assert granted(here.acquire("avanser", 1, 5, PLENTY, HOLD)) == 0
    assert granted(here.acquire("telmetrics", 1, 5, PLENTY, HOLD)) == 1, "each upstream has its own"
    here.give_back(first, 1)
    assert first.count == 2
    assert granted(there.acquire("avanser", 3, 5, PLENTY, HOLD)) == 1
    here.give_back(first, 2)
    there.give_back(second, 2)
    assert granted(there.acquire("avanser", 9, 5, PLENTY, HOLD)) == 4


def test_four_workers_together_never_exceed_the_limit(redis_url: str) -> None:
    lock, flying, peaks = threading.Lock(), 0, []

    def work() -> None:
        nonlocal flying
        limits = Limits(redis_url)
        for _ in range(60):
            permits = limits.acquire("avanser", 3, 7, PLENTY, HOLD)
            with lock:
                flying += permits.count
                peaks.append(flying)
            while permits.count:
                with lock:
                    flying -= 1
                limits.give_back(permits, 1)

    together(work, work, work, work)
    assert max(peaks) <= 7
    assert granted(Limits(redis_url).acquire("avanser", 9, 7, PLENTY, HOLD)) == 7, "none was lost"


def test_permits_of_a_holder_that_died_end_by_themselves(redis_url: str) -> None:
    Limits(redis_url).acquire("avanser", 5, 5, PLENTY, timedelta(seconds=0.2))
    limits = Limits(redis_url)
    assert granted(limits.acquire("avanser", 5, 5, PLENTY, HOLD)) == 0
    assert eventually(lambda: granted(limits.acquire("avanser", 5, 5, PLENTY, HOLD))) == 5


def test_a_permit_that_ended_by_itself_frees_nobody_elses_when_it_is_given_back(redis_url: str) -> None:
    limits = Limits(redis_url)
    late = limits.acquire("avanser", 2, 2, PLENTY, timedelta(seconds=0.05))
    eventually(lambda: granted(limits.acquire("avanser", 2, 2, PLENTY, HOLD)))
    limits.give_back(late, 2)
    assert granted(limits.acquire("avanser", 2, 2, PLENTY, HOLD)) == 0


def test_no_more_begin_in_a_second_than_allowed(redis_url: str) -> None:
    limits = Limits(redis_url)
    assert granted(limits.acquire("avanser", 100, 1_000, 4, HOLD)) == 4, "one second's worth at once"
    assert granted(limits.acquire("avanser", 100, 1_000, 4, HOLD)) == 0
    assert eventually(lambda: granted(limits.acquire("avanser", 100, 1_000, 4, HOLD))) == 1


def test_calls_that_never_began_give_their_share_of_the_rate_back(redis_url: str) -> None:
    for limits in (Limits(redis_url), Limits(None)):
        slow = 0.04  # a second one comes after 25 s, or after 100
        unused = limits.acquire("avanser", 1, 100, slow, HOLD)
        limits.give_back(unused, 1, unused=True)
        used = limits.acquire("avanser", 1, 100, slow, HOLD)
        assert used.count == 1
        limits.give_back(used, 1)
        assert granted(limits.acquire("avanser", 1, 100, slow, HOLD)) == 0


def test_nothing_stays_in_redis_for_ever(redis_url: str) -> None:
    Limits(redis_url).acquire("avanser", 1, 5, 1, HOLD)
    with redis.Redis.from_url(redis_url) as client:
        ends = [client.ttl(key) for key in client.scan_iter()]
    assert len(ends) == 2
    assert all(0 < seconds <= 120 for seconds in ends)


def test_without_redis_each_process_keeps_to_its_share() -> None:
    limits = Limits(None)
    first = limits.acquire("avanser", 100, 5 * SHARE_WITHOUT_REDIS, PLENTY, HOLD)
    assert first.count == 5
    assert granted(limits.acquire("avanser", 1, 5 * SHARE_WITHOUT_REDIS, PLENTY, HOLD)) == 0
    limits.give_back(first, 2)
    assert granted(limits.acquire("avanser", 100, 5 * SHARE_WITHOUT_REDIS, PLENTY, HOLD)) == 2


def test_without_redis_one_call_at_least_is_allowed() -> None:
    assert granted(Limits(None).acquire("avanser", 100, 1, 1, HOLD)) == 1


def test_losing_redis_leaves_a_limit_and_stops_nothing(
    redis_server: services.Server, caplog: pytest.LogCaptureFixture
) -> None:
    with services.redis_server() as server:
        limits = Limits(server.url)
        shared = limits.acquire("avanser", 100, 8, PLENTY, HOLD)
        server.process.kill()
        server.process.wait()
        own = limits.acquire("avanser", 100, 8, PLENTY, HOLD)
        limits.give_back(shared, 8)
    assert (shared.count, shared.shared) == (0, True)
    assert (own.count, own.shared) == (2, False)
    assert granted(limits.acquire("avanser", 100, 8, PLENTY, HOLD)) == 0
    limits.give_back(own, 2)
    assert granted(limits.acquire("avanser", 100, 8, PLENTY, HOLD)) == 2
    assert "Redis does not answer" in caplog.text


def test_a_redis_that_forgot_everything_is_asked_as_before(redis_url: str) -> None:
    limits = Limits(redis_url)
    limits.acquire("avanser", 5, 5, PLENTY, HOLD)
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        client.script_flush()
    assert granted(limits.acquire("avanser", 5, 5, PLENTY, HOLD)) == 5


def test_many_short_calls_use_the_whole_limit_and_leave_no_permit_behind(redis_url: str) -> None:
    limits = Limits(redis_url)
    for number in count():
        permits = limits.acquire("avanser", 50, 50, PLENTY, HOLD)
        assert permits.count == 50
        limits.give_back(permits, 10, unused=True)
        limits.give_back(permits, 40)
        if number == 5:
            break
    with redis.Redis.from_url(redis_url) as client:
        assert client.zcard("trunkline:{avanser}:in-flight") == 0


def test_permits_that_redis_did_not_take_back_while_it_was_away_are_free_when_it_answers(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = Limits(redis_url)
    permits = limits.acquire("avanser", 5, 5, PLENTY, HOLD)
    assert permits.count == 5

    def away(**_: object) -> None:
        raise redis.ConnectionError

    with monkeypatch.context() as broken:
        broken.setattr(limits, "_give_back", away)
        limits.give_back(permits, 5)
    assert limits.acquire("avanser", 5, 5, PLENTY, HOLD).count == 5


def test_an_upstream_that_asks_to_slow_down_is_asked_by_nobody_for_so_long(redis_url: str) -> None:
    here, there = Limits(redis_url), Limits(redis_url)
    here.hold_off("avanser", timedelta(seconds=0.3))
    assert granted(there.acquire("avanser", 5, 5, PLENTY, HOLD)) == 0
    assert granted(there.acquire("telmetrics", 5, 5, PLENTY, HOLD)) == 5, "each upstream speaks for itself"
    assert eventually(lambda: granted(there.acquire("avanser", 5, 5, PLENTY, HOLD))) == 5


def test_a_wish_to_be_left_alone_for_long_stops_nobody_for_longer_than_a_minute(redis_url: str) -> None:
    Limits(redis_url).hold_off("avanser", timedelta(hours=1))
    with redis.Redis.from_url(redis_url) as client:
        (left,) = [client.pttl(key) for key in client.scan_iter()]
    assert 0 < left <= LONGEST_HOLD_OFF.total_seconds() * 1000


def test_without_redis_the_process_that_was_asked_to_slow_down_does() -> None:
    now = [100.0]
    limits = Limits(None, lambda: now[0])
    limits.hold_off("avanser", timedelta(hours=1))
    assert granted(limits.acquire("avanser", 1, 8, PLENTY, HOLD)) == 0
    assert granted(limits.acquire("telmetrics", 1, 8, PLENTY, HOLD)) == 1
    now[0] += LONGEST_HOLD_OFF.total_seconds()
    assert granted(limits.acquire("avanser", 1, 8, PLENTY, HOLD)) == 1


def test_losing_redis_forgets_no_wish_to_slow_down(redis_server: services.Server) -> None:
    with services.redis_server() as server:
        limits = Limits(server.url)
        limits.hold_off("avanser", HOLD)
        server.process.kill()
        server.process.wait()
        assert granted(limits.acquire("avanser", 1, 8, PLENTY, HOLD)) == 0
        limits.hold_off("telmetrics", HOLD)
    assert granted(limits.acquire("telmetrics", 1, 8, PLENTY, HOLD)) == 0
