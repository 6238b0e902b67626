"""What an upstream saw in the course of a run, half second by half second: as figures, and drawn."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from textwrap import fill

from matplotlib.figure import Figure

from tests.bench.picture import OURS, THEIRS

REFUSED, UNWELL = "#b5532a", "#f3e9e0"

LABEL = 14
"""Characters in a line of what is written over a span: those of a tenth of the picture."""

STEP = 0.5
"""Seconds of one point of the curve."""

SUSTAINED = 3.0
"""Seconds for which a rate must have held to count as reached: over shorter ones it jumps."""

ROOM = 1.3
"""Above the highest there is room for the legend."""


@dataclass(frozen=True)
class Span:
    """A time in which the upstream was in one mood."""

    name: str
    began: float  # seconds since the epoch, as all times here
    ended: float


@dataclass(frozen=True)
class Look:
    """The upstream's counts at a moment."""

    at: float
    in_flight: int  # calls
    refused: int  # calls, since the sandbox was reset


@dataclass(frozen=True)
class Point:
    after: float  # seconds since the first span began
    orders: float  # taken a second
    refused: float  # calls a second
    in_flight: float  # calls, on average


@dataclass(frozen=True)
class Curve:
    spans: Sequence[Span]  # one after the other
    arrived: Sequence[float]  # when each order that was taken did, in order
    looks: Sequence[Look]

    @property
    def refused(self) -> int:
        return self.looks[-1].refused - self.looks[0].refused

    def rate(self, span: Span) -> float:
        """Orders that were taken, a second."""
        return self._rate(span.began, span.ended)

    def reached_after(self, span: Span, rate: float) -> float:
        """Seconds from the beginning of the span until that rate had held; all of its seconds where it never did."""
        at = span.began + SUSTAINED
        while at <= span.ended:
            if self._rate(at - SUSTAINED, at) >= rate:
                return at - span.began
            at += STEP
        return span.ended - span.began

    def points(self) -> Iterator[Point]:
        times = [look.at for look in self.looks]
        began = at = self.spans[0].began
        while at + STEP <= self.spans[-1].ended:
            seen = self.looks[bisect_left(times, at) : bisect_left(times, at + STEP) + 1]
            if len(seen) > 1:  # else the machine kept us from looking
                refused = (seen[-1].refused - seen[0].refused) / (seen[-1].at - seen[0].at)
                in_flight = fmean(look.in_flight for look in seen)
                yield Point(at - began, self._rate(at, at + STEP), refused, in_flight)
            at += STEP

    def __str__(self) -> str:
        rates = ", ".join(f"{span.name}: {self.rate(span):.0f}" for span in self.spans)
        return f"orders a second, {rates}; {self.refused} calls were refused"

    def _rate(self, since: float, until: float) -> float:
        return (bisect_left(self.arrived, until) - bisect_left(self.arrived, since)) / (until - since)


def draw(curve: Curve, rate: float, in_flight: float, path: Path) -> None:
    """Write a PNG: orders a second above, calls in flight below, and each beside the limit that is set."""
    points = list(curve.points())
    after = [point.after + STEP / 2 for point in points]
    drawing = Figure(figsize=(9, 5), layout="constrained", dpi=120)
    above, below = drawing.subplots(2, 1, sharex=True)
    above.plot(after, [point.orders for point in points], color=OURS, label="orders taken, a second")
    above.plot(after, [point.refused for point in points], color=REFUSED, label="calls refused (429), a second")
    below.plot(after, [point.in_flight for point in points], color=OURS, label="calls in flight")
    most = max(point.orders for point in points), max(point.in_flight for point in points)
    for axes, limit, highest in ((above, rate, most[0]), (below, in_flight, most[1])):
        axes.axhline(limit, color=THEIRS, linestyle="--", label="the limit that is set")
        for span in curve.spans[1::2]:
            axes.axvspan(span.began - curve.spans[0].began, span.ended - curve.spans[0].began, color=UNWELL, zorder=0)
        axes.set_ylim(0, max(limit, highest) * ROOM)
        axes.legend(loc="upper right", fontsize=8, ncols=3, frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    for span in curve.spans:
        above.annotate(
            fill(span.name, LABEL), (span.began - curve.spans[0].began, 1), (2, 4), xycoords=("data", "axes fraction"),
            textcoords="offset points", fontsize=8,
        )  # fmt: skip
    below.set_xlabel("seconds")
    path.parent.mkdir(parents=True, exist_ok=True)
    drawing.savefig(path)
