"""Telmetrics' list of numbers: read whole although it changes meanwhile, and once for all who ask at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Generic, TypeVar

from worker.upstreams.base import Unavailable
from worker.upstreams.telmetrics.replies import Page, Row

PAGE_SIZE = 1000
"""Rows: some hundreds of KB, with the 300 to 600 bytes that a row of the page's examples has. 10,000 is the most."""

OVERLAP = 50
"""Of so many rows of a page, one is read again with the next page: 20 of 1,000."""

READINGS = 2
"""Before we give up for now."""

T = TypeVar("T")

AskPage = Callable[[int, int], Awaitable[Page]]
"""Asks for page `number` (from 1) of `size` rows. Raises Unavailable."""


async def read_all(ask: AskPage, size: int = PAGE_SIZE) -> dict[str, Row]:
    """All numbers, by their id. Raises Unavailable where it cannot be told that none was missed.

    A row that is missed would be taken for an order that never arrived, and the number bought again. Rows move to the
    front when numbers are given up while we page; so every page begins with rows that the page before ended with, and
    where it does not, some have slipped through between the two. New numbers move rows to the back or stand at the
    end, which hides none: a list is read to its end while Trunkline itself buys.

    Not seen is a row that slips through while as many are added before it as are given up; the workflow looks twice.
    """
    for _ in range(READINGS):
        rows = await _read_once(ask, size)
        if rows is not None:
            return rows
    raise Unavailable("Telmetrics' list of numbers changed faster than it could be read")


async def _read_once(ask: AskPage, size: int) -> dict[str, Row] | None:
    """None where a row may have been missed."""
    rows: dict[str, Row] = {}
    end, fewest = 0, 0
    while True:
        number, asked = next_page(end, size)
        page = await ask(number, asked)
        if end == 0:
            size, fewest = page.size, page.total  # it may give less than what we ask for
        elif page.size != asked:
            raise Unavailable(f"Telmetrics gave pages of {page.size} numbers where {asked} were asked for")
        reached = (number - 1) * page.size + len(page.rows)
        is_joined = end == 0 or any(row.reference in rows for row in page.rows)
        if not is_joined or (reached <= end and reached < page.total):
            return None
        rows |= {row.reference: row for row in page.rows}
        end, fewest = reached, min(fewest, page.total)
        if end >= page.total:
            return rows if len(rows) >= fewest else None


def next_page(end: int, size: int) -> tuple[int, int]:
    """The number and size of a page of `size` rows at most, which begins some rows before `end` and goes beyond it.

    Pages are named by number and size alone, so it is the size that gives way: behind 1,000 rows page 2 of 980. (With
    1,000 rows a page there is always one that goes on, up to some 900,000 numbers.)
    """
    if end == 0:
        return 1, size
    start = end - max(1, size // OVERLAP)
    before = -(-start // size)
    return before + 1, start // before


@dataclass(eq=False)
class _Run(Generic[T]):
    task: asyncio.Task[T]
    waiting: int = 0


@dataclass(eq=False)
class Shared(Generic[T]):
    """Reads once for all who ask at about the same time, on one event loop; other processes read for themselves.

    Only a reading that began after somebody asked shows what had happened before. So who asks while one is under way
    gets the next one, which begins when that has ended; at any time one reads, and at most one waits to.
    """

    read: Callable[[], Awaitable[T]]
    _running: _Run[T] | None = field(default=None, init=False)
    _next: _Run[T] | None = field(default=None, init=False)

    async def get(self, deadline: timedelta) -> T:
        """What a reading gives that begins after this call. Raises what it raises, and Unavailable at the deadline.

        A reading that nobody waits for any more is given up.
        """
        run = self._next = self._next or self._make()
        run.waiting += 1
        try:
            async with asyncio.timeout(deadline.total_seconds()):
                return await asyncio.shield(run.task)
        except TimeoutError:
            raise Unavailable(f"the list could not be read within {deadline.total_seconds():g} s") from None
        finally:
            run.waiting -= 1
            if run.waiting == 0:
                run.task.cancel()
                if self._next is run:
                    self._next = None

    def _make(self) -> _Run[T]:
        return _Run(asyncio.create_task(self._after(self._running)))

    async def _after(self, before: _Run[T] | None) -> T:
        if before is not None:
            await asyncio.wait([before.task])
        run = self._running = self._next
        self._next = None
        try:
            return await self.read()
        finally:
            if self._running is run:
                self._running = None  # what it has read may be large
