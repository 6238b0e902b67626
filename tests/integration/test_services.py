"""The servers that other tests stand on are what they claim to be."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kombu
import psycopg
import pytest
import redis
import sqlalchemy as sa

from models.base import Base, make_engine
from models.migrations import require_current
from tests import services
from tests.conftest import or_skip
from tests.sandbox import eventually
from tests.services import tree
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


def connected(server: services.Postgres) -> psycopg.Connection[Any]:
    return psycopg.connect(server.url.replace("postgresql+psycopg://", "postgresql://"), autocommit=True)


def members_of(server: services.Server) -> list[int]:
    return tree._tree(server.process.pid)


def test_a_frozen_server_answers_nobody_until_it_goes_on() -> None:
    with services.redis_server() as server:
        server.freeze()
        assert not server.answers()
        server.thaw()
        assert server.answers()
        server.freeze()  # it is stopped all the same
    assert server.process.poll() is not None


def test_postgresql_is_frozen_with_all_its_children() -> None:
    with services.postgres() as server, connected(server) as connection:
        server.freeze()
        assert len(members_of(server)) > 3
        assert {tree._state(pid) for pid in members_of(server)} == {"T"}
        server.thaw()
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("how", ["restart", "kill and start", "restart while frozen"])
def test_postgresql_comes_back_at_the_same_place_with_what_was_committed(how: str) -> None:
    with services.postgres() as server, connected(server) as before:
        before.execute("CREATE TABLE kept (id integer)")
        before.execute("INSERT INTO kept VALUES (1)")
        url, members = server.url, members_of(server)
        match how:
            case "restart":
                server.restart()
            case "kill and start":
                server.kill()
                assert {tree._state(pid) for pid in members} <= {"", "Z"}
                assert not server.answers()
                server.start()
            case _:
                server.freeze()
                server.restart()
        with pytest.raises(psycopg.OperationalError):
            before.execute("SELECT 1")
        with connected(server) as after:
            assert after.execute("SELECT id FROM kept").fetchall() == [(1,)]
        assert server.url == url


@pytest.mark.parametrize(
    ("durable", "empty", "left"), [(True, False, b"behind"), (True, True, None), (False, False, None)]
)
def test_a_redis_comes_back_with_its_data_or_without(durable: bool, empty: bool, left: bytes | None) -> None:
    with services.redis_server(durable=durable) as server:
        with redis.Redis.from_url(server.url) as client:
            client.set("left", "behind")
        server.restart(empty=empty)
        with redis.Redis.from_url(server.url) as client:
            assert client.get("left") == left


@contextmanager
def quorum_queue(server: services.Server) -> Iterator[tuple[kombu.Queue, kombu.Producer]]:
    with kombu.Connection(server.url, transport_options={"confirm_publish": True}) as connection:
        channel = connection.channel()
        queue = kombu.Queue("kept", channel=channel, queue_arguments={"x-queue-type": "quorum"})
        queue.declare()
        yield queue, kombu.Producer(channel, routing_key="kept")


def test_a_rabbitmq_comes_back_with_its_messages_or_without_and_leaves_no_process_behind() -> None:
    with or_skip(), services.rabbitmq() as server:
        with quorum_queue(server) as (_, producer):
            producer.publish("hint")
        # RabbitMQ 3.10 that is killed within a second of making a quorum queue can never read that queue again.
        time.sleep(2)
        members = members_of(server)
        assert len(members) > 1
        server.restart()
        assert {tree._state(pid) for pid in members} <= {"", "Z"}
        with quorum_queue(server) as (queue, _):
            message = eventually(queue.get)
            assert message is not None
            assert message.payload == "hint"
            message.ack()
        server.restart(empty=True)
        with quorum_queue(server) as (queue, _):
            assert queue.get() is None
        members = members_of(server)
    assert {tree._state(pid) for pid in members} <= {"", "Z"}
