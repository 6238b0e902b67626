"""The proxy of the chaos tests does what it says, before a real PostgreSQL and with the driver that we use."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from models.base import make_engine, write
from tests.chaos.proxy import Direction, Proxy
from tests.factory import KEYRING
from tests.sandbox import eventually


@pytest.fixture
def proxy(postgresql_url: str) -> Iterator[Proxy]:
    with Proxy(sa.make_url(postgresql_url).port or 0) as running:
        yield running


@pytest.fixture
def url(proxy: Proxy, postgresql_url: str) -> str:
    """The database by way of the proxy, for psycopg."""
    with connect(plain(postgresql_url)) as connection:
        connection.execute("CREATE TABLE noted (id integer)")
        connection.commit()
    return plain(proxy.url(postgresql_url))


def plain(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://")


def connect(url: str) -> psycopg.Connection[Any]:
    return psycopg.connect(url, connect_timeout=5)


def note(url: str, number: int) -> bool:
    """Commit a row; whether we heard that it was committed."""
    with connect(url) as connection:
        connection.execute("INSERT INTO noted VALUES (%s)", [number])
        try:
            connection.commit()
        except psycopg.OperationalError:
            return False
        return True


def noted(postgresql_url: str) -> list[int]:
    with connect(plain(postgresql_url)) as connection:
        return [row[0] for row in connection.execute("SELECT id FROM noted ORDER BY id")]


def test_a_commit_that_nobody_hears_of_is_there_all_the_same(proxy: Proxy, url: str, postgresql_url: str) -> None:
    proxy.cut_after_commit(2)
    assert [note(url, number) for number in range(4)] == [False, False, True, True]
    assert noted(postgresql_url) == [0, 1, 2, 3]
    assert proxy.cuts == 2


def test_our_engine_hears_no_commit_that_was_cut(proxy: Proxy, url: str, postgresql_url: str) -> None:
    engine = make_engine(proxy.url(postgresql_url), keyring=KEYRING)
    insert = sa.text("INSERT INTO noted VALUES (7)")
    proxy.cut_after_commit(1)
    with pytest.raises(sa.exc.OperationalError):
        write(engine, lambda session: session.execute(insert))
    write(engine, lambda session: session.execute(insert))  # the pool notices what the cut has left of it
    engine.dispose()
    assert noted(postgresql_url) == [7, 7]


def test_only_transactions_that_wrote_something_are_cut(proxy: Proxy, url: str, postgresql_url: str) -> None:
    proxy.cut_after_commit(1)
    with connect(url) as connection:
        connection.execute("SELECT 1")
        connection.commit()
        connection.execute("INSERT INTO noted VALUES (1)")
        connection.rollback()
        connection.execute("UPDATE noted SET id = 2")
        connection.commit()
        connection.execute("INSERT INTO noted VALUES (3)")
        with pytest.raises(psycopg.OperationalError):
            connection.commit()
    assert noted(postgresql_url) == [3]


def test_the_same_seed_cuts_the_same_commits(url: str, postgresql_url: str) -> None:
    heard = []
    for seed in (5, 5, 6):
        with Proxy(sa.make_url(postgresql_url).port or 0, seed=seed) as proxy:
            proxy.cut_after_commit(100, share=0.5)
            heard.append([note(plain(proxy.url(postgresql_url)), number) for number in range(20)])
            proxy.cut_after_commit(0)
            assert note(plain(proxy.url(postgresql_url)), 100)
    assert heard[0] == heard[1] != heard[2]
    assert 0 < heard[0].count(False) < 20
    assert len(noted(postgresql_url)) == 63


def test_cut_connections_are_reset_and_new_ones_work(proxy: Proxy, url: str) -> None:
    with connect(url) as first, connect(url) as second:
        assert proxy.connections == 2
        assert proxy.cut() == 2
        for connection in (first, second):
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
    assert note(url, 1)


def test_new_connections_are_refused_while_the_open_ones_go_on(proxy: Proxy, url: str) -> None:
    with connect(url) as before:
        proxy.refuse()
        with pytest.raises(psycopg.OperationalError, match="refused"):
            connect(url)
        assert before.execute("SELECT 1").fetchone() == (1,)
        proxy.accept()
    assert note(url, 1)


def test_what_is_held_on_its_way_to_the_server_is_not_done_until_it_is_released(
    proxy: Proxy, url: str, postgresql_url: str
) -> None:
    with connect(url) as connection:
        connection.execute("SELECT 1")
        proxy.hold(Direction.TO_SERVER)
        writing = threading.Thread(target=lambda: connection.execute("INSERT INTO noted VALUES (1); COMMIT"))
        writing.start()
        writing.join(0.3)
        assert writing.is_alive()
        assert noted(postgresql_url) == []
        proxy.release()
        writing.join(10)
    assert noted(postgresql_url) == [1]


def test_what_is_held_on_its_way_to_the_client_is_done_and_not_heard(
    proxy: Proxy, url: str, postgresql_url: str
) -> None:
    with connect(url) as connection:
        connection.execute("INSERT INTO noted VALUES (1)")
        proxy.hold(Direction.TO_CLIENT)
        writing = threading.Thread(target=connection.commit)
        writing.start()
        assert eventually(lambda: noted(postgresql_url)) == [1]
        assert writing.is_alive()
        proxy.release(Direction.TO_CLIENT)
        writing.join(10)
        assert not writing.is_alive()


def test_a_held_connection_can_be_cut(proxy: Proxy, url: str) -> None:
    with connect(url) as connection:
        proxy.hold()
        failures: list[Exception] = []

        def ask() -> None:
            try:
                connection.execute("SELECT 1")
            except psycopg.OperationalError as error:
                failures.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        proxy.cut()
        asking.join(10)
        proxy.release()
    assert len(failures) == 1


def test_large_answers_and_large_questions_pass_whole(proxy: Proxy, url: str) -> None:
    proxy.cut_after_commit(1)
    with connect(url) as connection:
        connection.execute("INSERT INTO noted SELECT generate_series(1, 200000)")
        text = "x" * 3_000_000
        assert connection.execute("SELECT %s", [text]).fetchone() == (text,)
        assert len(connection.execute("SELECT id FROM noted").fetchall()) == 200_000
        with pytest.raises(psycopg.OperationalError):
            connection.commit()


def test_what_was_said_before_a_side_hung_up_arrives() -> None:
    said = b"x" * 100_000
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        Proxy(listener.getsockname()[1]) as between,
        socket.socket() as client,
    ):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)  # most of it waits at the proxy
        client.connect(("127.0.0.1", between.port))
        client.shutdown(socket.SHUT_WR)
        server, _ = listener.accept()
        with server:
            assert server.recv(1) == b""
            server.sendall(said)
        eventually(lambda: between.connections == 0)
        assert client.recv(len(said), socket.MSG_WAITALL) == said
        assert client.recv(1) == b""


def test_where_nobody_listens_behind_it_a_connection_ends_at_once(proxy: Proxy, url: str) -> None:
    with Proxy(1) as astray, pytest.raises(psycopg.OperationalError):
        connect(f"postgresql://nobody@127.0.0.1:{astray.port}/nothing")
    assert astray.connections == 0
