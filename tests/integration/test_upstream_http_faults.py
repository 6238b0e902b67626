"""What can go wrong between an upstream and us, each fault on a real socket, and what the caller may do next."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import aiohttp
import pytest

from models.base import utc_now
from models.state import Reason
from tests.raw_server import Behaviour, Connection, RawServer
from worker.upstreams.ask import MOST_RETRY_AFTER, Asker, Question
from worker.upstreams.base import Misconfigured, OutcomeUnknown, Unavailable, Unreadable
from worker.upstreams.http import Http, NoAnswer, Reply

ORDER = Question("POST", "/requests", document={"name": "service #1"})
RELEASE = Question("DELETE", "/services/61280740801", {"callback_uri": "http://us/callbacks/avanser/se-cr-et"})
READ = Question("GET", "/requests", {"custom_id": "dealer-17"})
EVERY = pytest.mark.parametrize("question", [ORDER, RELEASE, READ], ids=["order", "release", "read"])

SHORT, LONG = timedelta(seconds=1), timedelta(seconds=10)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


@contextlib.asynccontextmanager
async def asking(url: str, connections: int = 10) -> AsyncIterator[Asker]:
    asker = Asker(url, connections, lambda *_: {"Authorization": "Basic secret"})
    try:
        yield asker
    finally:
        await asker.close()


@contextlib.asynccontextmanager
async def http(**given: Any) -> AsyncIterator[Http]:
    client = Http(10, **given)
    try:
        yield client
    finally:
        await client.close()


async def ask(url: str, question: Question, deadline: timedelta = LONG) -> Reply:
    async with asking(url) as asker:
        return await asker.ask(question, deadline)


def a_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


# Nothing was sent: asking again is safe, for an order too.


@EVERY
def test_a_refused_connection_proves_that_nothing_was_sent(question: Question) -> None:
    with pytest.raises(Unavailable, match="no connection"):
        run(ask(f"http://127.0.0.1:{a_free_port()}", question))  # type: ignore[arg-type]


def test_a_name_without_an_address_proves_that_nothing_was_sent() -> None:
    with pytest.raises(Unavailable, match="no connection"):
        run(ask("http://upstream.invalid", ORDER))  # type: ignore[arg-type]


def test_a_server_that_does_not_speak_tls_proves_that_nothing_was_sent() -> None:
    async def answer_in_clear(connection: Connection) -> None:
        await connection.answer(b"{}", "400 Bad Request")

    async def story() -> None:
        async with RawServer(answer_in_clear) as server:
            with pytest.raises(Unavailable, match="TLS"):
                await ask(server.url.replace("http:", "https:"), ORDER)
            assert server.requests == []

    run(story())


def test_a_tls_handshake_that_never_ends_proves_that_nothing_was_sent() -> None:
    async def story() -> None:
        async with RawServer(Connection.silence) as server:
            with pytest.raises(Unavailable, match="no connection in time"):
                await ask(server.url.replace("http:", "https:"), ORDER, SHORT)

    run(story())


def test_no_free_connection_proves_that_nothing_was_sent() -> None:
    async def read_and_be_silent(connection: Connection) -> None:
        await connection.read_request()
        await connection.silence()

    async def story() -> None:
        async with RawServer(read_and_be_silent) as server, asking(server.url, connections=1) as asker:
            first = asyncio.create_task(asker.ask(ORDER, LONG))
            await server.asked.wait()
            with pytest.raises(Unavailable, match="no connection in time"):
                await asker.ask(ORDER, SHORT)
            assert len(server.requests) == 1
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)

    run(story())


def test_an_order_for_which_no_time_is_left_is_not_sent() -> None:
    async def story() -> None:
        async with RawServer(Connection.silence) as server:
            with pytest.raises(Unavailable, match="no time"):
                await ask(server.url, ORDER, timedelta(0))
            assert server.connections == 0

    run(story())


class Freezing(Mapping[str, str]):
    """Headers to be sent, at the sight of which the process stands still for longer than the deadline."""

    def __iter__(self) -> Iterator[str]:
        time.sleep(2 * SHORT.total_seconds())
        return iter(())

    def __len__(self) -> int:
        return 1

    def __getitem__(self, name: str) -> str:
        raise KeyError(name)


def test_a_process_that_stood_still_until_the_deadline_sends_nothing_when_it_goes_on() -> None:
    async def work() -> None:
        async with RawServer(Connection.silence) as server, http() as client:
            with pytest.raises(NoAnswer) as failure:
                await client.send("POST", server.url, deadline=SHORT, headers=Freezing(), body=b"{}")
            assert not failure.value.sent
            assert server.requests == []

    run(work())


# It may have been sent: an order is looked for before it is made again; a read may be repeated.


async def hang_up_unread(connection: Connection) -> None:
    connection.close()


async def reset_unread(connection: Connection) -> None:
    connection.reset()


async def hang_up(connection: Connection) -> None:
    await connection.read_request()
    connection.close()


async def reset(connection: Connection) -> None:
    await connection.read_request()
    connection.reset()


async def be_silent(connection: Connection) -> None:
    await connection.read_request()
    await connection.silence()


async def half_a_head(connection: Connection) -> None:
    await connection.read_request()
    await connection.send(b"HTTP/1.1 200 OK\r\nContent-Le")


async def half_a_body(connection: Connection) -> None:
    await connection.read_request()
    await connection.send(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"response"')


async def half_a_body_then_reset(connection: Connection) -> None:
    await half_a_body(connection)
    connection.reset()


async def half_a_body_then_silence(connection: Connection) -> None:
    await half_a_body(connection)
    await connection.silence()


async def a_body_that_trickles(connection: Connection) -> None:
    await connection.read_request()
    await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while not connection._server.ended.is_set():
        await connection.send(b" ")
        await asyncio.sleep(0.02)


async def no_http_at_all(connection: Connection) -> None:
    await connection.read_request()
    await connection.send(b"220 mail.example ESMTP\r\n")


async def a_head_without_end(connection: Connection) -> None:
    await connection.read_request()
    await connection.send(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000)


def with_status(status: str, *headers: str) -> Behaviour:
    async def behave(connection: Connection) -> None:
        await connection.read_request()
        await connection.answer(b"<html/>", status, *headers)

    return behave


@EVERY
@pytest.mark.parametrize(
    "behave",
    [
        hang_up_unread,
        reset_unread,
        hang_up,
        reset,
        be_silent,
        half_a_head,
        half_a_body,
        half_a_body_then_reset,
        half_a_body_then_silence,
        a_body_that_trickles,
        no_http_at_all,
        a_head_without_end,
        with_status("500 Internal Server Error"),
        with_status("502 Bad Gateway"),
        with_status("503 Service Unavailable", "Retry-After: 1"),
        with_status("408 Request Timeout"),
        with_status("301 Moved Permanently", "Location: /elsewhere"),
        with_status("307 Temporary Redirect", "Location: /elsewhere"),
    ],
    ids=lambda behave: behave.__name__,
)
def test_what_may_have_reached_the_upstream_is_unknown_for_an_order_and_may_be_read_again(
    behave: Behaviour, question: Question
) -> None:
    async def story() -> None:
        async with RawServer(behave) as server:
            with pytest.raises(OutcomeUnknown if question.changes_things else Unavailable) as raised:
                await ask(server.url, question, SHORT)
            assert not isinstance(raised.value, Misconfigured)
            assert "se-cr-et" not in str(raised.value)
            assert server.connections == 1, "asked once, and not again by the transport"

    run(story())


# A kept connection.


async def answer_once_then_hang_up_on_the_next(connection: Connection) -> None:
    await connection.read_request()
    await connection.answer(b"{}")
    await connection.read_request()
    connection.close()


@EVERY
def test_a_request_that_dies_with_a_kept_connection_is_not_sent_again(question: Question) -> None:
    async def story() -> None:
        async with RawServer(answer_once_then_hang_up_on_the_next) as server, asking(server.url) as asker:
            await asker.ask(READ, LONG)
            with pytest.raises(OutcomeUnknown if question.changes_things else Unavailable):
                await asker.ask(question, LONG)
            assert (len(server.requests), server.connections) == (2, 1)

    run(story())


def test_aiohttp_alone_would_send_a_release_twice_and_an_order_once() -> None:
    """Why `_once` is there. When this fails, aiohttp has changed, and the guard is to be thought about anew."""

    async def requests_after(method: str) -> int:
        async with RawServer(answer_once_then_hang_up_on_the_next) as server, aiohttp.ClientSession() as session:
            async with session.get(server.url) as response:
                await response.read()
            with contextlib.suppress(aiohttp.ClientError):
                async with session.request(method, server.url, data=b"{}") as response:
                    await response.read()
            return len(server.requests) - 1

    async def story() -> None:
        assert await requests_after("DELETE") == 2
        assert await requests_after("POST") == 1

    run(story())


def test_an_order_after_the_server_closed_an_idle_connection_goes_out_once_on_a_new_one() -> None:
    async def answer_once_and_close(connection: Connection) -> None:
        await connection.read_request()
        await connection.answer(b"{}")

    async def story() -> None:
        async with RawServer(answer_once_and_close) as server, asking(server.url) as asker:
            await asker.ask(READ, LONG)
            await server.hung_up.wait()
            for _ in range(10):  # on the loopback the FIN is there at once; our loop has to turn to see it
                await asyncio.sleep(0)
            reply = await asker.ask(ORDER, LONG)
            assert reply.status == 200
            assert (len(server.requests), server.connections) == (2, 2)

    run(story())


# Nothing was done: the upstream said so.


@EVERY
@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
def test_refused_credentials_are_a_fault_of_configuration(status: str, question: Question) -> None:
    async def story() -> None:
        async with RawServer(with_status(status)) as server:
            with pytest.raises(Misconfigured, match="credentials") as raised:
                await ask(server.url, question)
            assert raised.value.reason is Reason.UPSTREAM_PAUSED

    run(story())


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        ("7", timedelta(seconds=7), timedelta(seconds=7)),
        ("0", timedelta(0), timedelta(0)),
        # Written when tests are collected, which may be a while before this one runs.
        (format_datetime(utc_now() + timedelta(minutes=50), usegmt=True), timedelta(minutes=20), timedelta(minutes=50)),
        ("Wed, 21 Oct 2015 07:28:00 GMT", timedelta(0), timedelta(0)),
        ("86400", MOST_RETRY_AFTER, MOST_RETRY_AFTER),
        ("9" * 30, MOST_RETRY_AFTER, MOST_RETRY_AFTER),
    ],
    ids=["seconds", "none", "date", "date gone by", "a day", "too many"],  # a date would differ between processes
)
def test_a_429_says_how_long_to_wait_within_reason(value: str, least: timedelta, most: timedelta) -> None:
    async def story() -> None:
        async with RawServer(with_status("429 Too Many Requests", f"Retry-After: {value}")) as server:
            with pytest.raises(Unavailable) as raised:
                await ask(server.url, ORDER)
            assert raised.value.reason is Reason.OVER_LIMIT
            assert raised.value.retry_after is not None
            assert least <= raised.value.retry_after <= most

    run(story())


@pytest.mark.parametrize("headers", [(), ("Retry-After: soon",), ("Retry-After: -5",)])
def test_a_429_that_does_not_say_how_long_leaves_that_to_us(headers: tuple[str, ...]) -> None:
    async def story() -> None:
        async with RawServer(with_status("429 Too Many Requests", *headers)) as server:
            with pytest.raises(Unavailable) as raised:
                await ask(server.url, ORDER)
            assert (raised.value.reason, raised.value.retry_after) == (Reason.OVER_LIMIT, None)

    run(story())


# The client itself.


def test_of_an_answer_only_so_many_bytes_are_read_and_a_cut_one_is_no_json() -> None:
    async def story() -> None:
        async with RawServer(with_status("200 OK")) as server, http() as client:
            reply = await client.send("GET", server.url, deadline=LONG, most=4)
            assert (reply.body, reply.is_cut) == (b"<htm", True)
            with pytest.raises(Unreadable, match="longer than 4"):
                reply.json()

    run(story())


def test_an_answer_without_end_is_cut_and_not_waited_for() -> None:
    async def pour(connection: Connection) -> None:
        await connection.read_request()
        await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await connection.send(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")

    async def story() -> None:
        async with RawServer(pour) as server, http() as client:
            reply = await client.send("GET", server.url, deadline=LONG, most=100_000)
            assert (len(reply.body), reply.is_cut) == (100_000, True)

    run(story())


def test_a_packed_answer_stays_packed_so_that_a_small_one_cannot_become_a_large_one() -> None:
    packed = gzip.compress(b"x" * 10_000_000)

    async def send_packed(connection: Connection) -> None:
        request = await connection.read_request()
        assert b"accept-encoding: identity" in request.lower()
        await connection.answer(packed, "200 OK", "Content-Encoding: gzip")

    async def story() -> None:
        async with RawServer(send_packed) as server, http() as client:
            assert (await client.send("GET", server.url, deadline=LONG)).body == packed

    run(story())


def test_what_is_sent_is_what_was_given_and_says_who_we_are() -> None:
    async def answer_all(connection: Connection) -> None:
        while await connection.read_request():
            await connection.answer(b"{}", "202 Accepted", "Set-Cookie: a=b")

    async def story() -> None:
        async with RawServer(answer_all) as server, http() as client:
            url, headers = f"{server.url}/x?y=%2B", {"webhook-id": "w"}
            await client.send("POST", url, deadline=LONG, headers=headers, body=b"\xff{}")
            reply = await client.send("POST", url, deadline=LONG, headers=headers, body=b"\xff{}")
            await client.close()
        assert (reply.status, reply.is_success, reply.headers["set-cookie"]) == (202, True, "a=b")
        assert timedelta(0) < reply.latency < LONG
        assert server.connections == 1, "connections are kept"
        request = server.requests[-1]
        assert request.startswith(b"POST /x?y=%2B HTTP/1.1\r\n")
        assert request.endswith(b"\r\n\r\n\xff{}")
        assert b"user-agent: trunkline" in request.lower()
        assert b"webhook-id: w" in request.lower()
        assert b"cookie" not in request.lower(), "one requester's cookies are no business of the next call"

    run(story())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_guard_sees_the_address_that_is_connected_to_and_can_forbid_it(host: str) -> None:
    async def story() -> None:
        seen: list[str] = []

        def forbid(address: str) -> bool:
            seen.append(address)
            return False

        async with RawServer(with_status("200 OK")) as server, http(guard=forbid) as client:
            with pytest.raises(NoAnswer, match="not allowed") as raised:
                await client.send("POST", f"http://{host}:{server.port}/", deadline=LONG, body=b"{}")
            assert not raised.value.sent
            assert server.connections == 0
            assert set(seen) <= {"127.0.0.1", "::1"}
            assert seen

    run(story())


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1/", "http://", "http://[", "//x", "http://a b/", "http://127.0.0.1:99999/"]
)
def test_what_is_no_url_that_can_be_asked_is_no_answer(url: str) -> None:
    async def story() -> None:
        async with http() as client:
            with pytest.raises(NoAnswer) as raised:
                await client.send("POST", url, deadline=LONG, body=b"{}")
            assert not raised.value.sent

    run(story())


@pytest.mark.parametrize("behave", [with_status("200 OK"), with_status("500 Oops"), hang_up, be_silent])
def test_no_url_gets_into_a_log_or_a_message_since_it_may_hold_a_token(
    behave: Behaviour, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with RawServer(behave) as server:
            with contextlib.suppress(OutcomeUnknown):
                await ask(server.url, RELEASE, SHORT)

    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, logger="httpx"):
        run(story())
    assert "se-cr-et" not in caplog.text
    assert "Basic" not in caplog.text


def test_a_call_that_is_cancelled_frees_its_connection() -> None:
    async def story() -> None:
        behaviours: list[Callable[[Connection], Any]] = [be_silent, with_status("200 OK")]

        async def behave(connection: Connection) -> None:
            await behaviours.pop(0)(connection)

        async with RawServer(behave) as server, asking(server.url, connections=1) as asker:
            with pytest.raises(OutcomeUnknown):
                await asker.ask(ORDER, SHORT)
            assert (await asker.ask(ORDER, LONG)).status == 200

    run(story())
