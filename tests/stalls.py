"""How long the machine kept a test from running, so that a bound on time can allow for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

LOOKS_EVERY = 0.02  # seconds

COUNTS_FROM = 0.1
"""Seconds late that are no stall: a thread of a busy process waits for its turn now and then."""


@contextmanager
def stalls() -> Iterator[Callable[[], float]]:
    """Seconds, so far, in which this process stood still for a tenth of a second and longer at a time."""
    lost, is_over = [0.0], threading.Event()

    def look() -> None:
        before = monotonic()
        while not is_over.wait(LOOKS_EVERY):
            now = monotonic()
            late = now - before - LOOKS_EVERY
            lost[0] += late if late > COUNTS_FROM else 0.0
            before = now

    thread = threading.Thread(target=look, name="stalls", daemon=True)
    thread.start()
    try:
        yield lambda: lost[0]
    finally:
        is_over.set()
        thread.join()
