"""The tasks, and the receiver that defers them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from procrastinate import App, JobContext, PsycopgConnector, RetryStrategy
from procrastinate.types import JSONDict

from tests.bench.peers import store
from tests.bench.peers.calls import TRANSIENT, Calls, settings
from tests.bench.peers.door import Door, application
from tests.bench.peers.orders import Order, Outcome, Refusal

RETRY = RetryStrategy(max_attempts=10, exponential_wait=2, retry_exceptions=TRANSIENT)

connector = PsycopgConnector(conninfo=settings.conninfo, min_size=2, max_size=settings.connections)
queue = App(connector=connector)


@queue.task(name="place_order", queue="orders", retry=RETRY, pass_context=True)
async def place_order(context: JobContext, order_id: str) -> None:
    """Order a number. Does nothing where the upstream has answered."""
    calls: Calls = context.additional_context["calls"]
    async with connector.pool.connection() as connection:
        order = await store.to_place(connection, order_id)
    if order is None:
        return
    reply = await calls.place(order)
    async with connector.pool.connection() as connection:
        await store.answered(connection, order_id, reply)
        if isinstance(reply, Refusal):
            await deliver_result.configure(connection=connection).defer_async(order_id=order_id)


@queue.task(name="deliver_result", queue="results", priority=1, retry=RETRY, pass_context=True)
async def deliver_result(context: JobContext, order_id: str) -> None:
    """Tell the customer, once as far as we know."""
    calls: Calls = context.additional_context["calls"]
    async with connector.pool.connection() as connection:
        result = await store.to_deliver(connection, order_id)
    if result is None:
        return
    await calls.deliver(result)
    async with connector.pool.connection() as connection:
        await store.delivered(connection, order_id)


@queue.periodic(cron="* * * * *")
@queue.task(name="retry_stalled", queueing_lock="retry_stalled")
async def retry_stalled(timestamp: int) -> None:
    for job in await queue.job_manager.get_stalled_jobs():
        await queue.job_manager.retry_job(job)


class ProcrastinateDoor(Door):
    async def take(self, orders: Sequence[Order]) -> None:
        async with connector.pool.connection() as connection:
            new = await store.add(connection, orders)
            if new:
                arguments: list[JSONDict] = [{"order_id": order_id} for order_id in new]
                await place_order.configure(connection=connection).batch_defer_async(*arguments)

    async def end(self, order_id: str, outcome: Outcome, number: str | None) -> bool:
        async with connector.pool.connection() as connection:
            if await store.end(connection, order_id, outcome, number):
                await deliver_result.configure(connection=connection).defer_async(order_id=order_id)
                return True
            return await store.is_known(connection, order_id)


@asynccontextmanager
async def open_door() -> AsyncIterator[Door]:
    async with queue.open_async():
        yield ProcrastinateDoor()


app = application(open_door)
