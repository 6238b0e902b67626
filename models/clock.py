"""The clock by which work is claimed, falls due and is signed: one for all hosts that share a database.

Leases and due times are written by one host and judged by another. With each host's own clock, one that is ten
minutes off would take over what others have in hand, or leave lying for ten minutes what is due.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from models.base import UtcDateTime, utc_now

log = logging.getLogger(__name__)

READ_EVERY = timedelta(seconds=10)
"""How long a reading is carried on before the database is asked again. A host drifts by a fraction of a millisecond in
that time."""

SLOWEST_READING = timedelta(milliseconds=500)
"""A reading that took longer says too little, where there is an earlier one to carry on: a quarter of the least time
that is left at the end of a lease (`worker.upstream_settings.LEAST_SLACK`)."""

STANDS_STILL = timedelta(seconds=1)
"""Where a reading is behind what was told before by less than this, the clock stands until it has caught up. By more,
somebody has set the database's clock, and it goes back with it."""


def _monotonic() -> float:
    """Seconds that go on while the machine is asleep, where the system counts them: a lease runs out all the same."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Clock:
    """The system's own: the one to go by where one host does everything, as it is with SQLite."""

    def now(self) -> datetime:
        """The moment, aware and in UTC."""
        return utc_now()

    def monotonic(self) -> float:
        """Seconds since some time or other, never set back: for how long something took, or may take."""
        return _monotonic()


@dataclass(frozen=True, slots=True)
class _Reading:
    moment: datetime  # what the database said
    at: float  # when its answer was here, monotonic seconds


class DatabaseClock(Clock):
    """The database's, read now and then, and carried on between readings by how long they are ago.

    It is behind the database by at most what the last reading took (`SLOWEST_READING`, mostly a millisecond), and ahead
    of it by no more than this host's monotonic clock drifts in `READ_EVERY`. A reading that fails or is slow is made up
    for by the one before; the very first is waited for however long it takes, and where it fails the database's own
    error is raised. One object serves all threads of a process. On an event loop it never waits, but carries on.
    """

    def __init__(self, ask: Callable[[], datetime]) -> None:
        """`ask` gives the database's time as it is at some moment during the call."""
        self._ask = ask
        self._reading: _Reading | None = None
        self._look_again_at = -float("inf")  # monotonic seconds
        self._told: datetime | None = None
        self._busy = threading.Lock()

    def now(self) -> datetime:
        reading = self._current()
        moment = reading.moment + timedelta(seconds=self.monotonic() - reading.at)
        if self._told is not None and timedelta() < self._told - moment < STANDS_STILL:
            return self._told
        self._told = moment
        return moment

    def _current(self) -> _Reading:
        known = self._reading
        if known is None:
            with self._busy:
                return self._reading or self._read()
        if self.monotonic() >= self._look_again_at and not _is_on_a_loop() and self._busy.acquire(blocking=False):
            try:
                return self._read()
            except SQLAlchemyError as error:
                log.warning("the database's time could not be read, so it is carried on: %s", type(error).__name__)
            finally:
                self._look_again_at = self.monotonic() + READ_EVERY.total_seconds()
                self._busy.release()
        return known

    def _read(self) -> _Reading:
        asked_at = self.monotonic()
        moment = self._ask()
        answered_at = self.monotonic()
        # It was that time at some moment between the two. To begin from the later one is never to run ahead.
        if self._reading is None or answered_at - asked_at <= SLOWEST_READING.total_seconds():
            self._reading = _Reading(moment, answered_at)
            self._look_again_at = answered_at + READ_EVERY.total_seconds()
        return self._reading


def _is_on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def make_clock(engine: Engine) -> Clock:
    """The clock of all who share this database."""
    if engine.dialect.name != "postgresql":
        return Clock()

    def ask() -> datetime:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            return time_of(connection)

    return DatabaseClock(ask)


def time_of(database: Session | Connection) -> datetime:
    """The moment by the clock that all go by, asked for now: for programs that need it once."""
    bind = database.get_bind() if isinstance(database, Session) else database
    if bind.dialect.name != "postgresql":
        return Clock().now()
    return database.execute(sa.select(sa.func.clock_timestamp(type_=UtcDateTime()))).scalar_one()
