"""One run of a scenario: the product's own workers and receiver, between a model vendor and a model requester."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import partial
from unittest import mock

from tests.simulation.database import database
from tests.simulation.outside import Outside
from tests.simulation.product import settings
from tests.simulation.requester import Requester
from tests.simulation.scenario import Scenario
from tests.simulation.vendor import NAME, ModelDialect, Vendor
from tests.simulation.workers import QUEUE, Workers
from tests.simulation.world import MICROSECONDS, Stuck, World
from worker import backoff, hints, relay, runtime, settling
from worker.signing import Tokens, Uris
from worker.upstreams import DIALECTS

HORIZON = timedelta(days=5)
"""Everything must have ended by then. The slowest is an accepted order of which nothing more is heard: 53 hours."""


class Run:
    """What there is in one run. `run` it, then ask the judge."""

    def __init__(self, seed: int, scenario: Scenario) -> None:
        self.seed, self.scenario = seed, scenario
        self.world = World(seed, scenario.plan)
        self.database = database()
        self.vendor = Vendor(self.world, scenario, settings().upstreams[NAME].settles_within)
        self.requester = Requester(self.world, list(scenario.replies))
        self._uris = Uris(settings().public_url, Tokens(settings().secret_keys))

    @contextmanager
    def going(self) -> Iterator[None]:
        """The product's process-wide objects are this run's, until the end."""
        with ExitStack() as stack:
            stack.enter_context(self.database.of(self.world))
            random.seed(self.seed)
            self.outside = Outside(self.world, self.database, self._uris)
            self.workers = Workers(self.world, self.scenario, self.database, self.vendor, self.requester, self._uris)
            broker = self.workers.broker
            stack.enter_context(mock.patch.object(hints, "_sender", return_value=broker))
            stack.enter_context(mock.patch.object(hints, "waiting_in", broker.waiting_in))
            stack.enter_context(mock.patch.object(relay, "UPSTREAM_QUEUES", {NAME: QUEUE}))
            stack.enter_context(mock.patch.object(settling, "_random", self.world.random))
            stack.enter_context(mock.patch.object(backoff, "_random", self.world.random))
            stack.enter_context(mock.patch.dict(DIALECTS, {NAME: ModelDialect()}))
            stack.enter_context(mock.patch.dict(runtime._made))
            self.vendor.call_back = self.outside.receive
            self.world.round_at = self.workers.round_at
            try:
                yield
            except Stuck as stuck:
                self.world.blame(f"I1: {stuck}")
            finally:
                self.world.end()

    def run(self) -> None:
        """From the first request until nothing is due any more."""
        with self.going():
            self._plan()
            self.drain()

    def run_for(self, time: timedelta) -> None:
        """Let so much time pass, with all that happens in it."""
        end = self.world.now + round(time.total_seconds() * MICROSECONDS)
        while self.step(end):
            pass
        self.world.now = max(self.world.now, end)

    def drain(self) -> None:
        """Let time pass until nothing is due and nobody is at anything."""
        end = self.world.now + round(HORIZON.total_seconds() * MICROSECONDS)
        while self.step():
            if self.world.now > end:
                self.world.blame("I1: something is still due after days")
                return

    def step(self, until: int | None = None) -> bool:
        """The next event, or the next round of the relay. False where there is none, or none before `until`."""
        event, round_ = self.world.next_at(), self.workers.round_at()
        first = min((time for time in (event, round_) if time is not None), default=None)
        if first is None or (until is not None and first > until):
            return False
        if first == round_ and (event is None or round_ < event):
            self.world.now = round_
            self.workers.tick()
        else:
            self.world.step()
        return True

    def _plan(self) -> None:
        chance = self.world.random
        for number in range(self.scenario.requests):
            self.world.after(timedelta(seconds=chance.random()), partial(self.outside.submit, str(number)))
        for intruder in self.scenario.intruders:
            self.world.after(timedelta(minutes=1) * chance.random(), partial(self.outside.intrude, intruder))
        for person, when in self.scenario.persons:
            self.world.after(when, partial(self.outside.act, person))
