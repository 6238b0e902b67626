"""Requests from a CSV file: one row a request, nested fields in dotted columns, an empty cell for an absent field."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any, BinaryIO

from worker.bulk.lines import text_lines
from worker.bulk.row import Illegible, Row, RowFault
from worker.intake.body import RequestBody

KEY_COLUMN = "idempotency_key"
SPEC = "spec."
DELIMITERS = (",", ";", "\t")

PLAIN_COLUMNS = (*(name for name in RequestBody.model_fields if name != "spec"), KEY_COLUMN)
"""The columns that need no dot."""


def read_table(stream: BinaryIO) -> Iterator[Row | RowFault]:
    """The rows, as the file is read. A fault that ends the reading comes last and is fatal."""
    lines = text_lines(stream)
    try:
        for skipped, first in enumerate(lines):
            if not first.isspace():
                yield from _read(first, lines, skipped)
                return
    except Illegible as illegible:
        yield illegible.fault
        return
    yield RowFault(1, None, "the file is empty", is_fatal=True)


def _read(first: str, lines: Iterator[str], skipped: int) -> Iterator[Row | RowFault]:
    """Read the table whose header begins with the line `first`, `skipped` lines down the file."""
    records = _records(itertools.chain([first], lines), _delimiter(first), skipped)
    header = next(records)
    if isinstance(header, RowFault):
        yield header
        return
    line, cells = header
    columns = [cell.strip() for cell in cells]
    faults = list(_header_faults(columns, line))
    yield from faults
    if not faults:
        yield from _rows(records, columns, line)


def _delimiter(header: str) -> str:
    return max(DELIMITERS, key=header.count)


def _records(lines: Iterator[str], delimiter: str, skipped: int) -> Iterator[tuple[int, list[str]] | RowFault]:
    """The records with the line that each begins at; a quoted cell may hold line ends."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        line = skipped + reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield RowFault(line, None, _explain(str(error)), is_fatal=True)
            return
        yield line, cells


def _explain(error: str) -> str:
    if "field larger" in error or "end of data" in error:
        return 'a quoted cell that begins in this row does not end: a closing " is missing'
    if "expected after" in error:
        return 'something follows a closing ": a " inside a quoted cell is written twice ("")'
    return f"not CSV: {error}"


def _header_faults(columns: Sequence[str], line: int) -> Iterator[RowFault]:
    for position, column in enumerate(columns):
        if not column:
            continue  # spreadsheets leave empty columns at the end; a value in one is refused at its row
        if column in columns[:position]:
            yield RowFault(line, column, "two columns have this name", is_fatal=True)
        elif (detail := _unknown(column)) is not None:
            yield RowFault(line, column, detail, is_fatal=True)
        elif any(other.startswith(f"{column}.") for other in columns):
            yield RowFault(line, column, f"has a value of its own and nested columns ({column}.…)", is_fatal=True)
    if "upstream" not in columns:
        hint = (
            "add it, with the upstream's name (such as avanser) in every row"
            if len(columns) > 1
            else "and only one column was found: separate cells by comma, semicolon or tab"
        )
        yield RowFault(line, "upstream", f"there is no column with this name: {hint}", is_fatal=True)


def _unknown(column: str) -> str | None:
    """What is wrong with a column's name; None where it may stand."""
    if column in PLAIN_COLUMNS:
        return None
    if column.startswith(SPEC):
        return None if all(column.split(".")) else "a nested column has a name between all of its dots"
    near = get_close_matches(column.lower(), PLAIN_COLUMNS, n=1)
    if near:
        return f"unknown column: did you mean {near[0]}?"
    example = f"{SPEC}{column}" if "." in column else "spec.service_number.szu"
    return f"unknown column: the upstream's own fields begin with spec., as in {example}"


def _rows(
    records: Iterator[tuple[int, list[str]] | RowFault], columns: Sequence[str], header_line: int
) -> Iterator[Row | RowFault]:
    names, paths = frozenset(columns), [column.split(".") for column in columns]
    found = False
    for record in records:
        if isinstance(record, RowFault):
            yield record
            return
        line, cells = record
        if not any(cell and not cell.isspace() for cell in cells):
            continue  # a blank line, or the empty rows that spreadsheets leave at the end
        found = True
        yield _ragged(line, len(cells), len(columns)) or _row(line, cells, paths, names)
    if not found:
        yield RowFault(header_line, None, "there is no row after the header", is_fatal=True)


def _ragged(line: int, cells: int, columns: int) -> RowFault | None:
    if cells == columns:
        return None
    return RowFault(line, None, f"the row has {cells} cells, the header has {columns}")


def _row(line: int, cells: Sequence[str], paths: Sequence[Sequence[str]], columns: frozenset[str]) -> Row | RowFault:
    body: dict[str, Any] = {}
    for cell, path in zip(cells, paths, strict=True):
        value = cell.strip()
        if not value:
            continue
        if path == [""]:
            return RowFault(line, None, f"{value!r} stands in a column without a name")
        _place(body, path, value)
    return Row(line, body, body.pop(KEY_COLUMN, None), columns)


def _place(body: dict[str, Any], path: Sequence[str], value: str) -> None:
    for name in path[:-1]:
        body = body.setdefault(name, {})
    body[path[-1]] = value
