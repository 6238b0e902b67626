"""The workflow of an order, and the process that takes such workflows from the queue and runs them.

python -m tests.bench.peers.on_dbos.worker EXECUTOR_ID
"""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from typing import Any, ClassVar

from dbos import DBOS

from tests.bench.peers.calls import TRANSIENT, Calls, Settings
from tests.bench.peers.on_dbos.app import CALLBACK, QUEUE, WORKFLOW
from tests.bench.peers.orders import Acknowledgement, Order, Outcome, Refusal, Result

GIVES_UP_AFTER = timedelta(days=1)
"""Without a callback."""


class DbosSettings(Settings):
    in_flight: int = 500
    """Workflows of one worker, those that wait for a callback among them: it cannot end more than this in the time
    that a callback takes."""
    poll: float = 0.1
    """Seconds between two looks at the queue."""
    threads: int = 32
    """Of one worker, for what DBOS writes down."""


class Process:
    """What the steps of this process use."""

    calls: ClassVar[Calls]


def _is_transient(error: BaseException) -> bool:
    return isinstance(error, TRANSIENT)


_RETRIES: dict[str, Any] = {"retries_allowed": True, "max_attempts": 10, "should_retry": _is_transient}


@DBOS.step(**_RETRIES)
async def place(custom_id: str, answer_point: str) -> Acknowledgement | Refusal:
    return await Process.calls.place(Order(custom_id=custom_id, answer_point=answer_point))


@DBOS.step(**_RETRIES)
async def deliver(result: Result) -> None:
    await Process.calls.deliver(result)


@DBOS.workflow(name=WORKFLOW)
async def order_number(custom_id: str, answer_point: str) -> None:
    """Order a number, wait for the upstream's last word, tell the customer."""
    assert DBOS.workflow_id is not None
    state: Outcome = "failed"
    number = None
    reply = await place(custom_id, answer_point)
    if isinstance(reply, Acknowledgement):
        number = reply.number
        said = await DBOS.recv_async(CALLBACK, timeout_seconds=GIVES_UP_AFTER.total_seconds())
        if said is not None:
            state, number = said[0], said[1] or number
    await deliver(Result(DBOS.workflow_id, custom_id, state, number))


async def main(executor_id: str) -> None:
    settings = DbosSettings()
    async with Calls.open() as calls:
        Process.calls = calls
        DBOS(
            config={
                "name": "peer",
                "application_version": "1",
                "executor_id": executor_id,
                "system_database_url": settings.database_url,
                "sys_db_pool_size": settings.connections,
                "log_level": "WARNING",
                "max_executor_threads": settings.threads,
                "run_migrations": False,
            }
        )
        DBOS.launch()
        await DBOS.register_queue_async(
            QUEUE, worker_concurrency=settings.in_flight, polling_interval_sec=settings.poll
        )
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
