"""How throughput and cost change with the number of processes, until the cores of this machine are full.

The sandbox, the requester and the servers are on the same cores; so what is full is told by all of them together.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tests.bench.alone import alone
from tests.bench.end_to_end import Run
from tests.bench.end_to_end import run as run_contender
from tests.bench.row import Row
from tests.bench.stage import Stage

COUNT, TINY = 3_000, 20
"""Requests of one round: some seconds' work."""

WORKERS = (1, 2, 4)
"""Processes that work. More than cores, since they wait for others."""

RECEIVERS = (1, 2)
"""Processes that take requests and callbacks."""

ROUNDS = 2
"""At the most: these are six contenders, and nothing is aimed at."""

Shape = tuple[int, int]
"""Processes that work, and that receive."""


def rows(on: Stage, *, is_full: bool, rounds: int) -> list[Row]:
    """Raises RuntimeError where books are wrong."""
    runs: dict[Shape, list[Run]] = {}
    for _ in range(min(rounds, ROUNDS)):
        for shape in SHAPES if is_full else SHAPES[:1]:
            done = run(on, shape, COUNT if is_full else TINY)
            sys.stderr.write(f"scaling, {_name(shape)}: {done}\n")
            runs.setdefault(shape, []).append(done)
    return [row for shape, done in runs.items() for row in _rows(_name(shape), done, runs[SHAPES[0]])]


def run(on: Stage, shape: Shape, count: int) -> Run:
    workers, receivers = shape
    done = run_contender(on, "trunkline", count, children=workers, receivers=receivers)
    if not done.is_right:
        raise RuntimeError(f"scaling, {_name(shape)}: {done}")
    return done


SHAPES: tuple[Shape, ...] = tuple((workers, receivers) for receivers in RECEIVERS for workers in WORKERS)


def _rows(name: str, runs: Sequence[Run], least: Sequence[Run]) -> list[Row]:
    """Beside the least of all shapes."""
    first, costs = _name(SHAPES[0]), [one.cost for one in runs]
    return [
        Row(f"scaling, {name}", [one.rate for one in runs], "requests/s", first, [one.rate for one in least]),
        Row(f"scaling, {name}: CPU", costs, "ms a request", first, [one.cost for one in least]),
        Row(f"scaling, {name}: cores busy", [sum(one.cpu.values()) / one.ended_after for one in runs], "cores"),
    ]


def _name(shape: Shape) -> str:
    workers, receivers = shape
    return f"{workers} working, {receivers} receiving"


if __name__ == "__main__":
    sys.exit(alone(rows, __doc__))
