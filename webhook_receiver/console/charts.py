"""Small charts, drawn on the server as SVG: what ended over a day, and how much of it failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from models.state import FINAL, State

WIDTH, HEIGHT = 288, 48
"""In the units of the drawing: a bar for each five minutes of a day is one unit wide and has room for two."""

STEP = timedelta(minutes=15)

Past = Sequence[tuple[datetime, Mapping[State, int]]]


@dataclass(frozen=True, slots=True)
class Bar:
    """What ended in one step. Heights are in the units of the drawing, from the ground."""

    x: float
    width: float
    ended: int
    failed: int
    ended_height: float
    failed_height: float
    began: datetime


@dataclass(frozen=True, slots=True)
class Chart:
    bars: tuple[Bar, ...]
    most: int  # that ended in one step
    total: int
    failed: int

    @property
    def words(self) -> str:
        """What it shows, for who cannot see it."""
        return f"{self.total:,} ended in the last day, {self.failed:,} of them failed"


def of_day(past: Past, now: datetime) -> Chart:
    """The last day of one upstream. Where nothing was written down, while nothing ran, there is a gap."""
    begin = now - timedelta(days=1)
    steps = int(timedelta(days=1) / STEP)
    ended, failed = [0] * steps, [0] * steps
    for (_, before), (at, after) in pairwise(past):
        place = min(steps - 1, max(0, int((at - begin) / STEP)))
        ended[place] += max(0, sum(after[state] - before[state] for state in FINAL))
        failed[place] += max(0, after[State.FAILED] - before[State.FAILED])
    most = max(ended)
    width = WIDTH / steps
    bars = tuple(
        Bar(
            round(place * width, 2),
            round(width * 0.8, 2),
            ended[place],
            failed[place],
            _height(ended[place], most),
            _height(failed[place], most),
            begin + place * STEP,
        )
        for place in range(steps)
        if ended[place]
    )
    return Chart(bars, most, sum(ended), sum(failed))


def _height(count: int, most: int) -> float:
    """At least one unit for anything at all: one failure among thousands is to be seen."""
    return round(max(1.0, HEIGHT * count / most), 2) if count else 0.0
