"""Where results must not go, in one table: refused at every attempt, also where the address was good when it was given.

Libraries of PyPI were held against the same rows on CPython 3.11, each with its resolver answering as here:

- safehttpx 0.2.0: connects for 14 of the 52 rows (carrier-grade NAT, site-local, 6to4, user names, ports, http, names
  of which one address is inside), has only GET, and where no address will do asks Google's resolver for others.
- requests-hardened 1.3.0: 13 rows (site-local, IPv4-compatible, IPv4-translated, user names, ports, http, names of
  which a later address is inside); it judges the first address alone, and is synchronous.
- drawbridge 0.1.2: 7 rows (site-local, IPv4-compatible, IPv4-translated, user names, port 80, http).

So the check is our own: the standard library's `ipaddress`, the forms that it does not know, and aiohttp's connector,
which connects to the very address that was judged.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from sqlalchemy.engine import Engine

from models.delivery import DeliveryState
from tests.catcher import Catcher
from tests.factory import make_endpoint, make_requester
from tests.integration.test_deliver import finish, only
from tests.working import NAME, ScriptedUpstream, every, history, let_pass, working
from worker.deliver import deliver
from worker.destinations import Destinations, is_public
from worker.intake.examine import wrong_destination
from worker.loop import Loop
from worker.upstreams.http import Http, NoAnswer, Reply

WITHIN = timedelta(seconds=5)
PUBLIC = "93.184.215.14"

SPELT = {
    "loopback": "https://127.0.0.1/",
    "loopback, another": "https://127.8.8.8/",
    "this host": "https://0.0.0.0/",
    "private": "https://10.0.0.1/",
    "private, 172.16": "https://172.16.0.1/",
    "private, 192.168": "https://192.168.1.1/",
    "carrier-grade NAT": "https://100.64.0.1/",
    "link-local": "https://169.254.0.1/",
    "metadata": "https://169.254.169.254/latest/meta-data/",
    "metadata, IPv6": "https://[fd00:ec2::254]/latest/meta-data/",
    "multicast": "https://224.0.0.1/",
    "broadcast": "https://255.255.255.255/",
    "IPv6 loopback": "https://[::1]/",
    "IPv6 this host": "https://[::]/",
    "IPv6 private": "https://[fc00::1]/",
    "IPv6 link-local": "https://[fe80::1]/",
    "IPv6 link-local with a zone": "https://[fe80::1%25lo]/",
    "site-local": "https://[fec0::1]/",
    "IPv4-mapped": "https://[::ffff:127.0.0.1]/",
    "IPv4-mapped metadata": "https://[::ffff:a9fe:a9fe]/",
    "IPv4-compatible": "https://[::127.0.0.1]/",
    "IPv4-translated": "https://[::ffff:0:127.0.0.1]/",
    "NAT64": "https://[64:ff9b::7f00:1]/",
    "NAT64 metadata": "https://[64:ff9b::a9fe:a9fe]/",
    "NAT64 within a network": "https://[64:ff9b:1::7f00:1]/",
    "6to4": "https://[2002:7f00:1::]/",
    "Teredo": "https://[2001:0:7f00:1::]/",
    "octal": "https://0177.0.0.1/",
    "hexadecimal": "https://0x7f.0x0.0x0.0x1/",
    "hexadecimal and short": "https://0x7f.1/",
    "integer": "https://2130706433/",
    "short": "https://127.1/",
    "other digits": "https://１２７.0.0.1/",  # noqa: RUF001 -- meant
    "other full stops": "https://127\u30020\u30020\u30021/",
}
"""Addresses that the URL itself spells."""

BARRED = {
    "user name": "https://user@crm.test/",
    "user name and password": "https://user:password@crm.test/",
    "address in the user name": "https://crm.test@127.0.0.1/",
    "backslash": "https://crm.test\\@127.0.0.1/",
    "port of SSH": "https://crm.test:22/",
    "port of HTTP": "https://crm.test:80/",
    "port of Redis": "https://crm.test:6379/",
    "no TLS": "http://crm.test/",
    "file": "file:///etc/passwd",
    "gopher": "gopher://crm.test/",
}
"""URLs that are refused whatever their host."""

NAMED: dict[str, tuple[str, Sequence[str]]] = {
    "localhost": ("localhost", ["127.0.0.1", "::1"]),
    "metadata by name": ("metadata.google.internal", ["169.254.169.254"]),
    "a name of somebody else's for loopback": ("localtest.test", ["127.0.0.1"]),
    "a name for a private address": ("inside.test", ["10.1.2.3"]),
    "a name for NAT64": ("nat64.test", ["64:ff9b::a00:1"]),
    "two addresses, the last inside": ("two.test", [PUBLIC, "10.0.0.1"]),
    "two addresses, the first inside": ("two.test", ["10.0.0.1", PUBLIC]),
    "a family each, one inside": ("two.test", [PUBLIC, "::1"]),
}
"""Names, and what they resolve to."""

TABLE = [
    *(pytest.param(url, (), id=name) for name, url in (SPELT | BARRED).items()),
    *(pytest.param(f"https://{host}/", found, id=name) for name, (host, found) in NAMED.items()),
]


class Resolver:
    """In the place of the system's: answers each question about a made-up name with the next of these addresses.

    What other threads ask meanwhile, such as the one that hints of earlier tests come from, is asked of the system.
    """

    def __init__(self, *answers: Sequence[str]) -> None:
        self.asked: list[str] = []
        self._answers, self._system = list(answers), socket.getaddrinfo

    def __call__(self, host: Any, port: Any, *more: Any, **options: Any) -> Any:
        if not self._answers or not str(host).endswith(".test"):
            return self._system(host, port, *more, **options)
        self.asked.append(str(host))
        found = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [self._system(one, port, type=socket.SOCK_STREAM)[0] for one in found]


@contextmanager
def sending(loop: Loop, proxy: str | None = None) -> Iterator[Callable[[str], Reply]]:
    destinations = Destinations(allow_private=False, proxy=proxy)
    try:
        yield lambda url: loop.run(destinations.post(url, b"{}", {}, WITHIN))
    finally:
        loop.run(destinations.close())


@pytest.fixture
def no_way_out(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Where a connection was tried: every socket that is to be connected ends up here, and nowhere else.

    But for those of the thread that hints of earlier tests come from: their broker is away.
    """
    tried: list[Any] = []

    def connect(_: socket.socket, address: Any) -> None:
        if threading.current_thread().name != "hints":
            tried.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket.socket, "connect", connect)
    return tried


