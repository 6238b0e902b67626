"""The results of a batch as a file, in the order in which its rows came in, streamed so that a million fit.

When the database goes away in the middle, there is no way left to answer with an error: the status is sent, and the
server ends a stream that failed like one that is complete (granian 2.8, `response_iter`). So a chunk is read
again for a while, and a file that ends before its time says so in its last line.
"""

from __future__ import annotations

import csv
import io
import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from models.base import read
from models.request import Request, view

CHUNK = 1_000
"""Rows read in one transaction: no transaction is as long as the download."""

COLUMNS = (
    "position", "id", "custom_id", "custom_group", "upstream", "kind", "state", "reason", "detail", "number",
    "upstream_reference", "attempts", "created_at", "updated_at", "finished_at",
)  # fmt: skip

PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds before a chunk is read again: a database that fails over is back by then."""

INCOMPLETE = "INCOMPLETE: the database went away while this was written. Fetch it again."

Work = Callable[[Session], list[Request]]

_FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
"""With these a cell begins that a spreadsheet may calculate; the last four are wide forms (OWASP, "CSV Injection")."""

_HARMLESS = re.compile(r"\+[0-9]{5,15}|-[0-9]+(\.[0-9]+)?")
"""A phone number and a negative number are what they look like, and must stay it."""


def as_ndjson(engine: Engine, batch_id: UUID) -> Iterator[bytes]:
    """One request a line, in the form of `GET /v1/requests/{id}`."""
    try:
        for chunk in _chunks(engine, batch_id):
            yield b"".join(json.dumps(view(row)).encode() + b"\n" for row in chunk)
    except DBAPIError:
        yield json.dumps({"code": "incomplete", "detail": INCOMPLETE}).encode() + b"\n"


def as_csv(engine: Engine, batch_id: UUID) -> Iterator[bytes]:
    """A header and a row a request; a cell that a spreadsheet would calculate has an apostrophe before it."""
    yield _table([COLUMNS])
    try:
        for chunk in _chunks(engine, batch_id):
            yield _table([_cells(row) for row in chunk])
    except DBAPIError:
        yield _table([[INCOMPLETE]])


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


def _chunks(engine: Engine, batch_id: UUID) -> Iterator[list[Request]]:
    last: int | None = 0
    while last is not None:
        chunk = _patiently(engine, _after(batch_id, last))
        if chunk:
            yield chunk
        last = chunk[-1].position if len(chunk) == CHUNK else None


def _patiently(engine: Engine, work: Work) -> list[Request]:
    for pause in PAUSES:
        try:
            return read(engine, work)
        except DBAPIError:
            time.sleep(pause)
    return read(engine, work)


def _after(batch_id: UUID, position: int) -> Work:
    statement = sa.select(Request).where(Request.batch_id == batch_id, Request.position > position)
    statement = statement.order_by(Request.position).limit(CHUNK)

    def work(session: Session) -> list[Request]:
        return list(session.scalars(statement))

    return work
