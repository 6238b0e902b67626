"""Limits over all workers: never exceeded, never lost with their holder, never gone with Redis."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from itertools import count, pairwise

import pytest
import redis

from tests import services
from tests.factory import NOW
from tests.sandbox import eventually
from tests.working import together
from worker.congestion import REFUSED, SLOW, STEP
from worker.limits import AGAIN, AHEAD, FORGOTTEN, LONGEST_HOLD_OFF, SHARE_WITHOUT_REDIS, Limits, Permits

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


@pytest.fixture(params=["redis", "own"])
def limits(request: pytest.FixtureRequest) -> Limits:
    return Limits(request.getfixturevalue("redis_url") if request.param == "redis" else None)


def bulk(limits: Limits, wanted: int = 100, most: int = 1_000, rate: float = PLENTY) -> Permits:
    """Where Redis does not count, each process has a quarter; so four times as much is asked for."""
    share = 1 if limits.acquire("another", 1, 4, PLENTY, HOLD).shared else SHARE_WITHOUT_REDIS
    return limits.acquire("avanser", wanted, most * share, rate * share, HOLD, is_bulk=True)


def test_calls_begin_as_far_apart_as_the_rate_says(limits: Limits) -> None:
    rate, begins = 40.0, list[float]()
    until = limits.monotonic() + 1.5
    while limits.monotonic() < until:
        permits = bulk(limits, rate=rate)
        now = limits.monotonic()
        begins += [now + permits.wait_of(place, now) for place in range(permits.count)]
        limits.give_back(permits, permits.count)
        if permits.again_in is not None:
            time.sleep(permits.again_in)
    apart = [later - earlier for earlier, later in pairwise(begins)]
    assert min(apart) > 0.8 / rate
    assert len([one for one in begins if one < until]) >= 0.9 * 1.5 * rate, "and none of the places is lost"


def test_a_bulk_job_takes_places_for_a_quarter_of_a_second_and_who_is_in_a_hurry_finds_one(limits: Limits) -> None:
    rate = 40.0
    first = bulk(limits, rate=rate)
    assert first.count == 1 + AHEAD.total_seconds() * rate
    assert granted(bulk(limits, rate=rate)) <= 1  # so much time may have passed
    share = 1 if first.shared else SHARE_WITHOUT_REDIS
    hurried = limits.acquire("avanser", 1, 1_000 * share, rate * share, HOLD)
    assert hurried.count == 1
    assert hurried.wait_of(0, limits.monotonic()) <= AHEAD.total_seconds() + 2 / rate


def test_a_bulk_job_leaves_some_calls_to_who_is_in_a_hurry(limits: Limits) -> None:
    first = bulk(limits, wanted=200, most=100)
    assert first.count == 95
    share = 1 if first.shared else SHARE_WITHOUT_REDIS
    assert limits.acquire("avanser", 9, 100 * share, PLENTY, HOLD).count == 5
    full = bulk(limits, most=100)
    assert (full.count, full.again_in) == (0, AGAIN.total_seconds())


def test_a_bulk_job_takes_a_set_or_waits_for_one(limits: Limits) -> None:
    first = bulk(limits, wanted=200, most=80)
    limits.give_back(first, 8)
    assert bulk(limits, most=80).again_in == AGAIN.total_seconds()
    limits.give_back(first, 1)
    assert bulk(limits, most=80).count == 9


def test_a_bulk_job_takes_an_eighth_of_a_seconds_places_or_waits_for_them(limits: Limits) -> None:
    rate, sizes = 80.0, list[int]()
    until = limits.monotonic() + 1
    while limits.monotonic() < until:
        permits = bulk(limits, rate=rate)
        sizes.append(permits.count)
        limits.give_back(permits, permits.count)
        time.sleep(permits.again_in or 0)
    assert min(size for size in sizes if size) >= rate / 8


def test_a_limit_of_one_call_is_a_bulk_jobs_as_well(limits: Limits) -> None:
    assert granted(bulk(limits, most=1)) == 1


@pytest.mark.parametrize("is_refused", [True, False], ids=["refused", "slow"])
def test_an_upstream_that_has_enough_is_given_less_by_all(redis_url: str, is_refused: bool) -> None:
    here, there, now = Limits(redis_url), Limits(redis_url), NOW
    here.heard("avanser", [timedelta(seconds=0.1)], now, is_refused=False)
    for _ in range(3):
        now += STEP
        here.heard("avanser", [] if is_refused else [timedelta(seconds=2)], now, is_refused=is_refused)
    share = there.congestion("avanser").share
    assert share == pytest.approx(REFUSED**3 if is_refused else SLOW**3)
    permits = there.acquire("avanser", 1_000, 100, PLENTY, HOLD)
    assert permits.count == int(100 * share)
    assert permits.step == pytest.approx(1 / (PLENTY * share), rel=0.01)
    assert granted(there.acquire("telmetrics", 1_000, 100, PLENTY, HOLD)) == 100, "and no other"


def test_without_redis_the_process_that_heard_it_gives_less() -> None:
    limits = Limits(None)
    limits.heard("avanser", [], NOW, is_refused=True)
    assert granted(limits.acquire("avanser", 1_000, 100 * SHARE_WITHOUT_REDIS, PLENTY, HOLD)) == 50


def test_redis_was_given_another_clock(redis_url: str) -> None:
    limits = Limits(redis_url)
    with redis.Redis.from_url(redis_url) as client:
        client.set("trunkline:{avanser}:next", "99999999999.0")
    assert granted(bulk(limits)) == 100


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
    Limits(redis_url).heard("avanser", [], NOW, is_refused=True)
    with redis.Redis.from_url(redis_url) as client:
        ends = [client.ttl(key) for key in client.scan_iter()]
    assert len(ends) == 3
    assert all(0 < seconds <= FORGOTTEN.total_seconds() for seconds in ends)


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
