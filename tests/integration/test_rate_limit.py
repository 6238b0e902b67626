"""How many requests a minute a key may make: over all processes, told on every answer, and never of upstreams."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import redis
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from models.base import make_engine, utc_now, write
from models.inbox import Purpose
from models.requester import Caller, Scope, create_key, find_or_make
from tests.factory import KEYRING
from tests.receiver import NO_BROKER, Api, receiver, settings_for
from webhook_receiver.rate_limit import ANSWER, LEFT_ALONE, WINDOW, RateLimit

MOST = 3
PATH = "/v1/requests"


class Receivers:
    """Two of them on one database and one Redis, where a key may make three requests a minute."""

    def __init__(self, one: Api, other: Api, redis_url: str) -> None:
        self.one, self.other, self.redis_url = one, other, redis_url

    def new_key(self, rate: int | None = None) -> str:
        def work(session: Session) -> str:
            owner = find_or_make(session, "default", utc_now())
            return create_key(session, owner, "test", [Scope.READ], utc_now(), requests_a_minute=rate)[1]

        return write(self.one.engine, work)

    def end_the_minute(self) -> None:
        with redis.Redis.from_url(self.redis_url) as client:
            for key in client.keys("trunkline:{key:*"):
                client.pexpire(key, 1)
        time.sleep(0.01)


@pytest.fixture
def receivers(monkeypatch: pytest.MonkeyPatch, sqlite_url: str, tmp_path: Path, redis_url: str) -> Iterator[Receivers]:
    settings = settings_for(
        monkeypatch, sqlite_url, str(tmp_path), TRUNKLINE_RATE_LIMIT=str(MOST), TRUNKLINE_REDIS_URL=redis_url
    )
    engine = make_engine(sqlite_url, keyring=KEYRING)
    with receiver(settings, engine) as one, receiver(settings, engine) as other:
        yield Receivers(one, other, redis_url)
    engine.dispose()


def told(answer: TestResponse) -> tuple[int, int, int]:
    """How many a minute, how many are left, and for how many seconds."""
    policy = re.fullmatch(r'"key";q=(\d+);w=60', answer.headers["RateLimit-Policy"])
    now = re.fullmatch(r'"key";r=(\d+);t=(\d+)', answer.headers["RateLimit"])
    assert policy
    assert now
    return int(policy[1]), int(now[1]), int(now[2])


def test_a_key_gets_its_requests_over_all_receivers_and_then_429_until_the_minute_is_over(receivers: Receivers) -> None:
    key = receivers.new_key()
    answers = [api.get(PATH, key=key) for api in (receivers.one, receivers.other) * 3]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429, 429]
    assert [told(answer)[:2] for answer in answers] == [(MOST, left) for left in (2, 1, 0, 0, 0, 0)]
    assert all(0 < told(answer)[2] <= 60 for answer in answers)
    refused = answers[-1]
    assert (refused.mimetype, (refused.json or {})["code"]) == ("application/problem+json", "rate_limited")
    assert int(refused.headers["Retry-After"]) == told(refused)[2]

    receivers.end_the_minute()
    assert receivers.other.get(PATH, key=key).status_code == 200


def test_what_a_key_may_not_do_counts_as_well_and_other_keys_are_not_touched(receivers: Receivers) -> None:
    key, another = receivers.new_key(), receivers.new_key()
    cancel = f"{PATH}/{uuid4()}/cancel"
    assert [receivers.one.post(cancel, key=key).status_code for _ in range(4)] == [403, 403, 403, 429]
    assert receivers.one.get(PATH, key=another).status_code == 200


@pytest.mark.parametrize(("rate", "good"), [(1, 1), (5, 5), (0, 8)])
def test_a_key_may_have_a_rate_of_its_own(receivers: Receivers, rate: int, good: int) -> None:
    key = receivers.new_key(rate)
    statuses = [receivers.one.get(PATH, key=key).status_code for _ in range(8)]
    assert statuses == [200] * good + [429] * (8 - good)


def test_upstreams_health_checks_and_metrics_are_never_counted(receivers: Receivers) -> None:
    key, api = receivers.new_key(), receivers.one
    while api.get(PATH, key=key).status_code != 429:
        pass
    for purpose, path in ((Purpose.CALLBACK, "callbacks"), (Purpose.CALL, "calls"), (Purpose.SMS, "sms")):
        for number in range(2 * MOST):
            answer = api.post(f"/{path}/avanser/{api.token(purpose)}", key=key, json={"n": number})
            assert answer.status_code == 200
            assert "RateLimit" not in answer.headers
    for path in ("/healthz", "/readyz", "/metrics"):
        for _ in range(2 * MOST):
            answer = api.get(path, key=key)
            assert answer.status_code == 200
            assert "RateLimit" not in answer.headers


def test_without_redis_nobody_is_turned_back_and_nobody_waits_for_it_each_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = 0.0
    away = RateLimit(NO_BROKER, 1, lambda: now)
    caller = Caller(uuid4(), UUID(int=2), "default", frozenset())
    assert [away.count(caller) for _ in range(10)] == [None] * 10
    assert caplog.text.count("Redis does not answer") == 1
    now = LEFT_ALONE.total_seconds()
    assert away.count(caller) is None
    assert caplog.text.count("Redis does not answer") == 2


def test_a_redis_that_hangs_costs_a_request_a_moment(redis_url: str) -> None:
    caller = Caller(uuid4(), UUID(int=2), "default", frozenset())
    limit = RateLimit(redis_url, 1)
    assert limit.count(caller) is not None
    with redis.Redis.from_url(redis_url) as client:
        client.execute_command("CLIENT", "PAUSE", 2_000)
        began = time.monotonic()
        assert [limit.count(caller) for _ in range(10)] == [None] * 10
        took = time.monotonic() - began
        client.execute_command("CLIENT", "UNPAUSE")
    assert took < 3 * ANSWER.total_seconds()


def test_where_there_is_no_redis_at_all_a_process_counts_for_itself() -> None:
    now = 100.0
    limit = RateLimit(None, 2, lambda: now)
    one, other = (Caller(uuid4(), UUID(int=2), "default", frozenset()) for _ in range(2))
    counts = [limit.count(one) for _ in range(3)]
    assert [counted.count for counted in counts if counted] == [1, 2, 3]
    assert limit.count(other) is not None
    now += WINDOW.total_seconds()
    again = limit.count(one)
    assert again is not None
    assert (again.count, again.left) == (1, WINDOW)


def test_no_limit_is_asked_of_nobody() -> None:
    unlimited = RateLimit(NO_BROKER, 0)
    assert unlimited.count(Caller(uuid4(), UUID(int=2), "default", frozenset())) is None
    assert unlimited._ask_again_at < 0  # Redis was not asked


def test_every_documented_answer_to_a_key_may_be_429_but_that_of_the_metrics(receivers: Receivers) -> None:
    document = receivers.one.get("/openapi.json").json or {}
    without = {
        path for path, methods in document["paths"].items() for one in methods.values() if "429" not in one["responses"]
    }
    assert without == {"/healthz", "/readyz", "/metrics"}
