"""History and calls by the month, on PostgreSQL: a month that nobody needs is dropped whole, which costs nothing, and
the indexes that are written to are those of one month.

Ids are UUIDv7, whose first 48 bits are milliseconds (RFC 9562), so a month is a range of ids. What was there when a
table was divided is its first partition, `…_before`, which begins at the lowest id and is never dropped: an id from a
host whose clock is years behind has a place, too. The relay makes the months ahead.

The parent has no unique constraint but its key, since PostgreSQL would want the key's column in it ("Table
Partitioning, Limitations"); each partition has its own. So no statement may name others in `ON CONFLICT`. Migrations
may not make an index of these tables with `CONCURRENTLY`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from models.base import read, write
from models.heartbeat import beat, last_beat

UNIQUE: Mapping[str, Sequence[Sequence[str]]] = MappingProxyType(
    {"events": (), "calls": (("upstream", "upstream_reference"),)}
)
"""The tables that can be divided, and the columns that are unique in each partition."""

TABLES = tuple(UNIQUE)

AHEAD = timedelta(days=92)
"""So far ahead there are partitions: a relay may be away for three months before a row has no place."""

LOOKED_AFTER = "partitions"
"""Beaten when the relay begins to make partitions ahead."""

EVERY = timedelta(hours=1)

NOTICE = timedelta(days=1)
"""How long a table may take to be divided before rows come behind the bound that it was told."""

_PATIENCE = "SET LOCAL lock_timeout = '1s'"
"""Whoever waits for a whole table makes all others wait behind it. `write` tries again."""

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_BOUND = re.compile(r"FROM \((?:MINVALUE|'(?P<lower>[-0-9a-f]+)')\) TO \((?:MAXVALUE|'(?P<upper>[-0-9a-f]+)')\)")


@dataclass(frozen=True, slots=True)
class Partition:
    """The rows whose ids were made from `lower` on and before `upper` (None: no end on that side)."""

    name: str
    lower: datetime | None
    upper: datetime | None


class InTheWay(Exception):
    """The table has something that dividing it would leave behind; the message names it."""


def of(session: Session, table: str) -> list[Partition]:
    """The partitions of a table, the oldest first; none where it is not divided, or the database has no such thing.

    A `DEFAULT` partition is left out.
    """
    if not _is_postgresql(session):
        return []
    found = session.execute(
        sa.text(
            "SELECT relname, pg_get_expr(relpartbound, pg_class.oid) FROM pg_inherits"
            " JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = to_regclass(:table)"
        ),
        {"table": table},
    )
    bounds = [(name, match) for name, bound in found if (match := _BOUND.search(bound)) is not None]
    made = [Partition(name, _moment(match["lower"]), _moment(match["upper"])) for name, match in bounds]
    return sorted(made, key=lambda one: one.lower or datetime.min.replace(tzinfo=UTC))


def divide(engine: Engine, table: str, now: datetime) -> bool:
    """Divide a table while it is written to; False where that was done before. All that is there until the end of the
    month becomes the first partition, as it is: no row is copied.

    Nobody waits longer than for a lock that is given up after a second: the check that no row lies behind the bound
    takes as long as reading the table, but nobody waits for it. Raises InTheWay, ValueError where the database has no
    partitions, DBAPIError where the lock was not to be had; then nothing was changed.
    """
    if read(engine, lambda session: not _is_postgresql(session)):
        raise ValueError("SQLite has no partitions")
    if read(engine, lambda session: _is_divided(session, table)):
        return False
    read(engine, lambda session: _refuse_what_is_in_the_way(session, table))
    bound, check = month_after(now + NOTICE), _bound_of(table)
    write(engine, lambda session: _announce(session, table, bound))
    try:
        write(engine, lambda session: _run(session, f"ALTER TABLE {table} VALIDATE CONSTRAINT {check}"))
        write(engine, lambda session: _swap(session, table, check, bound, now))
    except BaseException:
        # Left behind it would refuse all rows of the next month.
        with suppress(DBAPIError):
            write(engine, lambda session: _forget_bound(session, table))
        raise
    write(engine, lambda session: _run(session, f"ANALYZE {table}"))
    return True


def look_after(engine: Engine, now: datetime) -> list[str]:
    """Once an hour: make the partitions of the months ahead, and take away the bound that a process left which was
    killed while it divided a table. Returns the names of what was made. Raises DBAPIError; then again in an hour.
    """
    if engine.dialect.name != "postgresql":
        return []
    last = read(engine, lambda session: last_beat(session, LOOKED_AFTER))
    if last is not None and last <= now < last + EVERY:
        return []
    write(engine, lambda session: beat(session, LOOKED_AFTER, now))
    return write(engine, lambda session: make_ahead(session, now))


def make_ahead(session: Session, now: datetime) -> list[str]:
    """As `look_after`, at once. Does not commit."""
    made = []
    for table in TABLES:
        if _is_divided(session, table):
            made += _make_ahead(session, table, now)
        elif _is_abandoned(session, table, now):
            _forget_bound(session, table)
    return made


def drop(session: Session, table: str, name: str) -> bool:
    """Drop a partition with all its rows; False where another did, or where it is the first, which stays."""
    _run(session, _PATIENCE)
    if name not in {one.name for one in of(session, table) if one.lower is not None}:
        return False
    _run(session, f"DROP TABLE {_quoted(session, name)}")
    return True


def ids_of(partition: Partition) -> tuple[UUID, UUID | None]:
    """All its ids are above the first and below the second."""
    lower = UUID(int=0) if partition.lower is None else UUID(int=_id_at(partition.lower).int - 1)
    return lower, None if partition.upper is None else _id_at(partition.upper)


def is_empty(session: Session, name: str) -> bool:
    return not session.scalar(sa.text(f"SELECT EXISTS (SELECT FROM {_quoted(session, name)})"))  # noqa: S608


def _bound_of(table: str) -> str:
    return f"ck_{table}_bound"


def _announce(session: Session, table: str, bound: datetime) -> None:
    _forget_bound(session, table)
    check = f"CHECK (id < '{_id_at(bound)}') NOT VALID"
    _run(session, f"ALTER TABLE {table} ADD CONSTRAINT {_bound_of(table)} {check}")


def _forget_bound(session: Session, table: str) -> None:
    _run(session, _PATIENCE)
    _run(session, f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {_bound_of(table)}")


def _is_abandoned(session: Session, table: str, now: datetime) -> bool:
    """Whether a bound is there still, and rows will soon come behind it."""
    ends = {name: _ID.search(definition) for name, _, definition in _constraints(session, table)}
    bound = ends.get(_bound_of(table))
    end = _moment(bound[0]) if bound is not None else None
    return end is not None and end < now + NOTICE / 2


def _swap(session: Session, table: str, check: str, bound: datetime, now: datetime) -> None:
    """In one transaction, some milliseconds long: a new table of the old one's name, with the old one in it."""
    old = f"{table}_before"
    _run(session, _PATIENCE)
    _run(session, f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
    constraints, indexes = _constraints(session, table), _indexes(session, table)
    if _is_divided(session, table) or check not in {name for name, _, _ in constraints}:
        raise InTheWay(f"{table}: another process is dividing it")
    grants, owner = _grants(session, table), _owner(session, table)
    _run(session, f"ALTER TABLE {table} RENAME TO {old}")
    for name, kind, _ in constraints:
        if kind in "pu":
            _run(session, f"ALTER TABLE {old} RENAME CONSTRAINT {name} TO {name}_before")
    for name, _ in indexes:
        _run(session, f"ALTER INDEX {name} RENAME TO {name}_before")
    parts = "INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING COMMENTS"
    _run(session, f"CREATE TABLE {table} (LIKE {old} {parts}) PARTITION BY RANGE (id)")
    _run(session, f"ALTER TABLE {table} DROP CONSTRAINT {check}")
    for name, kind, definition in constraints:
        if kind == "p":
            _run(session, f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
    for _, definition in indexes:
        _run(session, definition)
    _run(session, f"ALTER TABLE {table} OWNER TO {_quoted(session, owner)}")
    for grant in grants:
        _run(session, grant)
    _run(session, f"ALTER TABLE {table} ATTACH PARTITION {old} FOR VALUES FROM (MINVALUE) TO ('{_id_at(bound)}')")
    _run(session, f"ALTER TABLE {old} DROP CONSTRAINT {check}")
    _make_ahead(session, table, now)


def _make_ahead(session: Session, table: str, now: datetime) -> list[str]:
    _run(session, _PATIENCE)
    # Two relays look after them at once.
    session.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": f"trunkline {table}"})
    newest, made = of(session, table)[-1], []
    start = newest.upper
    while start is not None and start < now + AHEAD:
        end, name = month_after(start), f"{table}_{start:%Y_%m}"
        _make(session, table, name, like=newest.name, span=(start, end))
        made.append(name)
        start = end
    return made


def _make(session: Session, table: str, name: str, like: str, span: tuple[datetime, datetime]) -> None:
    """Made beside the table and then attached: to make it in its place would lock the whole table."""
    options = session.scalar(
        sa.text("SELECT array_to_string(reloptions, ', ') FROM pg_class WHERE oid = to_regclass(:name)"),
        {"name": _quoted(session, like)},
    )
    parts = "INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES"
    _run(session, f"CREATE TABLE {name} (LIKE {table} {parts})" + (f" WITH ({options})" if options else ""))
    _run(session, f"ALTER TABLE {name} OWNER TO {_quoted(session, _owner(session, table))}")
    for columns in UNIQUE[table]:
        _run(session, f"ALTER TABLE {name} ADD CONSTRAINT uq_{name} UNIQUE ({', '.join(columns)})")
    lower, upper = map(_id_at, span)
    _run(session, f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{lower}') TO ('{upper}')")


def _refuse_what_is_in_the_way(session: Session, table: str) -> None:
    """What follows a table under its new name, or points at it: the old table would keep it."""
    statement = (
        "SELECT 'view ' || ev_class::regclass FROM pg_depend JOIN pg_rewrite ON pg_rewrite.oid = objid"
        " WHERE classid = 'pg_rewrite'::regclass AND refobjid = to_regclass(:table)"
        " UNION SELECT 'trigger ' || tgname FROM pg_trigger WHERE tgrelid = to_regclass(:table) AND NOT tgisinternal"
        " UNION SELECT 'foreign key ' || conname FROM pg_constraint"
        " WHERE contype = 'f' AND to_regclass(:table) IN (conrelid, confrelid)"
        " UNION SELECT 'publication ' || pubname FROM pg_publication_rel JOIN pg_publication ON prpubid ="
        " pg_publication.oid WHERE prrelid = to_regclass(:table)"
    )
    found = session.scalars(sa.text(statement), {"table": table}).all()
    if found:
        raise InTheWay(f"{table}: {', '.join(sorted(found))}. Drop it, divide the table, and make it again")


def _is_postgresql(session: Session) -> bool:
    return session.get_bind().dialect.name == "postgresql"


def _is_divided(session: Session, table: str) -> bool:
    kind = session.scalar(sa.text("SELECT relkind FROM pg_class WHERE oid = to_regclass(:table)"), {"table": table})
    return kind in ("p", b"p")


def _constraints(session: Session, table: str) -> list[tuple[str, str, str]]:
    """Name, kind ("p" primary key, "u" unique, "c" check) and definition."""
    found = session.execute(
        sa.text(
            "SELECT conname, contype::text, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE conrelid = to_regclass(:table) AND contype IN ('p', 'u', 'c') ORDER BY conname"
        ),
        {"table": table},
    )
    return [(name, kind, definition) for name, kind, definition in found]


def _indexes(session: Session, table: str) -> list[tuple[str, str]]:
    """Name and definition, of those that stand behind no constraint."""
    found = session.execute(
        sa.text(
            "SELECT relname, pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid"
            " WHERE indrelid = to_regclass(:table)"
            " AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid) ORDER BY relname"
        ),
        {"table": table},
    )
    return [(name, definition) for name, definition in found]


def _owner(session: Session, table: str) -> str:
    statement = "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = to_regclass(:table)"
    return str(session.scalar(sa.text(statement), {"table": table}))


def _grants(session: Session, table: str) -> list[str]:
    found = session.scalars(
        sa.text(
            "SELECT format('GRANT %s ON %s TO %s%s', privilege_type, pg_class.oid::regclass,"
            " CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,"
            " CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)"
            " FROM pg_class, aclexplode(relacl) WHERE pg_class.oid = to_regclass(:table)"
        ),
        {"table": table},
    )
    return list(found)


def _run(session: Session, statement: str) -> None:
    session.connection().exec_driver_sql(statement.replace("%", "%%"))


def _quoted(session: Session, name: str) -> str:
    return session.get_bind().dialect.identifier_preparer.quote(name)


def month_after(moment: datetime) -> datetime:
    """When the next month begins, by UTC."""
    first = moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first + timedelta(days=32)).replace(day=1)


def _id_at(moment: datetime) -> UUID:
    """The lowest id of what was made then."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


def _moment(id_: str | None) -> datetime | None:
    return None if id_ is None else datetime.fromtimestamp((UUID(id_).int >> 80) / 1000, UTC)
