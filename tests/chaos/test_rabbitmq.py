"""RabbitMQ as the broker, with quorum queues: all that a request needs, and again when it is hurt."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from kombu import Connection

from tests import services
from tests.chaos.cluster import Cluster, running
from tests.chaos.conftest import Begin, Size
from tests.chaos.load import AT_ONCE, WEATHER, under_load
from tests.chaos.proxy import Proxy
from tests.sandbox import SandboxServer
from worker.app import QUEUES

pytestmark = pytest.mark.timeout(3_000)

SETTLED = 2.0
"""Seconds. RabbitMQ 3.10 that is killed within a second of making a quorum queue can never read that queue again."""


@pytest.fixture(scope="module")
def between(rabbitmq_server: services.Server) -> Iterator[Proxy]:
    """Between our processes and RabbitMQ."""
    with Proxy(rabbitmq_server.port) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def on_rabbitmq(
    tmp_path_factory: pytest.TempPathFactory,
    chaos_sandbox: SandboxServer,
    postgres_server: services.Postgres,
    rabbitmq_server: services.Server,
    between: Proxy,
    _postgres_template: str,
) -> Iterator[Cluster]:
    postgres_server.execute(f"CREATE DATABASE chaos_rabbitmq TEMPLATE {_postgres_template}")
    database_url = postgres_server.database_url("chaos_rabbitmq")
    folder = tmp_path_factory.mktemp("rabbitmq")
    with running(folder, chaos_sandbox, database_url, between.url(rabbitmq_server.url)) as made:
        yield made
    postgres_server.execute("DROP DATABASE chaos_rabbitmq WITH (FORCE)")


def kinds(server: services.Server, *names: str) -> dict[str, str]:
    """Of these queues. One that is there as another kind cannot be declared as this one."""
    found = {}
    for name in names:
        for kind in ("quorum", "classic"):
            with Connection(server.url) as connection, suppress(*connection.channel_errors):
                channel: Any = connection.channel()
                channel.queue_declare(name, durable=True, auto_delete=False, arguments={"x-queue-type": kind})
                found[name] = kind
    return found


def test_requests_go_all_the_way_on_rabbitmq(
    rabbitmq_server: services.Server, on_rabbitmq: Cluster, begin: Begin, size: Size, conclude: Callable[..., None]
) -> None:
    case = begin("RabbitMQ: nothing", on_rabbitmq)
    case.submit(size(50, 1_000))
    conclude(case)
    assert kinds(rabbitmq_server, *QUEUES) == dict.fromkeys(QUEUES, "quorum")


def test_the_connections_to_rabbitmq_are_reset(
    on_rabbitmq: Cluster, between: Proxy, begin: Begin, size: Size, conclude: Callable[..., None]
) -> None:
    case = begin("RabbitMQ: connections reset", on_rabbitmq, **WEATHER)

    def reset() -> None:
        assert between.cut() > 0

    under_load(case, size(2, 20), size(20, AT_ONCE), reset)
    conclude(case)


@pytest.mark.parametrize("empty", [False, True], ids=["with its messages", "empty"])
def test_rabbitmq_is_killed_and_comes_back(
    empty: bool,
    rabbitmq_server: services.Server,
    on_rabbitmq: Cluster,
    begin: Begin,
    size: Size,
    conclude: Callable[..., None],
) -> None:
    case = begin(f"RabbitMQ: SIGKILL, restart {'empty' if empty else 'with its messages'}", on_rabbitmq, **WEATHER)
    time.sleep(SETTLED)

    under_load(case, size(1, 20), size(20, AT_ONCE), lambda: rabbitmq_server.restart(empty=empty))
    conclude(case)


def test_rabbitmq_stands_still(
    rabbitmq_server: services.Server, on_rabbitmq: Cluster, begin: Begin, size: Size, conclude: Callable[..., None]
) -> None:
    case = begin("RabbitMQ: SIGSTOP", on_rabbitmq, **WEATHER)

    def freeze() -> None:
        rabbitmq_server.freeze()
        case.submit(5)  # is taken all the same
        time.sleep(size(5, 40))  # the length of the fault
        rabbitmq_server.thaw()

    under_load(case, size(1, 20), size(20, AT_ONCE), freeze)
    conclude(case)


@pytest.mark.parametrize("is_shared", [False, True], ids=["of each process", "in Redis"])
def test_limits_hold_with_rabbitmq_as_the_broker(
    is_shared: bool,
    on_rabbitmq: Cluster,
    redis_server: services.Server,
    begin: Begin,
    size: Size,
    conclude: Callable[..., None],
) -> None:
    where = "in Redis" if is_shared else "of each process"
    case = begin(f"RabbitMQ: limits {where}", on_rabbitmq, latency_ms={"min": 300, "max": 300})
    worker, *others = on_rabbitmq.workers
    usual = worker.environment
    worker.environment = {**usual, "TRUNKLINE_AVANSER_MAX_IN_FLIGHT": "8"}
    if is_shared:
        worker.environment |= {"TRUNKLINE_REDIS_URL": redis_server.url}
    for one in (worker, *others):
        one.kill()
    worker.start()
    try:
        case.submit(size(40, 200))
        conclude(case)
    finally:
        worker.kill()
        worker.environment = usual
        on_rabbitmq.heal()
    peak = on_rabbitmq.sandbox.summary()["traffic"]["peak_in_flight"]
    if is_shared:
        assert 4 < peak <= 8
    else:
        assert 0 < peak <= 4, "two processes, each with a quarter"
