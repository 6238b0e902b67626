"""What is wrong with a bulk file, gathered: every bad row is counted, the first are told with line and field."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from worker.bulk.row import Row, RowFault, dotted
from worker.fault import Fault

MOST_TOLD = 100
"""Faults. Whoever has more mends these first, or has one mistake a hundred times."""


MOST_ALIKE = 5
"""Faults of one field with the same words: more say no more, and would hide what else is wrong."""

_Alike = tuple[str | None, str]


class BadRows(Exception):
    """The file was not taken: nothing of it. `faults` are the first `MOST_TOLD`, `total_bad` counts rows."""

    def __init__(self, faults: list[RowFault], total_bad: int, total: int) -> None:
        super().__init__(f"{total_bad} of {total} rows are wrong" if total else "the file cannot be taken")
        self.faults = faults
        self.total_bad = total_bad
        self.total = total


class Findings:
    """Gathers faults as rows go by."""

    def __init__(self) -> None:
        self.total_bad = 0
        self.is_fatal = False
        self._told: list[RowFault] = []
        self._alike: Counter[_Alike] = Counter()
        self._missing: dict[_Alike, list[int]] = {}  # columns that are not there: the first line, and how many rows

    def add(self, fault: RowFault) -> None:
        """A row that could not be read, or a fault of the whole file."""
        self.total_bad += not fault.is_fatal
        self.is_fatal = self.is_fatal or fault.is_fatal
        self._tell(fault)

    def add_row(self, row: Row, faults: Sequence[Fault]) -> None:
        """A row that was read, and its faults."""
        self.total_bad += 1
        for fault in faults:
            field = dotted(fault.pointer)
            if field is not None and _has_no_column(row, field):
                first_and_count = self._missing.setdefault((field, fault.detail), [row.line, 0])
                first_and_count[1] += 1
            else:
                self._tell(RowFault(row.line, field, fault.detail))

    def told(self) -> list[RowFault]:
        """At most `MOST_TOLD` faults, in the file's order. A missing column is one fault of the header; of faults
        that are alike the first `MOST_ALIKE` are told, and the last of them says how many more there are."""
        missing = [
            RowFault(1, field, f"there is no column with this name; {_rows(count)}, first line {line}: {detail}")
            for (field, detail), (line, count) in self._missing.items()
        ]
        return sorted([*missing, *self._with_counts()], key=_line_of)[:MOST_TOLD]

    def error(self, total: int) -> BadRows:
        return BadRows(self.told(), self.total_bad, total)

    def _tell(self, fault: RowFault) -> None:
        alike = (fault.field, fault.detail)
        if alike in self._alike or len(self._told) < MOST_TOLD:
            self._alike[alike] += 1
            if self._alike[alike] <= MOST_ALIKE and len(self._told) < MOST_TOLD:
                self._told.append(fault)

    def _with_counts(self) -> Iterator[RowFault]:
        seen: Counter[_Alike] = Counter()
        for fault in self._told:
            alike = (fault.field, fault.detail)
            seen[alike] += 1
            more = self._alike[alike] - MOST_ALIKE
            if seen[alike] == MOST_ALIKE and more > 0:
                yield replace(fault, detail=f"{fault.detail} (and {more:,} more like this)")
            else:
                yield fault


def _rows(count: int) -> str:
    return "1 row needs it" if count == 1 else f"{count:,} rows need it"


def _line_of(fault: RowFault) -> int:
    return fault.line


def _has_no_column(row: Row, field: str) -> bool:
    """Whether it takes a new column to mend the row: neither this field nor anything in it has one."""
    if row.columns is None or field in row.columns:
        return False
    return not any(column.startswith(f"{field}.") or field.startswith(f"{column}.") for column in row.columns if column)
