"""Whether an upstream is paused, as a worker knows it right before it sends: looked up while it sends.

A claim asks the database, and then hundreds of orders are sent over seconds. A pause must stop those too.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic

from sqlalchemy.exc import SQLAlchemyError

from models.upstream import is_among

log = logging.getLogger(__name__)

LOOKED_UP_EVERY = timedelta(milliseconds=250)
"""A process that sends asks the database so often, which is one read of a few rows: a pause holds everywhere within a
second, also where the machine is busy."""


class Switches:
    """What was read last counts as long as the database does not answer. Make one after a fork, never before."""

    def __init__(self, look_up: Callable[[], frozenset[str]]) -> None:
        """`look_up` returns the names in `models.upstream.paused_names`. It is called in a thread of our own."""
        self._look_up = look_up
        self._changed = threading.Condition()
        self._senders = 0
        self._known_at = 0.0  # monotonic seconds
        self._is_looking = False
        self._paused: frozenset[str] = frozenset()
        self._thread: threading.Thread | None = None

    def is_paused(self, name: str) -> bool:
        """Asks nobody, so it may be asked for each order. Only while somebody is `sending` is the answer new."""
        return is_among(self._paused, name)

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Keep looking until the end of this block. Enter it when the database has just said that nothing is paused."""
        with self._changed:
            if not self._senders:
                self._paused, self._known_at = frozenset(), monotonic()
            self._senders += 1
            self._start()
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._senders -= 1
                if not self._senders:
                    self._changed.wait_for(lambda: not self._is_looking, LOOKED_UP_EVERY.total_seconds())

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="switches", daemon=True)
            self._thread.start()

    def _watch(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._senders > 0)
                wait = self._known_at + LOOKED_UP_EVERY.total_seconds() - monotonic()
                if wait > 0:
                    self._changed.wait(wait)
                    continue
                self._known_at, self._is_looking = monotonic(), True
            self._look()
            with self._changed:
                self._is_looking = False
                self._changed.notify_all()

    def _look(self) -> None:
        try:
            paused = self._look_up()
        except SQLAlchemyError as error:
            log.warning("whether an upstream was paused is not known: the database does not answer (%s)", error)
            return
        if paused != self._paused:
            log.info("paused, as of now: %s", ", ".join(sorted(paused)) or "nothing")
        self._paused = paused
