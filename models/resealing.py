"""Sealing anew: every secret in the database under the first of the secret keys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models.base import Base, read, write
from models.endpoint import Endpoint
from models.requester import Requester
from models.sealed import MARK, Keyring, Sealed

CHUNK = 500
"""Rows in one transaction. One that is cut off leaves some done and some not: both are opened, and it goes on later."""

TABLES: tuple[type[Base], ...] = (Requester, Endpoint)


@dataclass(frozen=True, slots=True)
class Counts:
    """Of secrets: under the first key already, sealed under it now (or to be), and opened by no key that we have."""

    current: int = 0
    sealed: int = 0
    unopened: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.current + other.current, self.sealed + other.sealed, self.unopened + other.unopened)


def reseal(engine: Engine, keyring: Keyring) -> Counts:
    """Seal all that stands in clear, or under another key, under the first one. Run again, it changes nothing."""
    return sum((_reseal(engine, table, keyring) for table in TABLES), Counts())


def survey(engine: Engine, keyring: Keyring) -> Counts:
    """What `reseal` would do."""
    return read(engine, lambda session: sum((_survey(session, table, keyring) for table in TABLES), Counts()))


def _survey(session: Session, table: type[Base], keyring: Keyring) -> Counts:
    rows = session.execute(_stored(table))
    judged = (_judge(stored, column, keyring)[0] for row in rows for column, stored in _secrets(table, row))
    return sum(judged, Counts())


def _reseal(engine: Engine, table: type[Base], keyring: Keyring) -> Counts:
    total, after = Counts(), UUID(int=0)
    while True:
        counts, last = write(engine, lambda session, after=after: _reseal_some(session, table, keyring, after))  # type: ignore[misc]
        total += counts
        if last is None:
            return total
        after = last


def _reseal_some(session: Session, table: type[Base], keyring: Keyring, after: UUID) -> tuple[Counts, UUID | None]:
    id_ = table.__table__.c.id
    rows = session.execute(_stored(table).where(id_ > after).order_by(id_).limit(CHUNK).with_for_update()).all()
    total = Counts()
    for row in rows:
        for column, stored in _secrets(table, row):
            counts, anew = _judge(stored, column, keyring)
            total += counts
            if anew is not None:
                values = {column: sa.literal(anew, sa.String)}  # as it is: it is sealed already
                session.execute(sa.update(table.__table__).where(id_ == row.id).values(values))  # type: ignore[arg-type]
    return total, rows[-1].id if rows else None


def _stored(table: type[Base]) -> sa.Select[Any]:
    """The secrets as they stand in the database."""
    columns = (sa.type_coerce(column, sa.String).label(column.name) for column in _columns(table))
    return sa.select(table.__table__.c.id, *columns)


def _columns(table: type[Base]) -> list[Any]:
    return [column for column in table.__table__.columns if isinstance(column.type, Sealed)]


def _secrets(table: type[Base], row: Any) -> Iterator[tuple[Any, str]]:
    for column in _columns(table):
        stored = getattr(row, column.name)
        if stored is not None:
            yield column, stored


def _judge(stored: str, column: Any, keyring: Keyring) -> tuple[Counts, str | None]:
    """What a secret counts as, and how it is to be stored where that is not so yet."""
    assert isinstance(column.type, Sealed)
    if keyring.is_current(stored):
        return Counts(current=1), None
    text = keyring.open(stored, column.type.column) if stored.startswith(MARK) else stored
    if text is None:
        return Counts(unopened=1), None
    return Counts(sealed=1), keyring.seal(text, column.type.column)
