"""Fixtures that every test may ask for: databases and brokers, real ones."""

import contextlib
import itertools
import os
import shutil
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import hypothesis
import pytest
import redis
import sqlalchemy as sa

from models import partitioning
from models.base import make_engine, utc_now, write
from models.migrations import upgrade
from tests import canaries, services
from tests.factory import KEYRING
from worker.embedded import EmbeddedBroker

hypothesis.settings.register_profile("trunkline", deadline=None)  # a busy machine is no fault of the code
hypothesis.settings.load_profile("trunkline")

TEMPLATE = "trunkline_template"
"""The PostgreSQL database that is migrated once and copied for every test."""

EARLIER = timedelta(days=400)
"""So long ago tables were divided, where a test is to find them so."""

BROKERS = ("redis", "sentinel", "rabbitmq")

WATCH = pytest.StashKey[canaries.Watch]()

_names = (f"trunkline_{number}" for number in itertools.count())


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chaos")
    group.addoption("--chaos", choices=("small", "full"), default="small", help="size of the tests in tests/chaos")
    group.addoption("--chaos-seed", type=int, default=1, help="of everything that they leave to chance")
    group.addoption("--broker", choices=BROKERS, default="redis", help="what the clusters of tests/chaos hint through")
    group.addoption("--divided", action="store_true", help="history and calls by the month, on PostgreSQL")
    group.addoption("--chaos-report", default="", help="a file that each verdict is appended to, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[WATCH] = canaries.watch()


@pytest.fixture(autouse=True)
def no_secret_is_logged(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test may log a secret, a token or a caller's number: in this process, or in one whose log is its own."""
    watch = request.config.stash[WATCH]
    watch.leaks.clear()
    folder = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    yield
    found = [*watch.leaks, *(canaries.leaks_in(folder) if folder is not None else [])]
    assert not found, "what nobody may read was logged:\n" + "\n".join(found)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A migrated, empty database of the test's own; the test runs once on each kind."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    """An engine on `database_url`, its connections closed afterwards."""
    engine = make_engine(database_url, keyring=KEYRING)
    yield engine
    engine.dispose()


@pytest.fixture
def sqlite_url(_sqlite_template: Path, tmp_path: Path) -> str:
    path = tmp_path / "trunkline.sqlite"
    shutil.copy(_sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgresql_url(
    postgres_server: services.Postgres, _postgres_template: str, _postgres_spares: list[str]
) -> Iterator[str]:
    """To make and drop a database takes half a second, to empty one a tenth of that: so it is used again."""
    if _postgres_spares:
        name = _postgres_spares.pop()
    else:
        name = next(_names)
        postgres_server.execute(f"CREATE DATABASE {name} TEMPLATE {_postgres_template}")
    yield postgres_server.database_url(name)
    if postgres_server.empty(name, like=_postgres_template):
        _postgres_spares.append(name)
    else:
        postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def redis_url(redis_server: services.Server) -> str:
    """A Redis over TCP, as in production, that is empty."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    """The embedded broker, running, with nothing in it."""
    with or_skip(), services.embedded_broker(tmp_path / "broker") as running:
        yield running


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[services.Postgres]:
    with or_skip(), services.postgres() as running:
        yield running


@pytest.fixture(scope="session")
def redis_server() -> Iterator[services.Server]:
    with or_skip(), services.redis_server() as running:
        yield running


@pytest.fixture(scope="session")
def rabbitmq_server() -> Iterator[services.Server]:
    with or_skip(), services.rabbitmq() as running:
        yield running


@pytest.fixture(scope="session")
def watched_redis() -> Iterator[services.Watched]:
    with or_skip(), services.watched_redis() as running:
        yield running


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.sqlite"
    upgrade(f"sqlite:///{path}")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # so that the one file holds everything
    return path


@pytest.fixture(scope="session")
def _postgres_spares() -> list[str]:
    """Databases that tests have left, emptied."""
    return []


@pytest.fixture(scope="session")
def _postgres_template(request: pytest.FixtureRequest, postgres_server: services.Postgres) -> str:
    postgres_server.execute(f"CREATE DATABASE {TEMPLATE}")
    upgrade(postgres_server.database_url(TEMPLATE))
    if request.config.getoption("--divided"):
        engine = make_engine(postgres_server.database_url(TEMPLATE))
        for table in partitioning.TABLES:
            assert partitioning.divide(engine, table, utc_now() - EARLIER)
        write(engine, lambda session: partitioning.make_ahead(session, utc_now()))
        engine.dispose()
    return TEMPLATE


@contextlib.contextmanager
def or_skip() -> Iterator[None]:
    """Where a server is missing: in CI the test fails, elsewhere it is skipped and says why."""
    reason = ""
    try:
        yield
    except services.ServiceMissing as missing:
        reason = str(missing)
    if reason and os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    if reason:
        pytest.skip(reason)
