"""Performs the faults of an answer: what the client sees on the wire, and whether the order stands."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Protocol

from aiohttp import web

from worker.sandbox.script import Fault, Rule

Refusals = Mapping[Fault, tuple[int, str]]  # HTTP status and message, in the vendor's envelope

_REFUSALS: Refusals = {
    Fault.REFUSED: (422, "Request refused"),
    Fault.RATE_LIMITED: (429, "Too many requests"),
    Fault.WRONG_CREDENTIALS: (401, "Unauthorized"),
    Fault.OUT_OF_STOCK: (404, "No number available for the given criteria"),
    Fault.TAKEN_MEANWHILE: (409, "Number is no longer available"),
}
_SLOW_PIECES = 10


class Refuse(Protocol):
    """Builds a refusal in the vendor's envelope; `as_200` None leaves it to the script. AVANSER alone refuses so."""

    def __call__(self, status: int, message: str, *, as_200: bool | None = None) -> web.Response: ...


Act = Callable[[], Awaitable[web.Response]]


async def perform(
    request: web.Request, rule: Rule | None, act: Act, refuse: Refuse, refusals: Refusals = _REFUSALS
) -> web.StreamResponse:
    """Answers `request`: by `act`, which does the work, or by what `rule` puts before, after or instead of it.

    `refusals` are those that the vendor words otherwise.
    """
    if rule is None:
        return await act()
    if rule.fault in _REFUSALS:
        return _refusal(rule, refuse, refusals.get(rule.fault, _REFUSALS[rule.fault]))
    match rule.fault:
        case Fault.ERROR_BEFORE_EFFECT:
            return _proxy_error(rule.status or 503)
        case Fault.RESET_BEFORE_EFFECT:
            return _reset(request)
        case Fault.TIMEOUT_BEFORE_EFFECT:
            await asyncio.sleep(rule.seconds)
            return _reset(request)
        case Fault.TIMEOUT_THEN_EFFECT:
            await asyncio.sleep(rule.seconds)
            return await act()
    return await _spoil(request, rule, await act())


async def _spoil(request: web.Request, rule: Rule, answer: web.Response) -> web.StreamResponse:
    """The order stands; only its acknowledgement goes wrong."""
    match rule.fault:
        case Fault.ERROR_AFTER_EFFECT:
            return _proxy_error(rule.status or 502)
        case Fault.RESET_AFTER_EFFECT:
            return _reset(request)
        case Fault.TIMEOUT_AFTER_EFFECT:
            await asyncio.sleep(rule.seconds)
        case Fault.UNREADABLE_AFTER_EFFECT:
            body = _bytes(answer)
            return web.Response(body=body[: len(body) // 2], content_type="application/json")
        case Fault.SLOW_BODY:
            return await _trickle(request, answer, rule.seconds)
    return answer


def _refusal(rule: Rule, refuse: Refuse, usual: tuple[int, str]) -> web.Response:
    status, message = usual
    rate_limited = rule.fault is Fault.RATE_LIMITED
    as_200 = False if rate_limited else rule.as_200  # Retry-After belongs to a 429
    answer = refuse(rule.status or status, rule.message or message, as_200=as_200)
    if rate_limited:
        until = datetime.now(UTC) + timedelta(seconds=rule.retry_after)
        as_date = format_datetime(until, usegmt=True)
        answer.headers["Retry-After"] = as_date if rule.retry_after_as_date else str(rule.retry_after)
    return answer


def _proxy_error(status: int) -> web.Response:
    """An HTML page, as a proxy before the vendor would send: no envelope to read."""
    return web.Response(status=status, text=f"<html><h1>{status}</h1></html>", content_type="text/html")


def _reset(request: web.Request) -> web.Response:
    """Cuts the connection with a TCP RST; the response returned is never written."""
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response()


async def _trickle(request: web.Request, answer: web.Response, seconds: float) -> web.StreamResponse:
    body = _bytes(answer)
    if not body:
        await asyncio.sleep(seconds)
        return answer
    slow = web.StreamResponse(status=answer.status, headers={"Content-Type": "application/json"})
    slow.content_length = len(body)
    await slow.prepare(request)
    size = -(-len(body) // _SLOW_PIECES)
    for start in range(0, len(body), size):
        await asyncio.sleep(seconds / _SLOW_PIECES)
        await slow.write(body[start : start + size])
    return slow


def _bytes(answer: web.Response) -> bytes:
    return answer.body if isinstance(answer.body, bytes) else b""
