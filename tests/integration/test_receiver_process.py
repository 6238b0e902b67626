"""The receiver as it runs in production: a process of its own under the real server, spoken to over sockets."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request as Ask
from urllib.request import urlopen
from uuid import uuid4

import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.engine import Engine

from models.base import make_engine, read
from models.inbox import Purpose, Received
from models.request import Request
from models.requester import Scope
from tests.factory import KEYRING, SECRET_KEY
from tests.receiver import csv_file, environment, make_key, row
from tests.sandbox import eventually
from webhook_receiver.server import THREADS
from worker.signing import Tokens

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
CALLBACK = "/callbacks/<upstream>/<token>"
PATIENCE = 60.0
"""Seconds until a process is up, or down."""


@dataclass
class Server:
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def ask(self, path: str, key: str | None = None, data: bytes | None = None) -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            with urlopen(Ask(f"http://{HOST}:{self.port}{path}", data, headers), timeout=10) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def counted(self, route: str, key: str) -> int:
        """How many requests to a route have been answered, also those whose sender has gone."""
        lines = self.ask("/metrics", key)[1].splitlines()
        label = f'route="{route}"'
        found = [line for line in lines if line.startswith("trunkline_http_request_seconds_count") and label in line]
        return int(sum(float(line.rpartition(" ")[2]) for line in found))

    def connect(self) -> socket.socket:
        return socket.create_connection((HOST, self.port), timeout=10)

    def send(self, *pieces: bytes) -> bytes:
        """The first bytes of the answer to these raw pieces."""
        with self.connect() as connection:
            for piece in pieces:
                connection.sendall(piece)
            return connection.recv(65_536)

    def is_up(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.ask("/healthz")[0] == 200
        except (URLError, OSError):
            return False


@contextmanager
def serving(
    database_url: str, folder: Path, *options: str, program: Sequence[str] = ("webhook_receiver",), **more: str
) -> Iterator[Server]:
    """`more` are further settings."""
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
    log = folder / "receiver.log"
    words = [sys.executable, "-m", *program, "--host", HOST, "--port", str(port), *options]
    with log.open("wb") as output:
        process = subprocess.Popen(
            words,
            env=os.environ | environment(database_url, str(folder)) | more,
            stdout=output,
            stderr=output,
            cwd=ROOT,
            start_new_session=True,
        )
    server = Server(port, process, log)
    try:
        eventually(server.is_up, PATIENCE)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """One database will do: what is tried here is the server."""
    return sqlite_url


@pytest.fixture
def server(database_url: str, tmp_path: Path) -> Iterator[Server]:
    with serving(database_url, tmp_path) as running:
        yield running


def path_of_callback() -> str:
    return f"/callbacks/avanser/{Tokens([SecretStr(SECRET_KEY)]).make('avanser', Purpose.CALLBACK, uuid4())}"


def head(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


def bodies(engine: Engine) -> list[bytes]:
    return read(engine, lambda session: list(session.scalars(sa.select(Received.body).order_by(Received.id))))


def count(engine: Engine, table: type[Request | Received]) -> int:
    return read(engine, lambda session: session.scalar(sa.select(sa.func.count()).select_from(table)) or 0)


def test_bodies_arrive_whole_or_not_at_all(server: Server, engine: Engine) -> None:
    path = path_of_callback()
    chunks = head(path, "Transfer-Encoding: chunked")

    assert server.send(head(path, "Content-Length: 3") + b"abc").startswith(b"HTTP/1.1 200")
    assert server.send(chunks, b"3\r\nabc\r\n", b"2\r\nde\r\n0\r\n\r\n").startswith(b"HTTP/1.1 200")
    with server.connect() as connection:
        connection.sendall(head(path, "Content-Length: 300") + b"broken off")
    key = make_key(engine, Scope.READ)
    eventually(lambda: server.counted(CALLBACK, key) == 3, PATIENCE)

    assert bodies(engine) == [b"abc", b"abcde"]


def test_a_body_over_the_limit_is_refused_while_it_is_still_coming(server: Server, engine: Engine) -> None:
    path = path_of_callback()
    piece = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"

    assert server.send(head(path, f"Content-Length: {1 << 30}"), b"x" * 1_000).startswith(b"HTTP/1.1 413")
    assert server.send(head(path, "Transfer-Encoding: chunked") + piece * 5).startswith(b"HTTP/1.1 413")
    assert bodies(engine) == []


def test_half_a_csv_is_not_taken_however_its_upload_breaks_off(server: Server, engine: Engine) -> None:
    key = make_key(engine, Scope.SUBMIT)
    whole, half = csv_file([row("a"), row("b")]), csv_file([row("a")])
    common = ("Content-Type: text/csv", f"Authorization: Bearer {key}")

    for headers, body in (
        ([*common, f"Content-Length: {len(whole)}"], half),
        ([*common, "Transfer-Encoding: chunked"], b"%x\r\n%s\r\n" % (len(half), half)),
    ):
        with server.connect() as connection:
            connection.sendall(head("/v1/batches", *headers) + body)
    eventually(lambda: server.counted("/v1/batches", key) == 2, PATIENCE)
    assert count(engine, Request) == 0

    good = server.send(head("/v1/batches", *common, f"Content-Length: {len(whole)}") + whole)
    assert good.startswith(b"HTTP/1.1 202")
    assert count(engine, Request) == 2


def test_told_to_stop_it_finishes_what_it_began(server: Server, engine: Engine) -> None:
    path, body = path_of_callback(), b"x" * 1_000
    with server.connect() as connection:
        connection.sendall(head(path, f"Content-Length: {len(body)}") + body[:500])
        eventually(server.is_up, PATIENCE)  # a later request is answered: the first is under way
        server.process.terminate()
        eventually(lambda: not accepts(server), PATIENCE)
        connection.sendall(body[500:])
        answer = connection.recv(65_536)

    assert answer.startswith(b"HTTP/1.1 200")
    assert bodies(engine) == [body]
    assert server.process.wait(PATIENCE) == 0


def accepts(server: Server) -> bool:
    try:
        server.connect().close()
    except OSError:
        return False
    return True


def test_what_it_says_holds_no_token(server: Server, engine: Engine) -> None:
    good, wrong = path_of_callback(), "/callbacks/avanser/a-token-that-is-wrong"
    server.ask(good, data=b"{}")
    server.ask(wrong)
    server.ask(good + "?" + "x" * 70_000)
    server.process.terminate()
    server.process.wait(PATIENCE)

    said = server.log.read_text()
    assert good.rpartition("/")[2] not in said
    assert "a-token-that-is-wrong" not in said
    assert SECRET_KEY not in said


def test_slow_bodies_without_a_token_hold_no_thread(server: Server) -> None:
    """Nor do slow headers: of each four times as many as there are threads."""
    opening = head("/callbacks/avanser/" + "A" * 50, "Content-Length: 60000") + b"x"
    with contextlib.ExitStack() as stack:
        for number in range(8 * THREADS):
            slow = stack.enter_context(server.connect())
            slow.sendall(opening if number % 2 else opening[:30])
        for _ in range(10):
            assert server.ask(path_of_callback(), data=b"{}")[0] == 200


@pytest.mark.parametrize(
    ("hops", "status"),
    [
        (["203.0.113.7"], b"200"),
        (["198.51.100.9"], b"404"),
        (["203.0.113.7, 198.51.100.9"], b"404"),
        (["203.0.113.7", "198.51.100.9"], b"404"),  # the sender's own line, and the proxy's
        ([], b"404"),
    ],
)
def test_a_spoofed_address_is_not_believed_however_its_header_is_written(
    monkeypatch: pytest.MonkeyPatch, database_url: str, tmp_path: Path, hops: list[str], status: bytes
) -> None:
    monkeypatch.setenv("TRUNKLINE_TRUSTED_PROXIES", "1")
    monkeypatch.setenv("TRUNKLINE_AVANSER_CALLBACKS_FROM", "203.0.113.7")
    lines = [f"X-Forwarded-For: {hop}" for hop in hops]
    with serving(database_url, tmp_path) as server:
        answer = server.send(head(path_of_callback(), "Content-Length: 2", *lines) + b"{}")
    assert answer.split()[1] == status


def test_the_figures_of_several_processes_add_up(postgresql_url: str, tmp_path: Path) -> None:
    engine = make_engine(postgresql_url, keyring=KEYRING)
    key = make_key(engine, Scope.READ)
    engine.dispose()
    with serving(postgresql_url, tmp_path, "--processes", "2") as server:
        answers = [server.ask(path_of_callback(), data=b"{}")[0] for _ in range(20)]
        seen = [server.counted(CALLBACK, key) for _ in range(4)]

    assert answers == [200] * 20
    assert seen == [20] * 4


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"TRUNKLINE_DATABASE_URL": "sqlite:///{folder}/empty.sqlite"}, 2, "trunkline migrate"),
        ({"TRUNKLINE_DATABASE_URL": "postgresql+psycopg://x:hidden@127.0.0.1:1/x"}, 3, "TRUNKLINE_DATABASE_URL"),
        ({"TRUNKLINE_SECRET_KEY": "short"}, 2, "TRUNKLINE_SECRET_KEY"),
    ],
)
def test_it_does_not_start_on_what_it_cannot_work_with(
    tmp_path: Path, change: dict[str, str], status: int, said: str
) -> None:
    changed = {name: value.format(folder=tmp_path) for name, value in change.items()}
    ended = subprocess.run(
        [sys.executable, "-m", "webhook_receiver", "--port", "18999"],
        env=os.environ | environment(f"sqlite:///{tmp_path}/x.sqlite", str(tmp_path)) | changed,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    assert ended.returncode == status
    assert said in ended.stderr
    assert "hidden" not in ended.stderr
    assert "Traceback" not in ended.stderr
