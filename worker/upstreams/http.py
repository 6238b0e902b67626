"""HTTP to the outside: what was asked, what came back, and when nothing came, whether anything had been sent.

The one module that imports httpx. It runs over aiohttp (0.6 ms of CPU a request at 100 in flight, against 15 ms
over httpx's own pool). Two things of that transport decide whether a number is bought twice, and are settled here:

- `httpx_aiohttp` turns a refused connection, a reset and a server that hangs up *after* the order was sent into the
  same `httpx.ConnectTimeout` (0.2.0, `AIOHTTP_EXC_MAP`). So outcomes are told apart below it, by aiohttp's own types.
- aiohttp sends GET, PUT and DELETE again by itself when a kept connection turns out to be closed (3.14, `client.py`,
  `retry_persistent_connection`); a POST never. A release is a DELETE, so nothing is re-sent here: see `_once`.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from worker import strict_json
from worker.upstreams.base import Unreadable

MOST_BODY = 1024 * 1024
"""Bytes of an answer that are read. AVANSER's acknowledgement has 500; a stock list of 5,000 numbers fits."""

CONNECT_SHARE = 0.5
"""Of the deadline, for waiting for a connection: what is left shows that the order went out before time was up."""

MOST_CONNECT = timedelta(seconds=10)

KEPT_FOR = timedelta(seconds=15)
"""Idle connections are closed before most servers close theirs (nginx 75 s, AWS 60 s): fewer unknown outcomes."""

Guard = Callable[[str], bool]
"""Whether this IP address may be connected to. Asked at every connect, with the address that is then used."""


class NoAnswer(Exception):
    """No complete HTTP answer came. `sent` is whether any of the request may have left; False is proof."""

    def __init__(self, detail: str, *, sent: bool, latency: timedelta = timedelta()) -> None:
        super().__init__(detail)
        self.sent, self.latency = sent, latency


class NotSent(NoAnswer):
    """It had its connection, and `may_send` said no: proof that not one byte of it left."""

    def __init__(self) -> None:
        super().__init__("it was stopped right before it was sent", sent=False)


