"""Redis with Sentinels as the broker: the master goes, the replica becomes the master, the old one comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests import services
from tests.chaos.cluster import Cluster, running
from tests.chaos.conftest import Begin, Size
from tests.chaos.load import AT_ONCE, WEATHER, under_load
from tests.sandbox import SandboxServer, eventually

pytestmark = pytest.mark.timeout(3_000)


@pytest.fixture(scope="module")
def on_sentinels(
    tmp_path_factory: pytest.TempPathFactory,
    chaos_sandbox: SandboxServer,
    postgres_server: services.Postgres,
    watched_redis: services.Watched,
    _postgres_template: str,
) -> Iterator[Cluster]:
    postgres_server.execute(f"CREATE DATABASE chaos_sentinel TEMPLATE {_postgres_template}")
    database_url = postgres_server.database_url("chaos_sentinel")
    folder, settings = tmp_path_factory.mktemp("sentinel"), dict[str, Any](watched_redis.settings)
    with running(folder, chaos_sandbox, database_url, watched_redis.url, **settings) as made:
        yield made
    postgres_server.execute("DROP DATABASE chaos_sentinel WITH (FORCE)")


@pytest.fixture
def servers(watched_redis: services.Watched) -> Iterator[services.Watched]:
    """A master with its replica; both run again after the test."""
    eventually(watched_redis.is_whole, within=60)
    yield watched_redis
    for server in watched_redis.servers:
        server.thaw()
        if server.process.poll() is not None:
            server.start()


def test_requests_go_all_the_way_where_sentinels_name_the_broker(
    on_sentinels: Cluster, servers: services.Watched, begin: Begin, size: Size, conclude: Callable[..., None]
) -> None:
    case = begin("Redis with Sentinels: nothing", on_sentinels)
    case.submit(size(50, 1_000))
    conclude(case)
    checks = {check["what"]: check for check in on_sentinels.run("doctor")["checks"]}
    assert checks["broker"]["state"] == "ok"
    assert "Sentinels" in checks["broker"]["detail"]
    assert servers.password not in str(checks)


@pytest.mark.parametrize("is_silent", [False, True], ids=["killed", "stands still"])
def test_the_replica_becomes_the_master(
    is_silent: bool,
    on_sentinels: Cluster,
    servers: services.Watched,
    begin: Begin,
    size: Size,
    conclude: Callable[..., None],
) -> None:
    case = begin(f"Redis with Sentinels: the master {'SIGSTOP' if is_silent else 'SIGKILL'}", on_sentinels, **WEATHER)

    def fail_over() -> None:
        eventually(servers.is_whole, within=60)
        old = servers.master()
        if is_silent:
            old.freeze()
        else:
            old.kill()
        eventually(lambda: servers.master() is not old, within=60)
        batch = case.submit(5)
        case.until(batch, "completed", 5, within=60)  # while the old one is still away
        if is_silent:
            old.thaw()
        else:
            old.start()

    under_load(case, size(1, 20), size(20, AT_ONCE), fail_over)
    conclude(case)
