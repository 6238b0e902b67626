"""One event loop that orders, hears of the end, and tells: each as sets, each at its own pace.

python -m tests.bench.peers.bare.worker
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from tests.bench.peers.calls import Calls, settings
from tests.bench.peers.orders import Order, Refusal, Result

SET = 500
IDLE = 0.01
"""Seconds between two looks where there was nothing to do."""

_CLAIM = """
    UPDATE orders SET status = 'ordering' WHERE id IN (SELECT id FROM orders WHERE status = 'new' LIMIT %s)
    RETURNING custom_id, answer_point
"""
_ORDERED = """
    UPDATE orders SET status = 'ordered', number = said.number, reference = said.reference
    FROM unnest(%s::text[], %s::text[], %s::text[]) AS said (id, number, reference)
    WHERE orders.id = said.id AND orders.status = 'ordering'
"""
_ENDED = """
    WITH said AS (DELETE FROM inbox RETURNING id, status, number)
    UPDATE orders SET status = said.status, number = coalesce(said.number, orders.number)
    FROM said WHERE orders.id = said.id
    RETURNING orders.id, custom_id, orders.status, orders.number
"""
_TOLD = "UPDATE orders SET status = 'told' WHERE id = ANY(%s)"

Connection = AsyncConnection[TupleRow]


class Worker:
    def __init__(self, calls: Calls, pool: AsyncConnectionPool[Connection]) -> None:
        self._calls, self._pool = calls, pool
        self._places = asyncio.Semaphore(settings.concurrency)

    async def run(self) -> None:
        await asyncio.gather(
            self._each(self._claimed, self._place, self._write_ordered),
            self._each(self._ended, self._tell, self._write_told),
        )

    async def _each(
        self,
        take: Callable[[], Awaitable[list[Any]]],
        work: Callable[[Any], Awaitable[Any]],
        write: Callable[[list[Any]], Awaitable[None]],
    ) -> None:
        """Take sets for ever; do the work of each at once with the others'; write what is done in sets."""
        done: asyncio.Queue[Any] = asyncio.Queue()

        async def one(item: Any) -> None:
            try:
                done.put_nowait(await work(item))
            finally:
                self._places.release()

        async def written() -> None:
            while True:
                some = [await done.get()]
                while not done.empty():
                    some.append(done.get_nowait())
                await write(some)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(written())
            while True:
                items = await take()
                for item in items:
                    await self._places.acquire()
                    tasks.create_task(one(item))
                if not items:
                    await asyncio.sleep(IDLE)

    async def _claimed(self) -> list[Order]:
        async with self._pool.connection() as connection:
            rows = await (await connection.execute(_CLAIM, [SET])).fetchall()
        return [Order(custom_id=custom_id, answer_point=answer_point) for custom_id, answer_point in rows]

    async def _place(self, order: Order) -> tuple[str, str, str]:
        reply = await self._calls.place(order)
        if isinstance(reply, Refusal):
            raise RuntimeError(reply.error)  # noqa: TRY004 -- not its type is wrong
        return order.id, reply.number, reply.reference

    async def _write_ordered(self, rows: list[tuple[str, str, str]]) -> None:
        async with self._pool.connection() as connection:
            await connection.execute(_ORDERED, [list(column) for column in zip(*rows, strict=True)])

    async def _ended(self) -> list[Result]:
        async with self._pool.connection() as connection:
            return [Result(*row) for row in await (await connection.execute(_ENDED)).fetchall()]

    async def _tell(self, result: Result) -> str:
        await self._calls.deliver(result)
        return result.order_id

    async def _write_told(self, ids: list[str]) -> None:
        async with self._pool.connection() as connection:
            await connection.execute(_TOLD, [ids])


async def main() -> None:
    async with (
        Calls.open() as calls,
        AsyncConnectionPool[Connection](settings.conninfo, min_size=4, max_size=4, kwargs={"autocommit": True}) as pool,
    ):
        await Worker(calls, pool).run()


if __name__ == "__main__":
    asyncio.run(main())
