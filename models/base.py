"""Engine, column types and transactions: what every table stands on."""

from __future__ import annotations

import enum
import math
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine import Connection, CursorResult, Dialect, Engine, Result
from sqlalchemy.exc import DataError, DBAPIError, DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.pool import ConnectionPoolEntry
from uuid_utils.compat import uuid7

from models.sealed import Keyring, hang_on

T = TypeVar("T")

TRANSACTION_TRIES = 8
"""How often a transaction that the database refused for concurrency is run again, whole."""

POSTGRESQL_PATIENCE = {
    # Seconds, but for the last: milliseconds. A host that swallows packets is an error, not a wait without end.
    "connect_timeout": 10,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}

SEVERAL_HOSTS = {"connect_timeout": 3}
"""Of a primary and its standby they are asked in turn, so each connection waits for the first while that is cut off."""

LONGEST_IDLE_IN_TRANSACTION = timedelta(seconds=15)
"""A transaction of ours waits for nothing but the database, so one that keeps silent for longer is that of a frozen
process. PostgreSQL would keep its locks as long as the host answers: on the heartbeat's row, say, and all wait.

It does not see a process that is frozen right behind an `executemany`: psycopg ends those with a Flush, which stops the
clock (PostgreSQL 15, psycopg 3.3)."""

SQLITE_BUSY_TIMEOUT_MS = 30_000
"""How long SQLite waits for its one write lock: longer than any of our transactions, so that a wait is not an error."""

ASSUMED_ALIVE = timedelta(seconds=1)
"""After its last use, a connection. One that breaks all the same breaks in a transaction, which is repeated."""

REFUSED_VALUE = (DataError, ValueError, OverflowError)
"""What a database or its driver raises for a value that it cannot hold: too long, too large, a lone surrogate."""

RANDOM_PAGE_COST = 1.1
"""Of an SSD, as PostgreSQL's page advises. With 4, that of a disk, the list of a requester who has a fifth of all rows
is read along the primary key: past all newer rows of the others, 40,000 for a page of 100 where there are 50,000."""

_RETRYABLE_SQLSTATES = {"40001", "40P01", "55P03", "25P03"}
"""PostgreSQL: serialization failure, deadlock detected, lock not available, idle in transaction for too long."""


CLOCKS_DIFFER = timedelta(hours=1)
"""At the most, between the host that received an event and the one that stored it, which gave it its id."""


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """A moment. Takes and gives aware datetimes in UTC on both databases; a naive one is refused."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a time without a zone: {value!r}")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """The tables. Names of constraints are spelt out so that a migration can name them."""

    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 -- SQLAlchemy's own way to declare it
        datetime: UtcDateTime(),
        UUID: sa.Uuid(),
        dict[str, Any]: sa.JSON(),
        list[str]: sa.JSON(),
    }


def words(of: type[enum.StrEnum]) -> sa.Enum:
    """A column that holds one of an enumeration's words, as text, checked by the database too."""
    return sa.Enum(
        of,
        native_enum=False,
        length=16,
        create_constraint=True,
        name=of.__name__.lower(),
        values_callable=lambda members: [member.value for member in members],
    )


def new_id() -> UUID:
    """A UUIDv7: sorts by time of making, so that keyset paging and locks in id order follow age."""
    return uuid7()


def first_id_of(moment: datetime) -> UUID:
    """Below every id (UUIDv7) of what came then or later: the first 48 bits count milliseconds (RFC 9562)."""
    return _id_at(moment.timestamp() - CLOCKS_DIFFER.total_seconds())


def last_id_of(moment: datetime) -> UUID:
    """Above every id of what came then or earlier."""
    return _id_at(moment.timestamp() + CLOCKS_DIFFER.total_seconds())


def _id_at(seconds: float) -> UUID:
    return UUID(int=max(0, int(seconds * 1000)) << 80)


def utc_now() -> datetime:
    return datetime.now(UTC)


def rfc3339(moment: datetime | None) -> str | None:
    """`2026-11-21T21:35:00.123456Z`; None stays None."""
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


def make_engine(url: str, *, pool_size: int = 5, keyring: Keyring | None = None) -> Engine:
    """An engine for PostgreSQL (`postgresql+psycopg://`) or SQLite (`sqlite:///`). Without keys it knows no secrets.

    SQLite is set up so that a committed row survives a power cut (WAL, `synchronous=FULL`) and so that
    every transaction takes the write lock when it begins: one that reads first and writes later would
    otherwise fail with "database is locked" in the middle.
    """
    engine = _make_engine(url, pool_size)
    if keyring is not None:
        hang_on(engine, keyring)
    return engine


def _make_engine(url: str, pool_size: int) -> Engine:
    if url.startswith("sqlite"):
        wait = {"timeout": SQLITE_BUSY_TIMEOUT_MS / 1000}
        engine = sa.create_engine(url, hide_parameters=True, connect_args=wait)
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_immediate)
        return engine
    # What stands in the URL counts.
    patience = POSTGRESQL_PATIENCE | (SEVERAL_HOSTS if _has_several_hosts(url) else {})
    patience = {name: value for name, value in patience.items() if name not in sa.make_url(url).query}
    # Else the count of an INSERT … ON CONFLICT is -1 with psycopg, and `changed` takes a repeat for news.
    options = {"preserve_rowcount": True}
    engine = sa.create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        hide_parameters=True,  # in errors, and so in logs: they may be callers' numbers and secrets
        execution_options=options,
        connect_args=patience,
    )
    event.listen(engine, "connect", _set_up_postgresql)
    event.listen(engine, "checkin", _note_use)
    event.listen(engine, "checkout", partial(_ask_if_alive, engine.dialect))
    return engine


