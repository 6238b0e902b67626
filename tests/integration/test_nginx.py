"""The example of a server in front of the receiver does what `deploy/security.md` says that it must."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from pydantic import SecretStr

from models.inbox import Purpose
from tests.conftest import or_skip
from tests.factory import SECRET_KEY
from tests.integration.test_receiver_process import HOST, Server, serving
from tests.sandbox import eventually
from tests.services import nginx
from tests.tls import Authority
from webhook_receiver.server import THREADS
from worker.signing import Tokens

SLOW = 4 * THREADS
"""Clients that send a body byte by byte: each would hold one of the receiver's threads."""

ALLOWED = {"TRUNKLINE_TRUSTED_PROXIES": "1", "TRUNKLINE_AVANSER_CALLBACKS_FROM": "203.0.113.0/24"}


def good_path() -> str:
    return f"/callbacks/avanser/{Tokens((SecretStr(SECRET_KEY),)).make('avanser', Purpose.CALLBACK, uuid4())}"


@contextlib.contextmanager
def fronted(sqlite_url: str, folder: Path, **more: str) -> Iterator[Server]:
    """The receiver, spoken to through nginx."""
    with or_skip():
        nginx.program()
    with serving(sqlite_url, folder, **more) as behind, nginx.in_front(behind.port, folder) as port:
        yield Server(port, behind.process, behind.log)


@contextlib.contextmanager
def slow_senders(server: Server) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for _ in range(SLOW):
            connection = stack.enter_context(server.connect())
            head = f"POST {good_path()} HTTP/1.1\r\nHost: trunkline.example\r\nContent-Length: 60000\r\n\r\n"
            connection.sendall(head.encode() + b"x")
        yield


def test_slow_senders_with_good_tokens_do_not_stop_callbacks(sqlite_url: str, tmp_path: Path) -> None:
    with fronted(sqlite_url, tmp_path) as server, slow_senders(server):
        began = time.monotonic()
        assert server.ask(good_path(), data=b"{}")[0] == 200
        assert time.monotonic() - began < 5


def test_an_address_that_a_sender_makes_up_is_not_believed(sqlite_url: str, tmp_path: Path) -> None:
    with fronted(sqlite_url, tmp_path, **ALLOWED) as server:
        head = f"GET {good_path()} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.7\r\nConnection: close\r\n\r\n"
        assert server.send(head.encode()).startswith(b"HTTP/1.1 404")


def test_a_callback_that_is_too_large_ends_at_the_front(sqlite_url: str, tmp_path: Path) -> None:
    with fronted(sqlite_url, tmp_path) as server:
        path = good_path()
        assert server.ask(path, data=b"x" * (64 * 1024 + 1))[0] == 413
    assert path not in (tmp_path / "error.log").read_text()


def test_it_speaks_tls_as_it_stands_there(sqlite_url: str, tmp_path: Path) -> None:
    with or_skip():
        nginx.program()
    authority = Authority(tmp_path, "authority")
    certified = authority.certify("trunkline.example")
    with (
        serving(sqlite_url, tmp_path) as behind,
        nginx.in_front(behind.port, tmp_path, (certified.cert, certified.key)) as port,
        socket.create_connection((HOST, port), timeout=10) as plain,
        ssl.create_default_context(cafile=str(authority.cert)).wrap_socket(
            plain, server_hostname="trunkline.example"
        ) as connection,
    ):
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: trunkline.example\r\nConnection: close\r\n\r\n")
        assert connection.recv(64).startswith(b"HTTP/1.1 200")


def test_without_a_front_slow_senders_do_stop_callbacks(sqlite_url: str, tmp_path: Path) -> None:
    """What the front is for: were this red, deploy/security.md could do without one."""
    with serving(sqlite_url, tmp_path) as server, slow_senders(server):
        eventually(lambda: times_out(server), within=20)  # once all threads have begun to read


def times_out(server: Server) -> bool:
    with contextlib.suppress(TimeoutError):
        server.ask(good_path(), data=b"{}")
        return False
    return True
