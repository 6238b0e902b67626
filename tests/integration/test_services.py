"""The servers that other tests stand on are what they claim to be."""

from pathlib import Path

import pytest
import redis
import sqlalchemy as sa

from models.base import Base, make_engine
from models.migrations import require_current
from tests import services
from worker.embedded import EmbeddedBroker


def test_a_database_is_migrated_and_empty(engine: sa.Engine) -> None:
    require_current(engine)
    with engine.connect() as connection:
        tables = set(sa.inspect(connection).get_table_names())
        assert tables >= set(Base.metadata.tables)
        assert not any(connection.scalar(sa.select(sa.exists(table))) for table in Base.metadata.sorted_tables)


@pytest.mark.parametrize("run", ["first", "second"])
def test_what_one_test_writes_the_next_does_not_see(engine: sa.Engine, run: str) -> None:
    with engine.begin() as connection:
        assert "scratch" not in sa.inspect(connection).get_table_names()
        connection.execute(sa.text("CREATE TABLE scratch (id integer)"))


def test_postgresql_keeps_the_durability_of_production(postgresql_url: str) -> None:
    engine = make_engine(postgresql_url)
    with engine.connect() as connection:
        durability = {
            name: connection.scalar(sa.text(f"SHOW {name}"))
            for name in ("fsync", "synchronous_commit", "full_page_writes")
        }
    engine.dispose()
    assert durability == {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}


def test_a_redis_is_empty_and_drops_nothing(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        client.set("left", "behind")


def test_a_server_is_gone_when_its_test_is_over(broker: EmbeddedBroker, tmp_path: Path) -> None:
    with services.embedded_broker(tmp_path / "another") as another:
        assert another.is_ready()
    assert not another.is_ready()
    assert broker.is_ready()
