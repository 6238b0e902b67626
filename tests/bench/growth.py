"""What a request costs from end to end when there are already so many rows, beside what it costs when there are few.

    python -m tests.bench.growth [--sizes 1000 10000] [--requests 3000] [--rounds 1]

Each measurement has a database of its own, filled with requests that have ended, and processes of its own.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tests.bench.end_to_end import Run, measure
from tests.bench.filling import Filled
from tests.bench.row import Aim, Row, as_table
from tests.bench.stage import SERVERS, Stage, stage

SIZES = (1_000, 10_000, 100_000, 1_000_000)
"""Requests that have ended, with all that belongs to them: about fourteen rows each."""

REQUESTS = 3_000
"""Measured at each size: some seconds' work, three times what the smallest size has already."""

TINY_SIZES, TINY = (10, 30), 20

FLAT = Aim("≤", 1.10)


def run(on: Stage, size: int, count: int) -> Run:
    """The cost of `count` requests behind `size` others. Raises RuntimeError where the books are wrong."""
    with on.play(Filled, rows=size) as peer:
        done = measure(peer, on.roles, count)
    sys.stderr.write(f"behind {size:,} requests: {done}\n")
    if not done.is_right:
        raise RuntimeError(f"behind {size:,} requests: {done}")
    return done


def rows(on: Stage, *, is_full: bool, rounds: int, sizes: Sequence[int] = SIZES, requests: int = REQUESTS) -> list[Row]:
    """Every size beside the smallest. Each second round goes from the largest to the smallest."""
    if not is_full:
        sizes, requests = TINY_SIZES, TINY
    runs: dict[int, list[Run]] = {size: [] for size in sizes}
    for turn in range(rounds):
        for size in sizes if turn % 2 == 0 else reversed(sizes):
            runs[size].append(run(on, size, requests))
    few, *more = sizes
    return [
        Row(
            f"cost behind {size:,} requests, {whose}",
            _costs(runs[size], left_out),
            "ms of CPU",
            f"behind {few:,}",
            _costs(runs[few], left_out),
            FLAT,
        )
        for whose, left_out in (("our processes", SERVERS), ("ours and PostgreSQL", SERVERS[1:]))
        for size in more
    ]


def _costs(runs: Sequence[Run], left_out: Sequence[str]) -> list[float]:
    return [1_000 * sum(used for role, used in one.cpu.items() if role not in left_out) / one.requests for one in runs]


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args(words)
    with stage() as on:
        found = rows(on, is_full=True, rounds=arguments.rounds, sizes=arguments.sizes, requests=arguments.requests)
    sys.stdout.write(as_table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
