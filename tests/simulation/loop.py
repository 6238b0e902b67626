"""Network calls on the world's clock: asyncio as it is, but its waiting is the simulation's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from tests.simulation.world import MICROSECONDS, Crashed, Process, Stuck
from worker import loop as production
from worker.lanes import WIDTH, Lanes

T = TypeVar("T")
A = TypeVar("A")


class _EventLoop(asyncio.BaseEventLoop):
    """asyncio's own scheduling of tasks. Nothing is ever ready from outside, so to select is to sleep."""

    def __init__(self, process: Process) -> None:
        super().__init__()
        self._process = process
        self._selector = self
        self._clock_resolution = 1 / MICROSECONDS
        self.set_exception_handler(lambda _loop, _context: None)  # what a dead process leaves behind is its own

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is not None and timeout <= 0:
            return []
        if not self._process.is_alive:
            raise Crashed
        if timeout is None:
            raise Stuck("everybody on the loop waits for somebody else")
        self._process.sleep(timeout)
        return []

    def time(self) -> float:
        return self._process.world.now / MICROSECONDS

    def run_in_executor(  # type: ignore[override] # typeshed's variadic generic says no more than this
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """At once: a thread's own waiting is the simulation's as well."""
        done: asyncio.Future[Any] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 -- carried to whoever awaits it
            done.set_exception(error)
        return done

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody sleeps who could be woken."""


class SimulatedLoop(production.Loop):
    """As the process's one loop; here each set of calls has its own, since they never wait for each other."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        loop = _EventLoop(self._process)
        try:
            return loop.run_until_complete(work)
        finally:
            loop.close()

    def stream(
        self, items: Sequence[A], ask: Callable[[A], Awaitable[T]], patience: timedelta | None = None
    ) -> Iterator[list[T]]:
        loop = _EventLoop(self._process)
        left = [loop.create_task(_awaited(ask(item))) for item in items]
        try:
            while left:
                loop.run_until_complete(_until_some_are_done(left))
                group = [task for task in left if task.done()]
                left = [task for task in left if not task.done()]
                yield [task.result() for task in group]
        finally:
            for task in left:
                task.cancel()
            if left:
                loop.run_until_complete(asyncio.wait(left))
            loop.close()


async def _awaited(work: Awaitable[T]) -> T:
    return await work


async def _until_some_are_done(tasks: Sequence[asyncio.Task[Any]]) -> None:
    _, left = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    if left:
        await asyncio.sleep(production.LINGER.total_seconds())


class SimulatedLanes(Lanes):
    """A fiber where production has a thread."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._running: dict[str, int] = {}

    def run(self, kind: str, work: Callable[[], bool], call_others: Callable[[], None] = lambda: None) -> bool:
        if self._running.get(kind, 0) >= WIDTH:
            return False
        self._running[kind] = self._running.get(kind, 0) + 1

        def whole() -> None:
            try:
                while work():
                    call_others()
            finally:
                self._running[kind] -= 1

        self._process.world.after(timedelta(), lambda: self._process.run(whole))
        return True

    def leave(self, kind: str, work: Callable[[], object]) -> None:
        """In the fiber that it comes from: here nobody's place is short."""
        work()
