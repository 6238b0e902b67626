"""The broker loses everything, dies, stands still, or says everything a thousand times: hints are lost or repeated,
and nothing else."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import redis
from celery import Celery
from kombu import Queue

from tests import services
from tests.chaos.conftest import Begin, Size
from tests.chaos.load import AT_ONCE, WEATHER, under_load
from tests.sandbox import eventually
from worker.app import DELIVERIES, INBOX, QUEUES, RELAY, UPSTREAM_QUEUES

pytestmark = pytest.mark.timeout(3_000)

TASKS = {
    INBOX: ("trunkline.read_inbox", []),
    DELIVERIES: ("trunkline.deliver", []),
    RELAY: ("trunkline.relay", []),
    **{queue: ("trunkline.advance", [name]) for name, queue in UPSTREAM_QUEUES.items()},
}


@pytest.fixture
def broker(redis_server: services.Server) -> Iterator[services.Server]:
    """The broker of the cluster. It runs again after the test."""
    yield redis_server
    if redis_server.process.poll() is not None:
        redis_server.start()
    redis_server.thaw()


def one_of_each(broker: services.Server) -> dict[str, bytes]:
    """A message for each queue as it lies in Redis, made where nobody listens: in another of its databases."""
    elsewhere = f"{broker.url.rpartition('/')[0]}/1"
    with Celery(broker=elsewhere, set_as_current=False) as app, redis.Redis.from_url(elsewhere) as client:
        app.conf.task_queues = [Queue(name, routing_key=name) for name in QUEUES]
        for queue, (task, args) in TASKS.items():
            app.send_task(task, args=args, queue=queue, ignore_result=True)
        found = {queue: client.rpop(queue) for queue in TASKS}
    assert all(isinstance(message, bytes) for message in found.values())
    return found


def storm(client: redis.Redis, messages: Mapping[str, bytes], copies: int) -> None:
    """Each message again and again in its queue, and as often among those that dead workers took long ago."""
    for queue, message in messages.items():
        client.lpush(queue, *[message] * copies)
        left: dict[Any, Any] = {f"{queue}-{n}": json.dumps([json.loads(message), "", queue]) for n in range(copies)}
        client.hset("unacked", mapping=left)
        client.zadd("unacked_index", dict.fromkeys(left, 1))  # taken one second after 1970


def unread(client: redis.Redis) -> int:
    """How many messages wait, or are in somebody's hands."""
    return sum(int(client.llen(queue)) for queue in QUEUES) + int(client.zcard("unacked_index"))


def test_everything_in_the_broker_is_flushed(
    broker: services.Server, begin: Begin, size: Size, conclude: Callable[..., None]
) -> None:
    case = begin("broker: FLUSHALL", **WEATHER)

    def flush() -> None:
        with redis.Redis.from_url(broker.url) as client:
            assert client.dbsize() > 0
            client.flushall()

    under_load(case, size(2, 20), size(20, AT_ONCE), flush)
    conclude(case)


def test_the_broker_is_killed_and_comes_back_empty(
    broker: services.Server, begin: Begin, size: Size, conclude: Callable[..., None]
) -> None:
    case = begin("broker: SIGKILL, restart empty", **WEATHER)

    def kill() -> None:
        with case.cluster.no_commits("heartbeats"), redis.Redis.from_url(broker.url) as client:
            client.set("before", "the kill")
            eventually(lambda: client.zcard("unacked_index"))  # ticks that wait for the lock are in workers' hands
            broker.kill()
            time.sleep(1)  # the length of the fault
        broker.start()
        with redis.Redis.from_url(broker.url) as client:
            assert not client.exists("before")
        assert all(member.is_alive for member in case.cluster.members), "none may give up"

    under_load(case, size(1, 20), size(20, AT_ONCE), kill)
    conclude(case)


def test_the_broker_stands_still(
    broker: services.Server, begin: Begin, size: Size, conclude: Callable[..., None]
) -> None:
    case = begin("broker: SIGSTOP", **WEATHER)
    meanwhile = 5

    def freeze() -> None:
        broker.freeze()
        try:
            assert not broker.answers()
            case.submit(meanwhile)  # is taken all the same
            time.sleep(size(3, 40))  # the length of the fault
            assert case.ended() < len(case.submitted_at)
        finally:
            broker.thaw()

    under_load(case, size(1, 20), size(20, AT_ONCE), freeze)
    conclude(case)


def test_the_broker_says_everything_again_and_again(
    broker: services.Server, begin: Begin, size: Size, conclude: Callable[..., None]
) -> None:
    case = begin("broker: redelivery storm", **WEATHER)
    messages, copies = one_of_each(broker), size(50, 500)

    def redeliver() -> None:
        with redis.Redis.from_url(broker.url) as client:
            storm(client, messages, copies)
            assert unread(client) > copies * len(messages)
            eventually(lambda: unread(client) < copies / 10, within=300)  # ticks and hints go on all the while

    under_load(case, size(1, 20), size(20, AT_ONCE), redeliver)
    conclude(case)
