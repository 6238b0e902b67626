"""Fixtures of the tests that need a database or a broker."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine

from models.base import make_engine
from tests.catcher import Catcher
from tests.factory import KEYRING
from tests.receiver import Api, receiver, settings_for
from tests.sandbox import SandboxServer
from tests.working import ScriptedUpstream, working
from worker.loop import Loop
from worker.runtime import Runtime


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, database_url: str, engine: Engine, tmp_path: Path) -> Iterator[Api]:
    """The receiver on an empty database, once on each kind."""
    with receiver(settings_for(monkeypatch, database_url, str(tmp_path)), engine) as running:
        yield running


@pytest.fixture
def postgresql(postgresql_url: str) -> Iterator[Engine]:
    """For what concerns PostgreSQL alone: an engine that several threads can use."""
    engine = make_engine(postgresql_url, pool_size=8, keyring=KEYRING)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def server() -> Iterator[SandboxServer]:
    """The simulated upstreams, as the last test left them: ask for `sandbox`."""
    with SandboxServer() as running:
        yield running


@pytest.fixture
def sandbox(server: SandboxServer) -> SandboxServer:
    """The simulated upstreams, in good order, with full stock and empty books."""
    server.reset()
    return server


@pytest.fixture
def catcher() -> Iterator[Catcher]:
    """A place for callbacks and webhooks."""
    with Catcher() as running:
        yield running


@pytest.fixture(scope="session")
def loop() -> Loop:
    """One for all tests, as a process has one."""
    return Loop()


@pytest.fixture
def client() -> ScriptedUpstream:
    """The upstream that `runtime` asks."""
    return ScriptedUpstream()


@pytest.fixture
def runtime(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, tmp_path: Path, loop: Loop, client: ScriptedUpstream
) -> Iterator[Runtime]:
    """A worker's runtime on an empty database, once on each kind."""
    with working(monkeypatch, engine, str(tmp_path), loop, client) as made:
        yield made
