"""Requests from NDJSON: one JSON object a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from worker.bulk.lines import text_lines
from worker.bulk.row import Illegible, Row, RowFault, dotted
from worker.fault import Fault
from worker.strict_json import Unreadable, parse_line


def read_ndjson(stream: BinaryIO) -> Iterator[Row | RowFault]:
    """The rows, as the file is read; blank lines are skipped. A fault that ends the reading is fatal."""
    found = False
    try:
        for line, text in enumerate(text_lines(stream), start=1):
            if not text.isspace():
                found = True
                yield _row(line, text)
    except Illegible as illegible:
        yield illegible.fault
        return
    if not found:
        yield RowFault(1, None, "the file has no row", is_fatal=True)


def _row(line: int, text: str) -> Row | RowFault:
    try:
        value, faults = parse_line(text)
    except Unreadable as error:
        return RowFault(line, None, str(error))
    return row_of(line, value, faults)


def row_of(line: int, value: Any, faults: Sequence[Fault]) -> Row | RowFault:
    """A row from a JSON value. Its `idempotency_key` is taken out: it is about the request, not part of it."""
    if faults:
        return RowFault(line, dotted(faults[0].pointer), faults[0].detail)
    if not isinstance(value, dict):
        return RowFault(line, None, "a request is a JSON object: {…}")
    key = value.pop("idempotency_key", None)
    if key is not None and not isinstance(key, str):
        return RowFault(line, "idempotency_key", "must be text")
    return Row(line, value, key)
