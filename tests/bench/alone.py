"""One part of the benchmark by itself: `python -m tests.bench.PART [--size full|tiny] [--rounds 1]`."""

from __future__ import annotations

import argparse
import sys
from typing import Protocol

from tests.bench.row import Row, as_table
from tests.bench.stage import Stage, stage


class Part(Protocol):
    """What each part of the benchmark offers."""

    def __call__(self, on: Stage, *, is_full: bool, rounds: int) -> list[Row]:
        """Measure, `rounds` times where the part does not say otherwise. Raises RuntimeError where books are wrong."""


def alone(part: Part, about: str | None) -> int:
    """Run a part as the command line asks, and print its table."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("full", "tiny"), default="full")
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    with stage() as on:
        rows = part(on, is_full=arguments.size == "full", rounds=arguments.rounds)
    sys.stdout.write(as_table(rows))
    return 0
