"""Results as a file: in the order in which the rows came in, streamed so that a million fit."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models.base import read
from models.request import Request, view

CHUNK = 1_000
"""Rows read in one transaction: no transaction is as long as the download."""

COLUMNS = (
    "position", "id", "custom_id", "custom_group", "upstream", "kind", "state", "reason", "detail", "number",
    "upstream_reference", "pool", "attempts", "created_at", "updated_at", "finished_at",
)  # fmt: skip

_FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
"""With these a cell begins that a spreadsheet may calculate, the full-width forms too (OWASP, "CSV Injection")."""

_HARMLESS = re.compile(r"\+[0-9]{5,15}|-[0-9]+(\.[0-9]+)?")
"""A phone number and a negative number are what they look like, and must stay it."""


Work = Callable[[Session], list[Request]]
Reading = Callable[[Engine, Work], list[Request]]


def as_ndjson(
    engine: Engine, batch_id: UUID | None, requester_id: UUID | None = None, *, reading: Reading = read
) -> Iterator[bytes]:
    """One request a line, in the form of `GET /v1/requests/{id}`; of a batch, or (None) all, oldest first.

    `reading` runs each transaction: it may be more patient than `models.base.read`.
    """
    for chunk in _chunks(engine, batch_id, requester_id, reading):
        yield b"".join(json.dumps(view(row)).encode() + b"\n" for row in chunk)


def as_csv(
    engine: Engine, batch_id: UUID | None, requester_id: UUID | None = None, *, reading: Reading = read
) -> Iterator[bytes]:
    """A header and a row a request; a cell that a spreadsheet would calculate has an apostrophe before it."""
    yield _table([COLUMNS])
    for chunk in _chunks(engine, batch_id, requester_id, reading):
        yield _table([_cells(row) for row in chunk])


def neutral(value: Any) -> str:
    """A cell's text, which no spreadsheet takes for a formula."""
    text = "" if value is None else str(value)
    if text.startswith(_FORMULA) and not _HARMLESS.fullmatch(text):
        return "'" + text
    return text


def _cells(row: Request) -> list[str]:
    shown = view(row) | {"position": row.position}
    return [neutral(shown[column]) for column in COLUMNS]


def _table(rows: list[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _chunks(
    engine: Engine, batch_id: UUID | None, requester_id: UUID | None, reading: Reading
) -> Iterator[list[Request]]:
    last: Request | None = None
    while True:
        chunk = reading(engine, _after(batch_id, requester_id, last))
        if chunk:
            yield chunk
        if len(chunk) < CHUNK:
            return
        last = chunk[-1]


def _after(batch_id: UUID | None, requester_id: UUID | None, last: Request | None) -> Work:
    """Reads the next chunk: a batch by position, everything by id."""
    order: sa.ColumnElement[Any] = Request.id if batch_id is None else Request.position  # type: ignore[assignment]
    statement = sa.select(Request).order_by(order).limit(CHUNK)
    if batch_id is not None:
        statement = statement.where(Request.batch_id == batch_id)
    if requester_id is not None:
        statement = statement.where(Request.requester_id == requester_id)
    if last is not None:
        statement = statement.where(order > (last.id if batch_id is None else last.position))

    def work(session: Session) -> list[Request]:
        return list(session.scalars(statement))

    return work
