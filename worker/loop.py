"""One asyncio loop for a process, in a thread of its own, on which all its network calls run.

Celery's tasks are plain functions; the clients live long and share their connections. This is the bridge.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, TypeVar

T = TypeVar("T")
A = TypeVar("A")

LOOKUPS = 64
"""Names that are looked up at once; a resolver may be silent for half a minute."""

LINGER = timedelta(milliseconds=25)
"""After an answer came, wait so long for others: one transaction for ten answers costs little more than for one."""


class Loop:
    """A running event loop. Start it after a fork, never before."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        # Names are looked up in these: with Python's own six, as many names that nobody answers for would stop all.
        self._loop.set_default_executor(ThreadPoolExecutor(LOOKUPS, thread_name_prefix="lookup"))
        threading.Thread(target=self._loop.run_forever, name="loop", daemon=True).start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run one coroutine to its end and return what it returns."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def stream(
        self, items: Sequence[A], ask: Callable[[A], Awaitable[T]], patience: timedelta | None = None
    ) -> Iterator[list[T]]:
        """Ask for all items at once and give the answers in groups, as they come, so that nobody waits for the slowest.

        `ask` turns what goes wrong into an answer; what it raises all the same is raised here. Where nothing comes for
        as long as `patience`, an empty group is given.
        """
        done: queue.SimpleQueue[T | BaseException] = queue.SimpleQueue()

        async def one(item: A) -> None:
            try:
                done.put(await ask(item))
            except BaseException as error:  # carried over to the thread that waits, which raises it
                done.put(error)
                raise

        async def everything() -> None:
            asked = []
            for item in items:
                asked.append(asyncio.create_task(one(item)))
                await asyncio.sleep(0)  # whoever came meanwhile goes next, and not behind all of these
            await asyncio.gather(*asked, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(everything(), self._loop)
        left = len(items)
        while left:
            group = _next_group(done, left, patience)
            left -= len(group)
            yield group


def _next_group(done: queue.SimpleQueue[T | BaseException], left: int, patience: timedelta | None) -> list[T]:
    try:
        group = [_value(done.get(timeout=None if patience is None else patience.total_seconds()))]
    except queue.Empty:
        return []
    while len(group) < left:
        try:
            group.append(_value(done.get(timeout=LINGER.total_seconds())))
        except queue.Empty:
            break
    return group


def _value(found: T | BaseException) -> T:
    if isinstance(found, BaseException):
        raise found
    return found
