"""The lanes of a worker process: work that waits for others does so in a thread of its kind, not in the task.

A call to an upstream may take half a minute, and so may a requester that hangs. If the task waited, a few of those
would keep every process from reading the inbox. So a task hands its work to its lane and is done. Each kind has a
few threads; when all are busy the hint is dropped, since what is due is hinted again by the relay.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextvars import copy_context
from datetime import timedelta
from functools import partial
from time import monotonic

log = logging.getLogger(__name__)

WIDTH = 4
"""Threads for each kind of work in a process. A thread that waits for an answer costs nothing but its memory."""


class Lanes:
    """Make one after a fork, never before: threads do not survive it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._busy: dict[str, int] = {}
        self._is_draining = False

    def run(self, kind: str, work: Callable[[], bool], call_others: Callable[[], None] = lambda: None) -> bool:
        """Begin this work in a thread; False, and nothing is begun, where the lane of its kind is full.

        It is done again for as long as it says that there may be more: a message for each set costs as much as the
        set, and the next set waits for it. `call_others` is called when a first set has left more, so that others join
        in, and when more is left here.
        """
        with self._changed:
            if self._busy.get(kind, 0) >= WIDTH:
                return False
            self._busy[kind] = self._busy.get(kind, 0) + 1
        self._begin(kind, work, call_others)
        return True

    def leave(self, kind: str, work: Callable[[], object]) -> None:
        """Do what is left of some work in one more thread, however many there are: for what has only to wait."""

        def rest() -> bool:
            work()
            return False

        with self._changed:
            self._busy[kind] = self._busy.get(kind, 0) + 1
        self._begin(kind, rest, lambda: None)

    def drain(self, within: timedelta) -> bool:
        """Wait until all work has ended, and let none be repeated meanwhile; False where that took too long. (What is
        left goes on elsewhere, later.)"""
        give_up_at = monotonic() + within.total_seconds()
        self._is_draining = True
        try:
            with self._changed:
                while any(self._busy.values()):
                    if not self._changed.wait(max(0.0, give_up_at - monotonic())):
                        return False
        finally:
            self._is_draining = False
        return True

    def _begin(self, kind: str, work: Callable[[], bool], call_others: Callable[[], None]) -> None:
        """In a thread whose lines of the log are about what this one's are about."""
        run = partial(copy_context().run, self._work, kind, work, call_others)
        threading.Thread(target=run, name=f"lane-{kind}", daemon=True).start()

    def _work(self, kind: str, work: Callable[[], bool], call_others: Callable[[], None]) -> None:
        is_first = True
        try:
            while work():
                if is_first or self._is_draining:
                    call_others()
                if self._is_draining:
                    break
                is_first = False
        except Exception:
            # The edge of a thread. What was claimed is due again when its lease ends.
            log.exception("work on %s broke off", kind)
        finally:
            with self._changed:
                self._busy[kind] -= 1
                self._changed.notify_all()
