"""Progress for people: a bar with rate and time left on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from worker.cli.output import warn

WINDOW = 30.0
"""Seconds over which the rate is taken: long enough to be calm, short enough to follow a change."""

PACE = 5.0
"""Seconds between two plain lines."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How far something is. `counts` says where the rest stands, in words of the reader's choice."""

    done: int
    total: int | None
    counts: Mapping[str, int] = field(default_factory=dict)


class Board(Protocol):
    def show(self, title: str, snapshot: Snapshot) -> None:
        """Say how far it is. May be called as often as one likes."""


@contextmanager
def board(*, quiet: bool = False) -> Iterator[Board]:
    """Where progress is told: on standard error, so that the answer stands alone on standard output."""
    if quiet:
        yield _Silent()
    elif sys.stderr.isatty():
        with _bar() as progress:
            yield _Bar(progress)
    else:
        yield _Lines()


class Meter:
    """How many a second over the last `WINDOW`, and how long the rest takes at that rate."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def add(self, at: float, done: int) -> None:
        """`at` is in seconds, of any clock that only goes forward."""
        self._seen.append((at, done))
        while len(self._seen) > 2 and at - self._seen[0][0] > WINDOW:
            self._seen.popleft()

    @property
    def rate(self) -> float:
        (start, before), (end, now) = self._seen[0], self._seen[-1]
        return (now - before) / (end - start) if end > start else 0.0

    def left(self, snapshot: Snapshot) -> float | None:
        """Seconds; None where nothing moves or the end is not known."""
        if snapshot.total is None or self.rate <= 0:
            return None
        return (snapshot.total - snapshot.done) / self.rate


class _Silent:
    def show(self, title: str, snapshot: Snapshot) -> None:
        pass


class _Lines:
    def __init__(self) -> None:
        self._meter = Meter()
        self._title = ""
        self._said_at = 0.0

    def show(self, title: str, snapshot: Snapshot) -> None:
        now = time.monotonic()
        if title != self._title:
            self._title, self._meter, self._said_at = title, Meter(), now
        self._meter.add(now, snapshot.done)
        if now - self._said_at >= PACE:
            self._said_at = now
            warn(line(title, snapshot, self._meter))


class _Bar:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._meters: dict[str, tuple[TaskID, Meter]] = {}

    def show(self, title: str, snapshot: Snapshot) -> None:
        if title not in self._meters:
            self._meters[title] = (self._progress.add_task(title, total=None, told=""), Meter())
        task, meter = self._meters[title]
        meter.add(time.monotonic(), snapshot.done)
        told = ", ".join(_told(snapshot, meter))
        self._progress.update(task, completed=snapshot.done, total=snapshot.total, told=told)


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[told]}"))
    return Progress(*columns, console=Console(stderr=True))


def line(title: str, snapshot: Snapshot, meter: Meter) -> str:
    """`ended: 1,200 of 2,000, 310/s, 3 s left, 700 queued, 100 accepted`"""
    of = "" if snapshot.total is None else f" of {snapshot.total:,}"
    return f"{title}: " + ", ".join([f"{snapshot.done:,}{of}", *_told(snapshot, meter)])


def _told(snapshot: Snapshot, meter: Meter) -> Iterator[str]:
    yield f"{meter.rate:,.0f}/s"
    if (left := meter.left(snapshot)) is not None:
        yield f"{_duration(left)} left"
    yield from (f"{count:,} {what}" for what, count in snapshot.counts.items() if count)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
