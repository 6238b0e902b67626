"""The broker, the tasks, and the receiver that sends them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool
from taskiq import SmartRetryMiddleware, TaskiqEvents, TaskiqScheduler, TaskiqState
from taskiq_redis import ListRedisScheduleSource, RedisStreamBroker

from tests.bench.peers import store
from tests.bench.peers.calls import TRANSIENT, Calls, settings
from tests.bench.peers.door import Door, application
from tests.bench.peers.orders import Order, Outcome, Refusal

IDLE_TIMEOUT = 10_000
"""Milliseconds. A task takes two calls of three seconds at most."""

REDIS_CONNECTIONS = 50
"""Of each process."""

Pool = AsyncConnectionPool[AsyncConnection[TupleRow]]

delays = ListRedisScheduleSource(settings.redis_url)
broker = RedisStreamBroker(
    settings.redis_url,
    idle_timeout=IDLE_TIMEOUT,
    unacknowledged_lock_timeout=IDLE_TIMEOUT / 1_000,
    max_connection_pool_size=REDIS_CONNECTIONS,
).with_middlewares(
    SmartRetryMiddleware(
        default_retry_label=True,
        default_retry_count=10,
        default_delay=1,
        use_delay_exponent=True,
        max_delay_exponent=8,
        use_jitter=True,
        schedule_source=delays,
        types_of_exceptions=TRANSIENT,
    )
)
scheduler = TaskiqScheduler(broker, [delays])


def new_pool() -> Pool:
    return AsyncConnectionPool(settings.conninfo, min_size=2, max_size=settings.connections, open=False)


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def open_worker(state: TaskiqState) -> None:
    state.stack = AsyncExitStack()
    state.pool = await state.stack.enter_async_context(new_pool())
    state.calls = await state.stack.enter_async_context(Calls.open())


@broker.on_event(TaskiqEvents.WORKER_SHUTDOWN)
async def close_worker(state: TaskiqState) -> None:
    await state.stack.aclose()


@broker.task("place_order")
async def place_order(order_id: str) -> None:
    """Order a number. Does nothing where the upstream has answered."""
    pool, calls = _opened()
    async with pool.connection() as connection:
        order = await store.to_place(connection, order_id)
    if order is None:
        return
    reply = await calls.place(order)
    async with pool.connection() as connection:
        await store.answered(connection, order_id, reply)
    if isinstance(reply, Refusal):
        await deliver_result.kiq(order_id)


@broker.task("deliver_result")
async def deliver_result(order_id: str) -> None:
    """Tell the customer, once as far as we know."""
    pool, calls = _opened()
    async with pool.connection() as connection:
        result = await store.to_deliver(connection, order_id)
    if result is None:
        return
    await calls.deliver(result)
    async with pool.connection() as connection:
        await store.delivered(connection, order_id)


def _opened() -> tuple[Pool, Calls]:
    return broker.state.pool, broker.state.calls


class TaskiqDoor(Door):
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def take(self, orders: Sequence[Order]) -> None:
        async with self._pool.connection() as connection:
            new = await store.add(connection, orders)
        await asyncio.gather(*(place_order.kiq(order_id) for order_id in new))

    async def end(self, order_id: str, outcome: Outcome, number: str | None) -> bool:
        async with self._pool.connection() as connection:
            has_ended = await store.end(connection, order_id, outcome, number)
            is_known = has_ended or await store.is_known(connection, order_id)
        if has_ended:
            await deliver_result.kiq(order_id)
        return is_known


@asynccontextmanager
async def open_door() -> AsyncIterator[Door]:
    async with new_pool() as pool:
        await broker.startup()
        try:
            yield TaskiqDoor(pool)
        finally:
            await broker.shutdown()


app = application(open_door)
