"""A model broker: hints that are late, doubled or lost, and the workers that take them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import timedelta

from tests.simulation.database import Database
from tests.simulation.scenario import Scenario
from tests.simulation.world import World

TRAVELS = timedelta(milliseconds=3)
LATEST = timedelta(seconds=3)


class Broker:
    """In the place of the sender of hints, for all processes, and of the queues."""

    def __init__(self, world: World, scenario: Scenario, database: Database, take: Callable[[str], bool]) -> None:
        """`take` gives a message of this queue to a worker; False where none lives."""
        self._world, self._scenario, self._database, self._take = world, scenario, database, take
        self.waiting: Counter[str] = Counter()
        self.is_relays = False  # the relay's own hints are lost at most half of the time

    def want(self, queue: str, count: int) -> None:
        """As the sender of `worker.hints`."""
        process = self._world.current
        assert process is not None
        if self._database.is_in_transaction():
            self._world.blame(f"a hint for {queue} before the commit")
        process.point(f"hints {queue}")
        for _ in range(count):
            self._send(queue)

    def waiting_in(self, queues: Iterable[str]) -> dict[str, int]:
        """As in `worker.hints`."""
        return {queue: self.waiting[queue] for queue in queues}

    def _send(self, queue: str) -> None:
        chance, scenario = self._world.random, self._scenario
        if chance.random() < (min(scenario.hints_lost, 0.5) if self.is_relays else scenario.hints_lost):
            self._world.say("broker", f"loses a hint for {queue}")
            return
        for _ in range(2 if chance.random() < scenario.hints_doubled else 1):
            is_late = chance.random() < scenario.hints_late
            self._travel(queue, (LATEST if is_late else TRAVELS) * chance.random())

    def _travel(self, queue: str, time: timedelta) -> None:
        self.waiting[queue] += 1

        def arrive() -> None:
            self.waiting[queue] -= 1
            if not self._take(queue):
                self._travel(queue, timedelta(seconds=1))

        self._world.after(time, arrive)