@pytest.mark.parametrize(("url", "found"), TABLE)
def test_nothing_is_connected_to_for_a_hostile_destination_at_any_attempt(
    monkeypatch: pytest.MonkeyPatch, loop: Loop, no_way_out: list[Any], url: str, found: Sequence[str]
) -> None:
    if found:
        monkeypatch.setattr(socket, "getaddrinfo", Resolver(found))
    with sending(loop) as send:
        for _ in range(3):
            with pytest.raises(NoAnswer) as refusal:
                send(url)
            assert refusal.value.sent is False
    assert no_way_out == []


def test_a_good_destination_is_connected_to(monkeypatch: pytest.MonkeyPatch, loop: Loop, no_way_out: list[Any]) -> None:
    """Else the table above would prove nothing."""
    monkeypatch.setattr(socket, "getaddrinfo", Resolver([PUBLIC]))
    with sending(loop) as send, pytest.raises(NoAnswer):
        send("https://crm.test/")
    assert no_way_out == [(PUBLIC, 443)]


@pytest.mark.parametrize("url", [*SPELT.values(), *BARRED.values()])
def test_what_a_url_shows_by_itself_is_refused_when_it_is_given(url: str) -> None:
    assert wrong_destination(url, allow_private=False) is not None


def test_the_address_that_was_judged_is_the_one_that_is_connected_to(
    monkeypatch: pytest.MonkeyPatch, loop: Loop
) -> None:
    """A name that leads outside when it is judged and inside a moment later: it is asked once for each connection."""
    resolver, judged = Resolver(["127.0.0.1"], ["127.0.0.2"]), []

    def guard(address: str) -> bool:
        judged.append(address)
        return address == "127.0.0.1"

    with Catcher() as crm:
        monkeypatch.setattr(socket, "getaddrinfo", resolver)
        http = Http(10, guard=guard)
        try:
            url = f"http://rebinding.test:{crm.url.rpartition(':')[2]}/"
            assert loop.run(http.send("POST", url, deadline=WITHIN)).status == 204
            assert resolver.asked == ["rebinding.test"]
            assert set(judged) == {"127.0.0.1"}
        finally:
            loop.run(http.close())
        later = Http(10, guard=guard)
        try:
            with pytest.raises(NoAnswer, match="the address is not allowed"):
                loop.run(later.send("POST", url, deadline=WITHIN))
        finally:
            loop.run(later.close())
        assert len(crm.caught) == 1


