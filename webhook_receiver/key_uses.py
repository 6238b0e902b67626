"""When each API key was last used, written down by a thread of its own: nobody waits for it or fails by it."""

from __future__ import annotations

import logging
import os
import threading
from datetime import timedelta
from uuid import UUID

from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from models.base import write
from models.clock import Clock
from models.requester import Caller, is_use_news, note_use

log = logging.getLogger(__name__)

GATHERED = timedelta(seconds=1)
"""Uses of so long are written together."""

CLOSED_WITHIN = timedelta(seconds=5)
"""Then the database is left to itself."""


class KeyUses:
    """One for each process; for any number of threads. A process that is killed forgets the last second."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock
        self._condition = threading.Condition()
        self._used: set[UUID] = set()
        self._pid: int | None = None  # of the process whose thread runs
        self._thread: threading.Thread | None = None

    def note(self, caller: Caller) -> None:
        """This key was used just now. Costs nothing where that is known: a key is written once a minute."""
        if not is_use_news(caller.last_used_at, self._clock.now()):
            return
        with self._condition:
            self._used.add(caller.key_id)
            if self._pid != os.getpid():
                self._pid = os.getpid()
                self._thread = threading.Thread(target=self._run, name="key uses", daemon=True)
                self._thread.start()
            self._condition.notify_all()

    def write(self) -> int:
        """Write down what was noted; returns of how many keys. What the database does not take is forgotten."""
        with self._condition:
            used, self._used = self._used, set()
        if not used:
            return 0

        def work(session: Session) -> int:
            return note_use(session, used, self._clock.now())

        try:
            return write(self._engine, work)
        except SQLAlchemyError as error:
            log.warning("when %d keys were last used is not noted: %s", len(used), type(error).__name__)
            return 0

    def close(self) -> None:
        """Write nothing more, once what is being written is."""
        with self._condition:
            self._used.clear()
            self._pid, thread, self._thread = 0, self._thread, None
            self._condition.notify_all()
        if thread is not None:
            thread.join(CLOSED_WITHIN.total_seconds())

    def _run(self) -> None:
        mine = os.getpid()
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._used or self._pid != mine)
                if self._condition.wait_for(lambda: self._pid != mine, timeout=GATHERED.total_seconds()):
                    return
            self.write()
