"""All figures, in one run on this machine: a table, the same for programs, and a picture.

    python -m tests.bench [--size full|tiny] [--rounds 3] [--out .bench]

writes `table.md`, `results.json` and `picture.png` into a folder. Contenders take turns, so that a slow minute of the
machine falls on all of them; a figure is the median of its rounds. `tiny` shows only that it still runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.bench import broker, callbacks, end_to_end, growth, intake, lists, memory, picture, scaling, urgent
from tests.bench.alone import Part
from tests.bench.machine import machine
from tests.bench.row import as_json, as_table
from tests.bench.stage import stage

PARTS: tuple[Part, ...] = (
    end_to_end.rows,
    intake.rows,
    callbacks.rows,
    urgent.rows,
    memory.rows,
    growth.rows,
    lists.rows,
    broker.rows,
    scaling.rows,
)


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("full", "tiny"), default="full")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(".bench"))
    arguments = parser.parse_args(words)
    with stage() as on:
        rows = [row for part in PARTS for row in part(on, is_full=arguments.size == "full", rounds=arguments.rounds)]
    table = f"{machine()}\n\n{as_table(rows)}"
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "table.md").write_text(table)
    (arguments.out / "results.json").write_text(as_json(rows))
    picture.draw(rows, arguments.out / "picture.png")
    sys.stdout.write(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
