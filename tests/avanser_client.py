"""A client of AVANSER for tests: orders to give it, and servers to point it at."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from pydantic import SecretStr

from models.base import new_id
from models.request import Kind
from tests import picking
from tests.raw_server import Connection, RawServer
from tests.sandbox import ACCOUNT, PASSWORD, USERNAME
from worker.signing import Tokens, Uris
from worker.upstream_settings import AvanserSettings
from worker.upstreams.avanser.client import AvanserClient
from worker.upstreams.base import Order

T = TypeVar("T")

LONG, SHORT = timedelta(seconds=10), timedelta(seconds=1)
SYDNEY = {"country": "AU", "search_type": "szu", "szu": "sydney"}
TRANSFER = {"type": "transfer", "answer_point": "61401603859"}
TOKENS = Tokens([SecretStr("k" * 43)])


def with_client(url: str, work: Callable[[AvanserClient], Awaitable[T]]) -> T:
    """What `work` returns, done with a client of the AVANSER at `url`."""

    async def story() -> T:
        client = client_of(url)
        try:
            return await work(client)
        finally:
            await client.close()

    return asyncio.run(story())


def client_of(url: str) -> AvanserClient:
    settings = AvanserSettings(url=url, username=USERNAME, password=SecretStr(PASSWORD), account_id=ACCOUNT)
    return AvanserClient(settings)


def order(kind: Kind = Kind.PROVISION, public_url: str = "http://127.0.0.1:9", **fields: Any) -> Order:
    request_id: UUID = new_id()
    uris = Uris(public_url, TOKENS)
    given: dict[str, Any] = {
        "spec": {"service_number": SYDNEY, "service": TRANSFER} if kind is Kind.PROVISION else {},
        "number": None,
        "upstream_reference": None,
        "custom_id": None,
        "custom_group": None,
    } | fields
    return Order(
        request_id=request_id,
        kind=kind,
        callback_uri=uris.callback("avanser", request_id),
        call_uri=uris.call("avanser", request_id),
        sms_uri=uris.sms("avanser", request_id),
        pick=picking.first,
        **given,
    )


def submit(url: str, asked: Order, deadline: timedelta = LONG) -> Any:
    return with_client(url, lambda client: client.submit(asked, deadline))


def look_up(url: str, asked: Order, deadline: timedelta = LONG) -> Any:
    return with_client(url, lambda client: client.look_up(asked, deadline))


SEARCH = b"GET /v1/numbers?"


def envelope(response: Any, account: Any = ACCOUNT) -> str:
    return json.dumps({"@transaction": {"id": "a", "account-id": account}, "response": response})


def told(
    asked: Callable[[AvanserClient], Awaitable[T]],
    *replies: tuple[str, str],
    stock: tuple[str, str] | None = ("200 OK", envelope({})),
) -> tuple[T, list[bytes]]:
    """What the client makes of a server that gives these replies (status, text) in turn, and what it sent.

    Stock searches are answered by `stock` and left out, so that only the orders are told of; None: as all the rest.
    """
    left = list(replies)

    async def reply(connection: Connection) -> None:
        while request := await connection.read_request():
            is_search = stock is not None and request.startswith(SEARCH)
            if not is_search and not left:
                return
            status, text = stock if stock is not None and is_search else left.pop(0)
            await connection.answer(text.encode(), status, "Content-Type: application/json")

    async def story() -> tuple[T, list[bytes]]:
        async with RawServer(reply) as server:
            client = client_of(f"{server.url}/v1")
            try:
                answer = await asked(client)
                return answer, [one for one in server.requests if stock is None or not one.startswith(SEARCH)]
            finally:
                await client.close()

    return asyncio.run(story())
