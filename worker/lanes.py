"""The lanes of a worker process: work that waits for others does so in a thread of its kind, not in the task.

A call to an upstream may take half a minute, and so may a requester that hangs. If the task waited, a few of those
would keep every process from reading the inbox. So a task hands its work to its lane and is done. Each kind has a
few threads; when all are busy the hint is dropped, since what is due is hinted again by the relay.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from time import monotonic

log = logging.getLogger(__name__)

WIDTH = 4
"""Threads for each kind of work in a process. A thread that waits for an answer costs nothing but its memory."""


class Lanes:
    """Make one after a fork, never before: threads do not survive it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._busy: dict[str, int] = {}

    def run(self, kind: str, work: Callable[[], None]) -> bool:
        """Begin this work in a thread; False, and nothing is begun, where the lane of its kind is full."""
        with self._changed:
            if self._busy.get(kind, 0) >= WIDTH:
                return False
            self._busy[kind] = self._busy.get(kind, 0) + 1
        threading.Thread(target=self._work, args=(kind, work), name=f"lane-{kind}", daemon=True).start()
        return True

    def drain(self, within: timedelta) -> bool:
        """Wait until all work has ended; False where that took too long. (What is left goes on elsewhere, later.)"""
        give_up_at = monotonic() + within.total_seconds()
        with self._changed:
            while any(self._busy.values()):
                if not self._changed.wait(max(0.0, give_up_at - monotonic())):
                    return False
        return True

    def _work(self, kind: str, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception:
            # The edge of a thread. What was claimed is due again when its lease ends.
            log.exception("work on %s broke off", kind)
        finally:
            with self._changed:
                self._busy[kind] -= 1
                self._changed.notify_all()
