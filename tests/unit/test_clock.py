"""The database's clock, carried on between readings: what it tells, and what it does when it cannot be read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from models.clock import READ_EVERY, SLOWEST_READING, DatabaseClock
from tests.factory import NOW

SECOND = timedelta(seconds=1)
BROKEN = OperationalError("SELECT", {}, Exception("the server went away"))


@dataclass
class Database:
    """A database's time and a host's monotonic clock, which both go on when a test says so."""

    passed: timedelta = timedelta()
    set_by: timedelta = timedelta()  # what somebody has set the database's clock forward
    before: timedelta = timedelta()  # what a reading takes until the server looks at its clock
    after: timedelta = timedelta()  # and from there
    failure: SQLAlchemyError | None = None
    readings: list[datetime] = field(default_factory=list)

    @property
    def time(self) -> datetime:
        return NOW + self.passed + self.set_by

    def ask(self) -> datetime:
        if self.failure is not None:
            raise self.failure
        self.passed += self.before
        self.readings.append(self.time)
        self.passed += self.after
        return self.readings[-1]


class _Clock(DatabaseClock):
    """That of a process on another machine, which has been up for a while."""

    def __init__(self, database: Database) -> None:
        super().__init__(database.ask)
        self._database = database

    def monotonic(self) -> float:
        return 5_000.0 + self._database.passed.total_seconds()


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def clock(database: Database) -> DatabaseClock:
    return _Clock(database)


def pass_(database: Database, time: timedelta) -> None:
    database.passed += time


def test_it_tells_the_databases_time_and_asks_for_it_once_in_a_while(database: Database, clock: DatabaseClock) -> None:
    for _ in range(95):
        assert clock.now() == database.time
        pass_(database, READ_EVERY / 10)
    assert len(database.readings) == 10


@pytest.mark.parametrize("way", ["before", "after"])
def test_it_is_never_ahead_of_the_database_and_behind_by_no_more_than_a_reading_took(
    database: Database, clock: DatabaseClock, way: str
) -> None:
    slow = SLOWEST_READING * 0.9
    setattr(database, way, slow)
    for _ in range(50):
        told = clock.now()
        assert database.time - slow <= told <= database.time
        pass_(database, READ_EVERY / 7)


def test_a_slow_reading_is_passed_over_where_there_is_one_to_carry_on(database: Database, clock: DatabaseClock) -> None:
    clock.now()
    database.after = 10 * SECOND
    pass_(database, READ_EVERY)
    assert clock.now() == database.time
    assert len(database.readings) == 2


def test_a_slow_first_reading_is_better_than_none(database: Database, clock: DatabaseClock) -> None:
    database.after = 3 * SECOND
    assert clock.now() == database.time - 3 * SECOND


def test_a_reading_that_fails_is_made_up_for_and_tried_again(
    database: Database, clock: DatabaseClock, caplog: pytest.LogCaptureFixture
) -> None:
    clock.now()
    database.failure = BROKEN
    pass_(database, timedelta(minutes=10))
    assert clock.now() == database.time
    assert "carried on: OperationalError" in caplog.text
    database.failure, database.set_by = None, 5 * SECOND
    pass_(database, READ_EVERY)
    assert clock.now() == database.time


def test_the_first_reading_must_succeed_and_can_be_tried_again(database: Database, clock: DatabaseClock) -> None:
    database.failure = BROKEN
    with pytest.raises(OperationalError):
        clock.now()
    database.failure = None
    assert clock.now() == database.time


@pytest.mark.parametrize("step", [timedelta(milliseconds=1), timedelta(milliseconds=900)])
def test_it_stands_still_rather_than_go_back_a_little(
    database: Database, clock: DatabaseClock, step: timedelta
) -> None:
    pass_(database, READ_EVERY)
    before = clock.now()
    database.set_by = -READ_EVERY - step
    pass_(database, READ_EVERY)
    assert clock.now() == before
    pass_(database, step * 2)
    assert clock.now() == database.time


def test_it_goes_back_with_a_database_that_was_set_back(database: Database, clock: DatabaseClock) -> None:
    clock.now()
    database.set_by = timedelta(hours=-1)
    pass_(database, READ_EVERY)
    assert clock.now() == database.time


def test_it_never_waits_on_an_event_loop(database: Database, clock: DatabaseClock) -> None:
    clock.now()
    pass_(database, timedelta(minutes=10))

    async def tell() -> datetime:
        return clock.now()

    assert asyncio.run(tell()) == database.time
    assert len(database.readings) == 1


def test_while_one_thread_reads_the_others_carry_on(database: Database) -> None:
    told: list[datetime] = []

    class _Nested(_Clock):
        """Is asked again while it reads, as by another thread."""

        def __init__(self, of: Database) -> None:
            super().__init__(of)
            self._ask: Callable[[], datetime] = self._read_slowly

        def _read_slowly(self) -> datetime:
            if self._reading is not None:
                told.append(self.now())
            return database.ask()

    clock = _Nested(database)
    clock.now()
    pass_(database, READ_EVERY)
    assert clock.now() == database.time
    assert told == [database.time]
