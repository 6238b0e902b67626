"""What reading a bulk file gives: rows to be judged, and faults with the line that an editor shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One request as it stands in a file. `line` is where it begins, from 1."""

    line: int
    body: Mapping[str, Any]
    idempotency_key: str | None = None
    columns: frozenset[str] | None = None  # of a CSV, whose cells are all text; None where JSON says what they are


@dataclass(frozen=True, slots=True)
class RowFault:
    """Something wrong with a row. `field` is dotted, as a CSV's columns are; None where no one field is to blame."""

    line: int
    field: str | None
    detail: str
    is_fatal: bool = False  # it is about the whole file, or nothing after it can be read: not even `partial` helps


class Illegible(Exception):
    """The file cannot be read beyond here."""

    def __init__(self, line: int, detail: str) -> None:
        super().__init__(f"line {line}: {detail}")
        self.fault = RowFault(line, None, detail, is_fatal=True)


def dotted(pointer: str) -> str | None:
    """A JSON pointer as the name of a column: `/spec/service/type` is `spec.service.type`; the whole body is None."""
    steps = pointer.split("/")[1:]
    return ".".join(step.replace("~1", "/").replace("~0", "~") for step in steps) or None
