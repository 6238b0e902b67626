"""A figure of the benchmark, and how the figures are shown: to people as a table, to programs as JSON."""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

_COMPARE: Mapping[str, Callable[[float, float], bool]] = {"≥": operator.ge, "≤": operator.le, "<": operator.lt}


@dataclass(frozen=True)
class Aim:
    """What a figure, or its ratio to a peer's, should come to."""

    compare: str  # ≥, ≤ or <
    bound: float
    of_ratio: bool = True

    def is_met(self, value: float, ratio: float | None) -> bool:
        figure = ratio if self.of_ratio else value
        return figure is not None and _COMPARE[self.compare](figure, self.bound)

    def __str__(self) -> str:
        return f"{self.compare} {self.bound:g}{' times' if self.of_ratio else ''}"


@dataclass(frozen=True)
class Row:
    """One figure, the median of its runs; `ratio` is to the peer's median in the same run of the benchmark."""

    name: str
    values: Sequence[float]
    unit: str
    peer: str | None = None
    peers: Sequence[float] = ()  # the peer's values
    aim: Aim | None = None
    note: str = ""

    @property
    def value(self) -> float:
        return median(self.values)

    @property
    def ratio(self) -> float | None:
        return self.value / median(self.peers) if self.peers else None

    @property
    def is_met(self) -> bool | None:
        """None where nothing is aimed at."""
        return None if self.aim is None else self.aim.is_met(self.value, self.ratio)

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "value": self.value,
            "min": min(self.values),
            "max": max(self.values),
            "unit": self.unit,
            "peer": self.peer,
            "peer_value": median(self.peers) if self.peers else None,
            "ratio": self.ratio,
            "aim": None if self.aim is None else str(self.aim),
            "met": self.is_met,
            "note": self.note,
        }


def percentile(values: Sequence[float], share: float) -> float:
    """The least of the values that this share of them do not exceed: 0.99 for the 99th percentile."""
    return sorted(values)[max(0, math.ceil(len(values) * share) - 1)]


def as_json(rows: Iterable[Row]) -> str:
    return json.dumps([row.as_dict() for row in rows], indent=1, ensure_ascii=False) + "\n"


def as_table(rows: Iterable[Row]) -> str:
    """Markdown, a line for each row."""
    head = ("what", "figure", "min to max", "beside", "its figure", "ratio", "aim", "met")
    lines = [_line(head), _line(["---"] * len(head))]
    lines += [_line(_cells(row)) for row in rows]
    return "\n".join(lines) + "\n"


def _cells(row: Row) -> Sequence[str]:
    peer = median(row.peers) if row.peers else None
    return (
        row.name,
        f"{figure(row.value)} {row.unit}",
        f"{figure(min(row.values))} to {figure(max(row.values))}" if len(row.values) > 1 else "",
        row.peer or "",
        "" if peer is None else f"{figure(peer)} {row.unit}",
        "" if row.ratio is None else f"{row.ratio:.2f}",
        "" if row.aim is None else str(row.aim),
        {None: "", True: "yes", False: "no"}[row.is_met],
    )


def figure(value: float) -> str:
    """Three digits, or all that stand before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
