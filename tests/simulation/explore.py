"""Running many seeds or a story's every crash, and adding up what the judge says."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

from tests.simulation import stories
from tests.simulation.judge import Verdict, judge
from tests.simulation.product import settings
from tests.simulation.run import Run
from tests.simulation.scenario import Scenario, draw
from tests.simulation.stories import STORIES
from tests.simulation.vendor import NAME
from tests.simulation.world import Plan

SHOWN = 10
"""Failures that are told of, of however many."""

WALKS = {
    "crash": stories.crashed,
    "crash-twice": stories.crashed_twice,
    "freeze": stories.frozen,
}


@dataclass(slots=True)
class Tally:
    """What came of many runs. Tallies add up."""

    runs: int = 0
    failed: int = 0
    requests: int = 0
    held: int = 0
    points: int = 0
    crashes: int = 0
    freezes: int = 0
    in_the_window: Counter[str] = field(default_factory=Counter)  # by how the vendor sells
    styles: Counter[str] = field(default_factory=Counter)
    shown: list[tuple[str, list[str]]] = field(default_factory=list)  # how to replay it, and what was wrong

    def add(self, verdict: Verdict, scenario: Scenario, how: str) -> None:
        self.runs += 1
        self.requests += verdict.requests
        self.held += verdict.held
        self.points += verdict.points
        self.crashes += verdict.crashes
        self.freezes += verdict.freezes
        self.styles[scenario.style] += verdict.freezes > 0
        self.in_the_window[scenario.style] += bool(verdict.in_the_window)
        if verdict.faults:
            self.failed += 1
            self.shown = [*self.shown, (how, verdict.faults)][:SHOWN]

    def merge(self, other: Tally) -> None:
        self.runs += other.runs
        self.failed += other.failed
        self.requests += other.requests
        self.held += other.held
        self.points += other.points
        self.crashes += other.crashes
        self.freezes += other.freezes
        self.styles += other.styles
        self.in_the_window += other.in_the_window
        self.shown = [*self.shown, *other.shown][:SHOWN]


def run_one(seed: int, scenario: Scenario) -> Verdict:
    """One run, judged. The same seed and scenario give the same log, byte for byte."""
    logging.disable(logging.CRITICAL)  # what goes wrong is the point of it, and the verdict tells
    try:
        run = Run(seed, scenario)
        run.run()
        return judge(run)
    finally:
        logging.disable(logging.NOTSET)


def scenario_of(seed: int, *, frozen: bool) -> Scenario:
    return draw(seed, settings().upstreams[NAME].settles_within, frozen=frozen)


def run_seeds(seeds: Iterable[int], *, frozen: bool = False) -> Tally:
    tally = Tally()
    for seed in seeds:
        scenario = scenario_of(seed, frozen=frozen)
        tally.add(run_one(seed, scenario), scenario, f"SEED={seed}" + (" FROZEN=1" if frozen else ""))
    return tally


def walk(name: str, how: str, every: int = 1) -> Tally:
    """Run a story with a crash, two, or a pause at every point that it has (or at every so-manieth)."""
    tally, story = Tally(), STORIES[name]
    undisturbed = run_one(0, story)
    tally.add(undisturbed, story, f"STORY='{name}'")
    for place, plan in enumerate(WALKS[how](undisturbed.points)):
        if place % every == 0:
            scenario = replace(story, plan=plan)
            tally.add(run_one(0, scenario), scenario, f"STORY='{name}' {_as_options(plan)}")
    return tally


def _as_options(plan: Plan) -> str:
    if plan.crashes:
        return "CRASH=" + ",".join(str(point) for point in sorted(plan.crashes))
    return "FREEZE=" + ",".join(f"{point}:{stays.total_seconds():g}" for point, stays in plan.freezes.items())


def call(work: Callable[[], Tally]) -> Tally:
    """For a process that is handed work. (It knows this module by name, which it does not of a program's own.)"""
    return work()


def portions(seeds: int, first: int, size: int, *, frozen: bool) -> Iterator[Callable[[], Tally]]:
    """The work of many seeds, in pieces that another process can do."""
    for start in range(first, first + seeds, size):
        yield partial(run_seeds, range(start, min(start + size, first + seeds)), frozen=frozen)
