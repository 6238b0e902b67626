"""Takes orders and callbacks, and writes them down."""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from tests.bench.peers.calls import settings, token_of
from tests.bench.peers.orders import Order

Message = MutableMapping[str, Any]
Pool = AsyncConnectionPool[AsyncConnection[TupleRow]]


class Receiver:
    """The application."""

    pool: Pool

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        body = b""
        while (message := await receive()).get("more_body"):
            body += message["body"]
        status = await self._answer(scope["path"], body + message.get("body", b""))
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async def _live(
        self, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        while True:
            match (await receive())["type"]:
                case "lifespan.startup":
                    self.pool = AsyncConnectionPool(
                        settings.conninfo, min_size=2, max_size=settings.connections, open=False,
                        kwargs={"autocommit": True},
                    )  # fmt: skip
                    await self.pool.open()
                    await send({"type": "lifespan.startup.complete"})
                case "lifespan.shutdown":
                    await self.pool.close()
                    await send({"type": "lifespan.shutdown.complete"})
                    return

    async def _answer(self, path: str, body: bytes) -> int:
        match path.split("/"):
            case [_, "healthz"]:
                return 200
            case [_, "orders", "bulk"]:
                await self._take(json.loads(body))
                return 202
            case [_, "callbacks", order_id, token] if hmac.compare_digest(token, token_of(order_id)):
                said = json.loads(body)
                async with self.pool.connection() as connection:
                    await connection.execute(
                        "INSERT INTO inbox (id, status, number) VALUES (%s, %s, %s)",
                        [order_id, said["status"], said.get("service_number")],
                    )
                return 204
        return 404

    async def _take(self, bodies: list[dict[str, str]]) -> None:
        async with (
            self.pool.connection() as connection,
            connection.cursor() as cursor,
            cursor.copy("COPY orders (id, custom_id, answer_point) FROM STDIN") as copy,
        ):
            for body in bodies:
                order = Order(**body)
                await copy.write_row([order.id, order.custom_id, order.answer_point])


app = Receiver()
