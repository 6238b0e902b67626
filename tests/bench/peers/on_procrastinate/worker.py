"""The process that runs the tasks.

python -m tests.bench.peers.on_procrastinate.worker NAME
"""

from __future__ import annotations

import asyncio
import sys

from procrastinate.jobs import DeleteJobCondition

from tests.bench.peers.calls import Calls, settings
from tests.bench.peers.on_procrastinate.app import queue


async def main(name: str) -> None:
    async with Calls.open() as calls, queue.open_async():
        await queue.run_worker_async(
            name=name,
            concurrency=settings.concurrency,
            delete_jobs=DeleteJobCondition.SUCCESSFUL,
            additional_context={"calls": calls},
        )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