def _has_several_hosts(url: str) -> bool:
    hosts = sa.make_url(url).query.get("host", ())
    return "," in hosts if isinstance(hosts, str) else len(hosts) > 1


def _note_use(_connection: Any, record: ConnectionPoolEntry) -> None:
    record.info["used_at"] = time.monotonic()


def _ask_if_alive(dialect: Dialect, connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
    """SQLAlchemy's own `pool_pre_ping` asks each time: a trip to the database for every transaction."""
    if time.monotonic() - record.info.get("used_at", math.inf) < ASSUMED_ALIVE.total_seconds():
        return
    try:
        dialect.do_ping(connection)
    except dialect.loaded_dbapi.Error as error:
        raise DisconnectionError from error  # the pool makes another


def _set_up_postgresql(connection: Any, _record: object) -> None:
    # By a statement, for PgBouncer refuses what it does not know among the parameters of a connection.
    connection.autocommit = True
    limit = LONGEST_IDLE_IN_TRANSACTION / timedelta(milliseconds=1)
    settings = {
        "idle_in_transaction_session_timeout": f"{limit:.0f}",
        "random_page_cost": RANDOM_PAGE_COST,
        # Each of our questions has an index (tests look at the plans). Without this, a plan that was made while a table
        # was new and empty reads all of it, again and again, until the table's statistics are first taken: a minute of
        # a first bulk job.
        "enable_seqscan": "off",
        # Where a table is read from end to end all the same, that makes the plan look so dear that PostgreSQL compiled
        # it first: 62 ms for sums that then took one.
        "jit": "off",
    }
    connection.execute("; ".join(f"SET {name} = {value}" for name, value in settings.items()))
    connection.autocommit = False


def _set_up_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    connection.execute(f"PRAGMA busy_timeout={SQLITE_BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_immediate(connection: Connection) -> None:
    reading = connection.get_execution_options().get("trunkline_reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def write(engine: Engine, work: Callable[[Session], T], *, repeatable: bool = False) -> T:
    """Run `work` in one transaction and commit it; run it again, whole, where the database says "try again".

    `work` may therefore run more than once and must have no effect outside the session.

    A connection that breaks before COMMIT has changed nothing: it is run again, for about three seconds, as long as a
    database takes that is started anew. One that breaks during COMMIT leaves open whether it was committed. Then
    OperationalError is raised, and the caller must be safe both ways; but where `work` is `repeatable`, to commit it
    twice is the same as once, and it is run again as well.
    """
    is_done = False

    def attempt() -> T:
        nonlocal is_done
        is_done = False
        with Session(engine, expire_on_commit=False, autoflush=False) as session, session.begin():
            result = work(session)
            is_done = True
        return result

    return _repeated(attempt, lambda: repeatable or not is_done)


def write_at_once(engine: Engine, work: Callable[[Connection], T]) -> T:
    """Run `work`, which makes one single statement and may be run twice: a transaction in one trip to the database.

    Repeated as `write` repeats what is `repeatable`.
    """

    def attempt() -> T:
        if engine.dialect.name != "postgresql":
            with engine.begin() as connection:
                return work(connection)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            return work(connection)

    return _repeated(attempt, lambda: True)


def _repeated(attempt: Callable[[], T], may_repeat: Callable[[], bool]) -> T:
    """`may_repeat` says whether an attempt whose connection broke may be made again."""
    is_broken = False
    for tries_left in reversed(range(TRANSACTION_TRIES)):
        try:
            return attempt()
        except DBAPIError as error:
            is_broken = is_broken or (error.connection_invalidated and may_repeat())
            is_away = is_broken and isinstance(error, OperationalError | InterfaceError)
            if not tries_left or not (is_away or is_retryable(error)):
                raise
            time.sleep((0.1 if is_broken else 0.01) * (TRANSACTION_TRIES - tries_left))
    raise AssertionError("unreachable")


def read(engine: Engine, work: Callable[[Session], T]) -> T:
    """Run `work` in one transaction that only reads: on SQLite it never waits for the write lock.

    It is run again, whole, where its connection breaks.
    """
    reading = engine.execution_options(trunkline_reading=True)

    def attempt() -> T:
        with Session(reading, expire_on_commit=False, autoflush=False) as session, session.begin():
            return work(session)

    return _repeated(attempt, lambda: True)


def insert_for(session: Session) -> Any:
    """The database's own `insert`, which knows ON CONFLICT."""
    return insert_on(session.get_bind())


def insert_on(bind: Engine | Connection) -> Any:
    """As `insert_for`, where there is no session."""
    return postgresql_insert if bind.dialect.name == "postgresql" else sqlite_insert


def changed(result: Result[Any]) -> int:
    """How many rows a statement wrote."""
    return result.rowcount if isinstance(result, CursorResult) else 0


RACED = {"uq_numbers_held"}
"""Unique indexes that two transactions at the same moment may both break: the second, run again, sees the first."""


def is_retryable(error: DBAPIError) -> bool:
    """Whether the database undid the transaction only because of what others did at the same time."""
    sqlstate = getattr(error.orig, "sqlstate", None)
    constraint = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
    return sqlstate in _RETRYABLE_SQLSTATES or constraint in RACED or "database is locked" in str(error.orig)
