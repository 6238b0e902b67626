"""One cluster for all faults, sizes, and the verdicts' way into the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import services
from tests.chaos import report
from tests.chaos.case import Case
from tests.chaos.cluster import Cluster, running
from tests.chaos.judge import Verdict
from tests.sandbox import SandboxServer

Begin = Callable[..., Case]
Size = Callable[[int, int], int]
Start = Callable[..., AbstractContextManager[Cluster]]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In full size the longest come first, so that none of them is left alone at the end."""
    if config.getoption("--chaos") == "full":
        items.sort(key=_time_limit, reverse=True)


def _time_limit(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker else 0.0


@pytest.fixture
def size(request: pytest.FixtureRequest) -> Size:
    """`size(small, full)`: as the option `--chaos` says."""
    is_full = request.config.getoption("--chaos") == "full"
    return lambda small, full: full if is_full else small


@pytest.fixture(scope="session")
def chaos_sandbox() -> Iterator[SandboxServer]:
    with SandboxServer() as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def broker_settings(request: pytest.FixtureRequest) -> dict[str, str]:
    """The broker that the option `--broker` names, as settings. Limits are shared also beside RabbitMQ."""
    kind = request.config.getoption("--broker")
    if kind == "sentinel":
        watched: services.Watched = request.getfixturevalue("watched_redis")
        return {"TRUNKLINE_BROKER_URL": watched.url} | watched.settings
    redis_server: services.Server = request.getfixturevalue("redis_server")
    if kind == "redis":
        return {"TRUNKLINE_BROKER_URL": redis_server.url}
    rabbitmq_server: services.Server = request.getfixturevalue("rabbitmq_server")
    return {"TRUNKLINE_BROKER_URL": rabbitmq_server.url, "TRUNKLINE_REDIS_URL": redis_server.url}


@pytest.fixture(scope="session")
def start(
    tmp_path_factory: pytest.TempPathFactory,
    chaos_sandbox: SandboxServer,
    postgres_server: services.Postgres,
    broker_settings: dict[str, str],
    _postgres_template: str,
) -> Start:
    """`with start(…) as cluster`: on an empty database of its own and the broker of all; options as `running` has."""

    @contextmanager
    def make(**options: Any) -> Iterator[Cluster]:
        folder = tmp_path_factory.mktemp("cluster")
        name = f"chaos_{folder.name.replace('-', '_')}"
        postgres_server.execute(f"CREATE DATABASE {name} TEMPLATE {_postgres_template}")
        url = postgres_server.database_url(name)
        broker_url = broker_settings["TRUNKLINE_BROKER_URL"]
        with running(folder, chaos_sandbox, url, broker_url, **{**broker_settings, **options}) as made:
            yield made
        postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)")

    return make


@pytest.fixture(scope="session")
def cluster(start: Start) -> Iterator[Cluster]:
    """PostgreSQL, a broker, a receiver, two workers of two children, a relay. What a test broke is mended after it."""
    with start() as made:
        yield made


@pytest.fixture(scope="session")
def seen() -> list[Cluster]:
    """All clusters that have run."""
    return []


@pytest.fixture
def begin(request: pytest.FixtureRequest, cluster: Cluster, seen: list[Cluster]) -> Iterator[Begin]:
    """`begin(name, **script)`: a case on the cluster, whose sandbox follows this script from empty books.

    All other clusters rest meanwhile: with the same broker, their workers would take this one's hints.

    What a test that failed has left under way ends before the next one begins: its orders would stand in the other's
    books.
    """
    seed = request.config.getoption("--chaos-seed")
    cases: list[Case] = []

    def make(name: str, on: Cluster = cluster, **script: Any) -> Case:
        seen.extend(one for one in (cluster, on) if one not in seen)
        for other in seen:
            if other is not on:
                other.rest()
        cases.append(Case(on, name, seed, script))
        return cases[-1]

    yield make
    for case in cases:
        if not case.is_judged:
            case.cluster.heal()
            case.drain(within=60)


@pytest.fixture
def tabulate(request: pytest.FixtureRequest) -> Callable[[Verdict], None]:
    """Put a verdict into the table, where one is asked for."""
    path = request.config.getoption("--chaos-report")
    return lambda verdict: report.record(Path(path), request.node.nodeid, verdict) if path else None


@pytest.fixture
def conclude(tabulate: Callable[[Verdict], None]) -> Callable[..., None]:
    """`conclude(case, within=…)`: the verdict goes into the table, and must be clean."""

    def make(case: Case, within: float = 120, **more: Any) -> None:
        verdict = case.verdict(within, **more)
        tabulate(verdict)
        assert verdict.is_clean, str(verdict)

    return make
