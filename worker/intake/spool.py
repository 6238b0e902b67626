"""Rows that were found good, kept on disk until all rows of the file are: memory stays flat, nothing is half-taken."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from types import TracebackType
from typing import Self

_TABLE = """
CREATE TABLE row (
    position INTEGER PRIMARY KEY, line INTEGER, idempotency_key TEXT, mark TEXT, digest TEXT, body TEXT,
    number TEXT, endpoint TEXT, is_known INTEGER
)"""


@dataclass(frozen=True, slots=True)
class Spooled:
    """A good row. `position` is its place in the file, from 1, bad rows counted."""

    position: int
    line: int
    idempotency_key: str
    mark: str | None  # upstream, kind and custom_id: twice in one file is a mistake
    digest: str
    body: str  # JSON
    number: str | None
    endpoint: str | None  # id, in hex
    is_known: bool  # taken before, with the same body: nothing to do


@dataclass(frozen=True, slots=True)
class Double:
    """A row that says again what an earlier one said. `field` is where: `custom_id` or `idempotency_key`."""

    position: int
    line: int
    first_line: int
    field: str
    value: str


_VALUES = attrgetter(*(one.name for one in fields(Spooled)))
"""`dataclasses.astuple` copies every value, which cost a tenth of a bulk intake."""


class Spool:
    """A temporary database without a name: SQLite keeps it in memory while it is small and on disk when it is
    not, and the operating system removes it whatever becomes of us."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute("PRAGMA journal_mode=OFF")
        self._database.execute("PRAGMA synchronous=OFF")
        self._database.execute(_TABLE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def add(self, rows: Sequence[Spooled]) -> None:
        self._database.execute("BEGIN")
        self._database.executemany("INSERT INTO row VALUES (?,?,?,?,?,?,?,?,?)", map(_VALUES, rows))
        self._database.execute("COMMIT")

    def doubles(self) -> Iterator[Double]:
        """Every row whose custom_id or key an earlier row has; once for each row, in the file's order."""
        self._database.execute("CREATE INDEX IF NOT EXISTS row_mark ON row (mark, position) WHERE mark IS NOT NULL")
        self._database.execute("CREATE INDEX IF NOT EXISTS row_key ON row (idempotency_key, position)")
        found = self._database.execute(
            """
            SELECT position, line, min(first_line), field, value FROM (
                SELECT later.position, later.line, first.line AS first_line, 'custom_id' AS field,
                       json_extract(later.body, '$.custom_id') AS value
                FROM (SELECT mark, min(position) AS position FROM row WHERE mark IS NOT NULL
                      GROUP BY mark HAVING count(*) > 1) AS double
                JOIN row AS later ON later.mark = double.mark AND later.position > double.position
                JOIN row AS first ON first.position = double.position
                UNION ALL
                SELECT later.position, later.line, first.line, 'idempotency_key', later.idempotency_key
                FROM (SELECT idempotency_key, min(position) AS position FROM row
                      GROUP BY idempotency_key HAVING count(*) > 1) AS double
                JOIN row AS later
                     ON later.idempotency_key = double.idempotency_key AND later.position > double.position
                JOIN row AS first ON first.position = double.position
            ) GROUP BY position ORDER BY position
            """
        )
        return (Double(*row) for row in found)

    def drop_doubles(self) -> int:
        """Leave of each set of doubles the first; returns how many rows went."""
        positions = [(double.position,) for double in self.doubles()]
        self._database.executemany("DELETE FROM row WHERE position = ?", positions)
        return len(positions)

    def counts(self) -> tuple[int, int]:
        """How many rows are to be taken, and how many were taken before."""
        new, known = self._database.execute(
            "SELECT count(*) FILTER (WHERE NOT is_known), count(*) FILTER (WHERE is_known) FROM row"
        ).fetchone()
        return int(new), int(known)

    def new_rows(self, size: int) -> Iterator[list[Spooled]]:
        """The rows that are to be taken, in the file's order, `size` at a time."""
        rows = self._database.execute("SELECT * FROM row WHERE NOT is_known ORDER BY position")
        while chunk := [Spooled(*row) for row in itertools.islice(rows, size)]:
            yield chunk