def test_an_endpoint_that_was_good_when_it_was_registered_is_judged_anew_at_each_attempt(
    monkeypatch: pytest.MonkeyPatch,
    engine: Engine,
    tmp_path: Path,
    loop: Loop,
    client: ScriptedUpstream,
    no_way_out: list[Any],
) -> None:
    assert client.name == NAME
    more = {"TRUNKLINE_ALLOW_PRIVATE_DESTINATIONS": "false"}
    with working(monkeypatch, engine, str(tmp_path), loop, client, **more) as runtime:
        url = "https://crm.test/hook"
        assert wrong_destination(url, allow_private=False) is None
        make_endpoint(engine, make_requester(engine), url)
        (id_,) = finish(engine)
        if engine.dialect.name == "postgresql":
            deliver(runtime)  # has its connection before the names change
        resolver = Resolver(["10.0.0.1"])
        monkeypatch.setattr(socket, "getaddrinfo", resolver)
        for _ in range(2):
            let_pass(engine, timedelta(days=1))
            deliver(runtime)
        row, lines = only(engine), [line for line in history(engine, id_) if line["type"] == "delivery"]
        assert resolver.asked
        assert row.state is not DeliveryState.DELIVERED
        assert ["not allowed" in str(line["detail"]) for line in lines][-2:] == [True, True]
        assert not any(str(address[0]).startswith("10.") for address in no_way_out)
        assert every(engine, type(row))


def test_a_redirect_to_inside_is_not_followed(loop: Loop) -> None:
    with Catcher(302) as crm:
        destinations = Destinations(allow_private=True)
        try:
            reply = loop.run(destinations.post(crm.url, b"{}", {}, WITHIN))
        finally:
            loop.run(destinations.close())
        assert (reply.status, [caught.path for caught in crm.caught]) == (302, ["/"])


class Proxy:
    """An egress proxy of one thread: takes a CONNECT for whatever name, and is that host itself."""

    def __init__(self, certificate: Path) -> None:
        self.connects: list[str] = []
        self.requests: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(certificate)
        Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self.connects.append(_head(connection).split(b"\r\n")[0].decode())
                connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                with self._tls.wrap_socket(connection, server_side=True) as inner:
                    self.requests.append(_head(inner))
                    inner.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")

    def close(self) -> None:
        self._listener.close()


def _head(connection: socket.socket) -> bytes:
    said = b""
    while b"\r\n\r\n" not in said and (piece := connection.recv(65_536)):
        said += piece
    return said


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Proxy]:
    """Behind it is crm.test, with a certificate that is trusted here."""
    certificate = tmp_path / "crm.pem"
    subprocess.run(
        f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=crm.test -addext subjectAltName=DNS:crm.test"
        f" -keyout {tmp_path}/key -out {tmp_path}/cert".split(),
        check=True,
        capture_output=True,
    )
    certificate.write_text((tmp_path / "key").read_text() + (tmp_path / "cert").read_text())
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert"))
    made = Proxy(certificate)
    yield made
    made.close()


def test_results_go_through_the_egress_proxy_which_finds_the_address(
    monkeypatch: pytest.MonkeyPatch, loop: Loop, proxy: Proxy
) -> None:
    resolver = Resolver(["127.0.0.1"])
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    with sending(loop, proxy.url) as send:
        assert send("https://crm.test/hook").status == 204
    assert proxy.connects == ["CONNECT crm.test:443 HTTP/1.1"]
    assert proxy.requests[0].startswith(b"POST /hook HTTP/1.1\r\n")
    assert "crm.test" not in resolver.asked


NAMES_INSIDE = ["https://localhost/", "https://metadata.google.internal/", "https://redis/", "https://printer.local./"]


@pytest.mark.parametrize("url", [*SPELT.values(), *BARRED.values(), *NAMES_INSIDE])
def test_what_a_url_shows_by_itself_does_not_get_as_far_as_the_proxy(loop: Loop, proxy: Proxy, url: str) -> None:
    with sending(loop, proxy.url) as send, pytest.raises(NoAnswer) as refusal:
        send(url)
    assert refusal.value.sent is False
    assert proxy.connects == []


def test_the_public_address_in_these_tests_is_one() -> None:
    assert is_public(PUBLIC)
