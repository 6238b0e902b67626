"""One SQLite database in memory, emptied for each run, whose transactions wait their turn and whose commits are points.

There is one connection: transactions do not overlap, as under a serializable database. What overlaps is what lies
between them, which is where the promise is kept or broken.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import QueuePool

from models import tables
from models.sealed import hang_on
from tests.factory import KEYRING
from tests.simulation.world import World

STATEMENTS = 1_000
"""Prepared statements that are kept, all of the product's and more."""


class _Connection(sqlite3.Connection):
    """Outlives the processes that use it, and asks the world at every commit."""

    world: World | None = None
    _seen = 0

    def commit(self) -> None:
        process = self.world.current if self.world is not None else None
        if process is None or self.total_changes == self._seen:
            super().commit()
            return
        process.point("commits", may_freeze=False)  # it cannot stand still here: it has the one connection
        super().commit()
        self._seen = self.total_changes
        process.point("has committed")

    def rollback(self) -> None:
        super().rollback()
        self._seen = self.total_changes

    def close(self) -> None:
        """What was not committed is gone; the rest stays, as it would with a server."""
        self.rollback()


class Database:
    """The engine, and the ways past it that cost nothing."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect(
            ":memory:",
            factory=_Connection,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=STATEMENTS,
        )
        self._connection.execute("PRAGMA foreign_keys=ON")
        self.engine: Engine = sa.create_engine("sqlite://", creator=self._again, poolclass=QueuePool, pool_size=50)
        hang_on(self.engine, KEYRING)
        event.listen(self.engine, "begin", self._begin)
        tables.Base.metadata.create_all(self.engine)
        self._emptying = [str(sa.delete(table)) for table in reversed(tables.Base.metadata.sorted_tables)]

    def _again(self) -> sqlite3.Connection:
        self._connection.rollback()
        return self._connection

    def _begin(self, connection: Connection) -> None:
        """Whoever wants a transaction waits a moment for it, and others come first."""
        world = self._connection.world
        if world is not None and world.current is not None:
            world.current.sleep(world.random.random() * 0.005)
        if self._connection.in_transaction:
            raise AssertionError("two transactions at once")
        connection.exec_driver_sql("BEGIN")

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Nobody's turn: for the judge."""
        world, self._connection.world = self._connection.world, None
        try:
            yield
        finally:
            self._connection.world = world

    @contextmanager
    def of(self, world: World) -> Iterator[None]:
        """Empty, and this world's, until the end."""
        for statement in self._emptying:
            self._connection.execute(statement)
        self._connection.world = world
        try:
            yield
        finally:
            self._connection.world = None
            self._connection.rollback()

    def is_in_transaction(self) -> bool:
        return self._connection.in_transaction

    def changes(self) -> int:
        """Goes up with every row that is written."""
        return self._connection.total_changes

    def rows(self, query: str, *arguments: Any) -> list[Any]:
        """What stands there, read past the engine."""
        return self._connection.execute(query, arguments).fetchall()


@cache
def database() -> Database:
    """This interpreter's one."""
    return Database()
