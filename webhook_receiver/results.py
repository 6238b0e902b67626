"""The results of a batch as a download: as `worker.results` writes them, to the end whatever happens on the way.

When the database goes away in the middle, there is no way left to answer with an error: the status is sent, and the
server ends a stream that failed like one that is complete (granian 2.8, `response_iter`). So a chunk is read
again for a while, and a file that ends before its time says so in its last line.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from uuid import UUID

import flask
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError

from models.base import read
from models.request import Request
from worker import results
from worker.results import Work

PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds before a chunk is read again: a database that fails over is back by then."""

INCOMPLETE = "INCOMPLETE: the database went away while this was written. Fetch it again."


def csv_file(engine: Engine, batch_id: UUID) -> flask.Response:
    """The answer: a table for spreadsheets."""
    return _file(as_csv(engine, batch_id), "text/csv; charset=utf-8", f"batch-{batch_id}.csv")


def ndjson_file(engine: Engine, batch_id: UUID) -> flask.Response:
    """The answer: one JSON object a line."""
    return _file(as_ndjson(engine, batch_id), "application/x-ndjson", f"batch-{batch_id}.ndjson")


def _file(content: Iterator[bytes], content_type: str, name: str) -> flask.Response:
    headers = {"Content-Disposition": f"attachment; filename={name}"}
    return flask.Response(content, content_type=content_type, headers=headers)


def as_ndjson(engine: Engine, batch_id: UUID) -> Iterator[bytes]:
    """One request a line, in the form of `GET /v1/requests/{id}`."""
    try:
        yield from results.as_ndjson(engine, batch_id, reading=_patiently)
    except DBAPIError:
        yield json.dumps({"code": "incomplete", "detail": INCOMPLETE}).encode() + b"\n"


def as_csv(engine: Engine, batch_id: UUID) -> Iterator[bytes]:
    """A header and a row a request; a cell that a spreadsheet would calculate has an apostrophe before it."""
    try:
        yield from results.as_csv(engine, batch_id, reading=_patiently)
    except DBAPIError:
        yield f"{INCOMPLETE}\r\n".encode()


def _patiently(engine: Engine, work: Work) -> list[Request]:
    for pause in PAUSES:
        try:
            return read(engine, work)
        except DBAPIError:
            time.sleep(pause)
    return read(engine, work)
