"""Sets of rows, written by one statement each.

PostgreSQL gets all of them as one JSON array: the statement is the same for one row and for a thousand, so it is parsed
and planned once, and nobody reads a thousand placeholders. For SQLite, with no network between, the driver's own loop
over the rows does as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa
from pydantic_core import to_json
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Connection, CursorResult

from models.base import UtcDateTime, insert_on

Refine = Callable[[Any], Any]
"""Adds to an INSERT what is to happen with a row that is there already, or what it returns. A function of a module, not
one that is made anew for each call: statements are kept by it."""

Values = Mapping[str, Any]
"""One row, by column."""

_HELD = "held_"
"""Before the name of a column that a row must still have."""


def insert(connection: Connection, table: sa.Table, rows: Sequence[Values], refine: Refine | None = None) -> list[Any]:
    """Insert these rows, all with the same columns, in the order given; what `refine` lets them return, if it does."""
    if not rows:
        return []
    names = tuple(rows[0])
    if _is_remote(connection):
        done = connection.execute(_insert_given(table, names, refine), {"given": _json(table, rows)})
    else:
        statement = insert_on(connection)(table)
        done = connection.execute(refine(statement) if refine else statement, rows)
    return list(done.scalars()) if done.returns_rows else []


def update(
    connection: Connection,
    table: sa.Table,
    rows: Sequence[Values],
    columns: Sequence[str],
    *,
    held: Sequence[str] = (),
    are_locked: bool = True,
) -> int:
    """Write `columns` of the rows with these ids; only where the columns in `held` are still as the row's `held_…`.

    Returns how many were written. Rows that are not locked yet are locked in id order, so that two sets that overlap
    wait for one another and do not deadlock.
    """
    if not rows:
        return 0
    rows = sorted(rows, key=lambda row: row["id"])
    names = ("id", *columns, *(_HELD + name for name in held))
    done: CursorResult[Any]
    if _is_remote(connection):
        if not are_locked:
            connection.execute(_lock(table), {"ids": [row["id"] for row in rows]})
        done = connection.execute(_update_given(table, tuple(columns), tuple(held)), {"given": _json(table, rows)})
    else:
        values = [{_parameter(name): row[name] for name in names} for row in rows]
        done = connection.execute(_update_one(table, tuple(columns), tuple(held)), values)
    return done.rowcount


def _is_remote(connection: Connection) -> bool:
    return connection.dialect.name == "postgresql"


def _json(table: sa.Table, rows: Sequence[Values]) -> str:
    """All values as PostgreSQL reads them. Raises ValueError for what it cannot hold, or a time without a zone."""
    names = tuple(rows[0])
    moments, binaries = _of_type(table, names, UtcDateTime), _of_type(table, names, sa.LargeBinary)
    for row in rows:
        for name in moments:
            moment = row[name]
            if moment is not None and moment.tzinfo is None:
                raise ValueError(f"a time without a zone: {moment!r}")
    if binaries:
        rows = [{**row, **{name: f"\\x{row[name].hex()}" for name in binaries}} for row in rows]
    return to_json(rows).decode()


@cache
def _of_type(table: sa.Table, names: tuple[str, ...], kind: type[Any]) -> tuple[str, ...]:
    return tuple(name for name in names if isinstance(_type(table, name), kind))


def _parameter(name: str) -> str:
    """A bound parameter may not be called as a column that is written."""
    return f"given_{name}"


def _given(table: sa.Table, names: Sequence[str]) -> sa.TableValuedAlias:
    """The JSON, as a table with these columns."""
    columns = [sa.column(name, _type(table, name)) for name in names]
    rows = sa.func.json_to_recordset(sa.cast(sa.bindparam("given", type_=sa.Text), postgresql.JSON))
    return rows.table_valued(*columns, name="given").render_derived(with_types=True)


def _type(table: sa.Table, name: str) -> sa.types.TypeEngine[Any]:
    return table.c[name if name in table.c else name.removeprefix(_HELD)].type


@cache
def _insert_given(table: sa.Table, names: tuple[str, ...], refine: Refine | None) -> Any:
    given = _given(table, names)
    statement = postgresql.insert(table).from_select(names, sa.select(*(given.c[name] for name in names)))
    return refine(statement) if refine else statement


@cache
def _update_given(table: sa.Table, columns: tuple[str, ...], held: tuple[str, ...]) -> sa.Update:
    given = _given(table, ("id", *columns, *(_HELD + name for name in held)))
    return (
        sa.update(table)
        .where(table.c.id == given.c.id, *(table.c[name] == given.c[_HELD + name] for name in held))
        .values({name: given.c[name] for name in columns})
    )


@cache
def _update_one(table: sa.Table, columns: tuple[str, ...], held: tuple[str, ...]) -> sa.Update:
    is_held = [table.c[name] == sa.bindparam(_parameter(_HELD + name)) for name in held]
    return (
        sa.update(table)
        .where(table.c.id == sa.bindparam(_parameter("id")), *is_held)
        .values({name: sa.bindparam(_parameter(name)) for name in columns})
    )


@cache
def _lock(table: sa.Table) -> sa.Select[Any]:
    ids = sa.bindparam("ids", type_=sa.ARRAY(table.c.id.type))
    return sa.select(table.c.id).where(table.c.id == sa.func.any(ids)).order_by(table.c.id).with_for_update()