may_send: ContextVar[Callable[[], bool]] = ContextVar("may_send", default=lambda: True)
"""Asked right before the first byte of whatever is not only read (all but GET): whoever orders sets it, for the task in
which it orders. Before that an order may have waited for other steps, and for a connection."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete HTTP answer. Names of headers may be asked for in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes  # the first bytes, as many as the caller wanted
    is_cut: bool  # there was more
    latency: timedelta

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> Any:
        """Raises Unreadable where the body is no complete JSON document, or holds what no database keeps."""
        if self.is_cut:
            raise Unreadable(f"the answer is longer than {len(self.body)} bytes")
        return read_json(self.body)


def read_json(body: bytes) -> Any:
    """What an upstream wrote, as an answer or in a callback. Raises Unreadable."""
    try:
        document, faults = strict_json.parse(body)
    except strict_json.Unreadable as error:
        raise Unreadable(str(error)) from None
    if faults:
        raise Unreadable(f"{faults[0].pointer or 'it'}: {faults[0].detail}")
    return document


class Http:
    """A long-lived pool of connections. Use it on one event loop; it opens nothing before its first request.

    `guard` judges every address before it is connected to; without one, any address will do. A name of which it refuses
    one address is not connected to at all. With a `proxy` (`http://host:port`) it is the proxy that is connected to,
    and that finds the addresses: what is asked by https goes through it unread (CONNECT).
    """

    def __init__(
        self, connections: int, *, per_host: int = 0, guard: Guard | None = None, proxy: str | None = None
    ) -> None:
        """At most `connections` at once, `per_host` of them to one host and port; 0 is no limit."""
        self._connections, self._per_host, self._guard = connections, per_host, guard
        self._tls = httpx.create_ssl_context()
        # Bare, without a client in front: its redirects, cookies and hooks are not wanted, and cost a third of a call.
        by_way_of = httpx.Proxy(proxy) if proxy else None
        self._transport = AiohttpTransport(verify=self._tls, client=self._session, proxy=by_way_of)
        self._headers = {"User-Agent": _user_agent(), "Accept": "*/*", "Accept-Encoding": "identity"}

    async def send(
        self,
        method: str,
        url: str,
        *,
        deadline: timedelta,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        most: int = MOST_BODY,
    ) -> Reply:
        """Asks once, follows no redirect, and reads `most` bytes of the answer, all within `deadline`.

        What has not been sent by then is not sent at all, also where the process stood still. Raises NoAnswer; its
        words hold neither URL nor body, for both may hold a token.
        """
        began = time.monotonic()
        _sent_until.set(began + deadline.total_seconds())

        def none(detail: str, *, sent: bool) -> NoAnswer:
            return NoAnswer(detail, sent=sent, latency=timedelta(seconds=time.monotonic() - began))

        if (target := _readable(url)) is None:
            raise none("the URL is none that can be asked", sent=False)
        connect = min(deadline * CONNECT_SHARE, MOST_CONNECT).total_seconds()
        if connect <= 0:
            raise none("no time was left to ask", sent=False)
        request = httpx.Request(
            method,
            target,
            headers={**self._headers, **(headers or {})},
            content=body,
            extensions={"timeout": {"pool": connect}},
        )
        try:
            async with asyncio.timeout(deadline.total_seconds()):
                response = await self._transport.handle_async_request(request)
                try:
                    content, is_cut = await _read(response, most)
                finally:
                    await response.aclose()
        except _Failed as failed:
            raise none(failed.detail, sent=failed.sent) from None
        except TimeoutError:
            raise none(f"no answer within {deadline.total_seconds():g} s", sent=True) from None
        except (httpx.UnsupportedProtocol, httpx.InvalidURL):
            raise none("the URL is none that can be asked", sent=False) from None
        except (httpx.HTTPError, aiohttp.ClientError) as error:
            raise none(f"the answer broke off ({type(error).__name__})", sent=True) from None
        latency = timedelta(seconds=time.monotonic() - began)
        return Reply(response.status_code, response.headers, content, is_cut, latency)

    async def close(self) -> None:
        await self._transport.aclose()

    def _session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=self._connections,
            limit_per_host=self._per_host,
            keepalive_timeout=KEPT_FOR.total_seconds(),
            ssl=self._tls,
            resolver=_Judged(self._guard) if self._guard else None,
            socket_factory=_guarded(self._guard) if self._guard else None,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=[_once],
            request_class=_Punctual,
            trust_env=False,
        )


@lru_cache(maxsize=1_000)
def _readable(url: str) -> httpx.URL | None:
    """None where httpx or the resolver cannot read it. What these raise then is no HTTP error."""
    try:
        found = httpx.URL(url)
        found.host.encode("idna")
    except (httpx.InvalidURL, UnicodeError):
        return None
    return found if found.scheme in ("http", "https") and found.host else None


async def _read(response: httpx.Response, most: int) -> tuple[bytes, bool]:
    """The first `most` bytes, as they came: nothing is unpacked, so a small answer cannot become a large one."""
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > most:
            return bytes(content[:most]), True
    return bytes(content), False


class _Failed(Exception):
    """No aiohttp exception, so that neither aiohttp repeats the request nor httpx_aiohttp renames what happened."""

    def __init__(self, detail: str, *, sent: bool) -> None:
        super().__init__(detail)
        self.detail, self.sent = detail, sent


_sent_until: ContextVar[float] = ContextVar("_sent_until")
"""Monotonic seconds, after which the request that is being made must not go out any more."""


class _Punctual(aiohttp.ClientRequest):
    """Looks at the clock when it has its connection, right before its first byte.

    A process that was frozen on the way here for longer than its lease would order what another has ordered since.
    """

    async def send(self, conn: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        if time.monotonic() > _sent_until.get():
            raise _Failed("no time was left to send it in", sent=False)
        if self.method != "GET" and not may_send.get()():
            raise NotSent
        return await super().send(conn)


async def _once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Sends `request` one single time and says, when that fails, whether it may have left.

    Only what fails while a connection is made (name, address, TLS, a free place in the pool) proves that nothing
    was sent: aiohttp writes the first byte after that. A connection that breaks any later may have carried all of
    it, even when it was a kept one that the server had closed.
    """
    try:
        return await send(request)
    except aiohttp.ConnectionTimeoutError:
        raise _Failed("no connection in time", sent=False) from None
    except aiohttp.ClientConnectorError as error:
        raise _Failed(f"no connection ({_plainly(error)})", sent=False) from None
    except aiohttp.InvalidURL:
        raise _Failed("the URL is none that can be asked", sent=False) from None
    except (aiohttp.ClientError, OSError) as error:
        raise _Failed(f"the connection broke off before the answer ({type(error).__name__})", sent=True) from None


def _plainly(error: aiohttp.ClientConnectorError) -> str:
    """What went wrong, in words that name no URL."""
    cause = error.os_error
    if isinstance(error, aiohttp.ClientSSLError) or isinstance(cause, ssl.SSLError):
        return f"TLS: {getattr(cause, 'verify_message', '') or getattr(cause, 'reason', '') or 'no handshake'}"
    return cause.strerror or str(cause)


class _Forbidden(OSError):
    """The guard refused this address."""


class _Judged(aiohttp.ThreadedResolver):
    """Finds addresses as ever, and none where one of them is forbidden: such a name leads inside on purpose."""

    def __init__(self, guard: Guard) -> None:
        super().__init__()
        self._guard = guard

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[aiohttp.abc.ResolveResult]:
        found = await super().resolve(host, port, family)
        if not all(self._guard(one["host"]) for one in found):
            raise _Forbidden("the address is not allowed")
        return found


def _guarded(guard: Guard) -> Callable[[Any], socket.socket]:
    def make(address_info: Any) -> socket.socket:
        family, kind, protocol, _, address = address_info
        if not guard(address[0]):
            raise _Forbidden("the address is not allowed")
        return socket.socket(family, kind, protocol)

    return make


def _user_agent() -> str:
    try:
        return f"Trunkline/{version('trunkline')}"
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "Trunkline"


def _keep_urls_out(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING


# httpx writes every URL at INFO, and a URL may hold a token. A filter outlives whoever sets the logger's level.
logging.getLogger("httpx").addFilter(_keep_urls_out)
