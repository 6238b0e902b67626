"""PostgreSQL dies for good, and its standby takes over: what is lost with it, and which setting makes that nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests import services
from tests.chaos import mixed
from tests.chaos.cluster import LEASE, Cluster, running
from tests.chaos.conftest import Begin, Size
from tests.chaos.levelling import SLOWLY, adopt, findings, run
from tests.chaos.load import WEATHER
from tests.conftest import or_skip
from tests.sandbox import SandboxServer, eventually

pytestmark = pytest.mark.timeout(1_800)


@dataclass(frozen=True)
class Pair:
    primary: services.Postgres
    standby: services.Postgres
    is_synchronous: bool

    def url(self, name: str) -> str:
        """Of whichever of the two can be written to."""
        user = self.primary.url.partition("://")[2].partition("@")[0]
        hosts = "&".join(f"host=127.0.0.1:{server.port}" for server in (self.primary, self.standby))
        return f"postgresql+psycopg://{user}@/{name}?{hosts}&target_session_attrs=read-write"


@pytest.fixture(scope="module", params=["asynchronous", "synchronous"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    with or_skip(), services.postgres() as primary, primary.standby() as standby:
        is_synchronous = request.param == "synchronous"
        if is_synchronous:
            primary.wait_for_standby()
        yield Pair(primary, standby, is_synchronous)


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, chaos_sandbox: SandboxServer, pair: Pair, redis_server: services.Server
) -> Iterator[Cluster]:
    pair.primary.execute("CREATE DATABASE failover")
    folder, url = tmp_path_factory.mktemp("failover"), pair.primary.database_url("failover")
    settings: dict[str, Any] = SLOWLY | {"TRUNKLINE_DATABASE_URL": pair.url("failover")}
    if pair.is_synchronous:
        settings["TRUNKLINE_PAUSE_AFTER_FAILOVER"] = "false"
    with running(folder, chaos_sandbox, url, redis_server.url, **settings) as made:
        yield made


def test_a_standby_takes_over(pair: Pair, begin: Begin, size: Size, conclude: Callable[..., None]) -> None:
    kind = "a synchronous" if pair.is_synchronous else "an asynchronous"
    case = begin(f"PostgreSQL dies for good, {kind} standby takes over", **WEATHER)
    cluster, count = case.cluster, size(60, 2_000)
    batch = case.submit(count, upstreams=mixed.UPSTREAMS)
    case.until(batch, "completed", count // 4)
    if not pair.is_synchronous:
        pair.standby.kill()  # behind, as it may be on any day. Frozen, it would yet read what was sent to it
        case.until(batch, "completed", count // 2)
    pair.primary.kill()
    if not pair.is_synchronous:
        pair.standby.start()
    pair.standby.promote()
    cluster.database_url = pair.standby.database_url("failover")
    case.struck()
    if pair.is_synchronous:
        conclude(case)
        return
    eventually(lambda: "database_restored" in run(cluster, "upstream", "status").stdout, within=60)
    time.sleep(LEASE)  # what was on its way when the server died lands
    bought, lost = case.ordered(), len(findings(cluster))
    assert lost, "nothing was lost, so nothing was tried"
    eventually(lambda: adopt(cluster), within=120)
    assert case.ordered() == bought, "ordered by books that were not level"
    assert run(cluster, "upstream", "resume", "--all").returncode == 0
    case.over()
    conclude(case, measured=["I4"], findings=lost)
