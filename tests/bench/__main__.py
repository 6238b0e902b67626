"""All figures, in one run on this machine: a table, the same for programs, and a picture.

    python -m tests.bench [--size full|tiny] [--rounds 3] [--out .bench]

writes `table.md`, `results.json`, `picture.png` and `limits.png` into a folder. Contenders take turns, so that a slow
minute of the machine falls on all of them; a figure is the median of its rounds. `tiny` shows only that it still runs.
A part that fails has no rows; the others are written all the same, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.bench import (
    adapting,
    broker,
    callbacks,
    end_to_end,
    endpoints,
    fairness,
    growth,
    intake,
    limits,
    lists,
    memory,
    picture,
    pruning,
    scaling,
    urgent,
)
from tests.bench.alone import Part
from tests.bench.machine import machine
from tests.bench.row import Row, as_json, as_table
from tests.bench.stage import OUT, stage

PARTS: tuple[Part, ...] = (
    end_to_end.rows,
    intake.rows,
    callbacks.rows,
    urgent.rows,
    memory.rows,
    growth.rows,
    lists.rows,
    pruning.rows,
    scaling.rows,
    limits.rows,
    fairness.rows,
    endpoints.rows,
    adapting.rows,
    broker.rows,  # the last: orders that hang at the sandbox land there after it has ended
)


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("full", "tiny"), default="full")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args(words)
    rows: list[Row] = []
    is_whole = True
    with stage(arguments.out) as on:
        for part in PARTS:
            try:
                rows += part(on, is_full=arguments.size == "full", rounds=arguments.rounds)
            except (RuntimeError, AssertionError) as fault:
                # What the other parts take half an hour to find out is not thrown away for it.
                is_whole = False
                sys.stderr.write(f"{part.__module__} has no rows: {fault}\n")
            _write(rows, arguments.out)
    sys.stdout.write((arguments.out / "table.md").read_text())
    return 0 if is_whole else 1


def _write(rows: Sequence[Row], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.md").write_text(f"{machine()}\n\n{as_table(rows)}")
    (folder / "results.json").write_text(as_json(rows))
    picture.draw(rows, folder / "picture.png")


if __name__ == "__main__":
    sys.exit(main())
