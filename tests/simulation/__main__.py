"""`make simulate`: many seeds, each story's every crash, or one run again with its log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from multiprocessing import get_context

import click
from rich.console import Console
from rich.table import Table

from tests.simulation import explore
from tests.simulation.explore import WALKS, Tally, portions, run_one, scenario_of, walk
from tests.simulation.stories import STORIES
from tests.simulation.world import Plan

PORTION = 100
"""Seeds that a process runs before it is heard of."""

TOLD = 10
"""How often each kind of run tells how far it is."""

out = Console(highlight=False, soft_wrap=True, width=160)


@click.command()
@click.option("--seeds", type=int, default=100_000, show_default=True, help="how many, beside all walks")
@click.option("--first", type=int, default=0, show_default=True, help="the first of them")
@click.option("--jobs", type=int, default=2, show_default=True, help="processes")
@click.option("--walks/--no-walks", default=True, help="also walk through each story")
@click.option("--seed", type=int, help="run this one again, and print its log")
@click.option("--frozen", is_flag=True, help="the seed's process stands still")
@click.option("--story", type=click.Choice(list(STORIES)), help="run this one again, and print its log")
@click.option("--crash", default="", help="points, comma-separated")
@click.option("--freeze", default="", help="points, each with seconds: 12:400")
def main(
    *,
    seeds: int,
    first: int,
    jobs: int,
    walks: bool,
    seed: int | None,
    frozen: bool,
    story: str,
    crash: str,
    freeze: str,
) -> None:
    """Simulate Trunkline between a vendor, a requester and a broker that fail, on a clock that a seed drives."""
    if seed is not None:
        sys.exit(_replay(seed, frozen=frozen))
    if story:
        sys.exit(_replay_story(story, _plan(crash, freeze)))
    began, failed = time.monotonic(), 0
    table = Table(
        "", "runs", "failed", "requests", "held", "points", "crashes", "pauses", "bought twice, having stood still"
    )
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for name, work in _plans(seeds, first, walks=walks).items():
            tally = Tally()
            for done, one in enumerate(pool.map(explore.call, work), 1):
                tally.merge(one)
                if done * TOLD // len(work) > (done - 1) * TOLD // len(work):
                    elapsed = time.monotonic() - began
                    out.print(
                        f"{name}: {done / len(work):.0%}, {tally.runs:,} runs, {tally.failed} failed, {elapsed:.0f} s"
                    )
            failed += tally.failed
            _show(table, name, tally)
    out.print(table)
    out.print(f"{time.monotonic() - began:.0f} s")
    sys.exit(1 if failed else 0)


def _plans(seeds: int, first: int, *, walks: bool) -> dict[str, Sequence[Callable[[], Tally]]]:
    plans: dict[str, Sequence[Callable[[], Tally]]] = {}
    if walks:
        plans |= {f"every {how}": [partial(walk, name, how) for name in STORIES] for how in WALKS}
    plans["seeds"] = list(portions(seeds, first, PORTION, frozen=False))
    plans["seeds, standing still"] = list(portions(seeds // 10, first, PORTION, frozen=True))
    return plans


def _show(table: Table, name: str, tally: Tally) -> None:
    for how, faults in tally.shown:
        out.print(f"make simulate {how}")
        for fault in faults:
            out.print(f"    {fault}")
    rates = [
        f"{style}: {tally.in_the_window[style]} of {count}" for style, count in sorted(tally.styles.items()) if count
    ]
    cells = (tally.runs, tally.failed, tally.requests, tally.held, tally.points, tally.crashes, tally.freezes)
    table.add_row(name, *(f"{cell:,}" for cell in cells), ", ".join(rates))


def _replay(seed: int, *, frozen: bool) -> int:
    scenario = scenario_of(seed, frozen=frozen)
    verdict = run_one(seed, scenario)
    return _tell(str(scenario), verdict.log, verdict.faults, verdict.in_the_window)


def _replay_story(name: str, plan: Plan) -> int:
    verdict = run_one(0, replace(STORIES[name], plan=plan))
    return _tell(name, verdict.log, verdict.faults, verdict.in_the_window)


def _plan(crash: str, freeze: str) -> Plan:
    stays = dict(one.split(":") for one in freeze.split(",") if one)
    return Plan(
        crashes=frozenset(int(point) for point in crash.split(",") if point),
        freezes={int(point): timedelta(seconds=float(seconds)) for point, seconds in stays.items()},
    )


def _tell(scenario: str, log: Sequence[str], faults: Sequence[str], window: Sequence[str]) -> int:
    out.print(scenario)
    for line in log:
        out.print(line, markup=False)
    for fault in [*faults, *window]:
        out.print(fault, markup=False)
    out.print("failed" if faults else "as promised")
    return 1 if faults else 0


if __name__ == "__main__":
    main()
