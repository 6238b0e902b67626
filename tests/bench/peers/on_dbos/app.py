"""The receiver: orders become enqueued workflows, callbacks become messages to them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import sqlalchemy as sa
from dbos import DBOSClient, EnqueueOptions, error

from tests.bench.peers.calls import settings
from tests.bench.peers.door import Door, application
from tests.bench.peers.orders import Order, Outcome

QUEUE = "orders"
WORKFLOW = "order_number"
CALLBACK = "callback"


class DbosDoor(Door):
    def __init__(self, client: DBOSClient, engine: sa.Engine) -> None:
        self._client, self._engine = client, engine

    async def take(self, orders: Sequence[Order]) -> None:
        await asyncio.to_thread(self._enqueue, orders)

    async def end(self, order_id: str, outcome: Outcome, number: str | None) -> bool:
        try:
            await self._client.send_async(order_id, (outcome, number), CALLBACK, idempotency_key=order_id)
        except error.DBOSNonExistentWorkflowError:
            return False
        return True

    def _enqueue(self, orders: Sequence[Order]) -> None:
        with self._engine.begin() as connection:
            for order in orders:
                options: EnqueueOptions = {"queue_name": QUEUE, "workflow_name": WORKFLOW, "workflow_id": order.id}
                self._client.enqueue_in_transaction(connection, options, order.custom_id, order.answer_point)


@asynccontextmanager
async def open_door() -> AsyncIterator[Door]:
    engine = sa.create_engine(settings.database_url, pool_size=settings.connections, max_overflow=0)
    client = await asyncio.to_thread(lambda: DBOSClient(system_database_engine=engine))
    try:
        yield DbosDoor(client, engine)
    finally:
        client.destroy()
        engine.dispose()


app = application(open_door)
