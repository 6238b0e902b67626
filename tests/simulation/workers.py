"""The workers of a run, which die and come back, and the relay's rounds."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

from models import upstream
from models.base import write
from tests.simulation.broker import Broker
from tests.simulation.database import Database
from tests.simulation.loop import SimulatedLanes, SimulatedLoop
from tests.simulation.product import act_as, settings
from tests.simulation.requester import Requester, SimulatedDestinations
from tests.simulation.scenario import Scenario
from tests.simulation.vendor import NAME, Client, Vendor
from tests.simulation.world import MICROSECONDS, START, Process, World
from worker import tasks
from worker.app import DELIVERIES, INBOX, UPSTREAM_QUEUES
from worker.limits import Limits
from worker.runtime import Runtime
from worker.signing import Uris
from worker.switches import Switches
from worker.upstreams.base import Order

QUEUE = UPSTREAM_QUEUES[NAME]

RESTARTS_AFTER = timedelta(seconds=2)
RESUMED_AFTER = timedelta(minutes=5)
PROMPT = timedelta(milliseconds=200)
"""Within which a hint leads to a claim, where nothing is in its way."""

_DUE = """
    SELECT min(due_at) FROM requests WHERE due_at IS NOT NULL
    UNION ALL SELECT min(due_at) FROM deliveries WHERE due_at IS NOT NULL
    UNION ALL SELECT min(due_at) FROM inbox WHERE due_at IS NOT NULL
    UNION ALL SELECT min(due_at) FROM stock_watches WHERE NOT EXISTS (SELECT 1 FROM upstream_pauses)
    UNION ALL SELECT min(updated_at) FROM requests WHERE reason = 'upstream_paused' AND due_at IS NULL
        AND state = 'queued' AND NOT EXISTS (SELECT 1 FROM upstream_pauses)
"""
"""For each kind of work when the relay next has something to do; of a paused upstream's, only what is out there."""

_PAUSED_OR_PARKED = """
    SELECT 1 FROM upstream_pauses
    UNION ALL SELECT 1 FROM requests WHERE reason = 'upstream_paused' AND due_at IS NULL AND state = 'queued'
"""

_WORK = {
    "SELECT 1 FROM requests WHERE due_at <= ? LIMIT 1": QUEUE,
    "SELECT 1 FROM stock_watches WHERE due_at <= ? LIMIT 1": QUEUE,
    "SELECT 1 FROM inbox WHERE due_at <= ? LIMIT 1": INBOX,
    "SELECT 1 FROM deliveries WHERE due_at <= ? LIMIT 1": DELIVERIES,
}

_NEVER_CLAIMED = {
    "requests": "SELECT count(*) FROM requests WHERE fence = 0 AND due_at < ?",
    "inbox": "SELECT count(*) FROM inbox WHERE fence = 0 AND due_at < ?",
}


class SimulatedSwitches(Switches):
    """Looks nothing up in a thread, whose turn no seed decides: a claim's own look is simulated."""

    def _start(self) -> None:
        """Begins nothing."""


class Workers:
    """They share a database, a broker and the vendor, and nothing else."""

    def __init__(
        self,
        world: World,
        scenario: Scenario,
        database: Database,
        vendor: Vendor,
        requester: Requester,
        uris: Uris,
    ) -> None:
        self.world, self.scenario, self.database, self.uris = world, scenario, database, uris
        self.vendor, self.requester = vendor, requester
        self.broker = Broker(world, scenario, database, self._give)
        self.has_prompt_hints = scenario.has_prompt_hints
        self.waited_for_relay: list[str] = []  # the tables with rows of which nobody was told
        self._ticked_at = 0
        self._is_resumed_later = False
        self._due: tuple[int, int | None] = (-1, None)
        self._runtimes: dict[str, Runtime] = {}
        self._processes = [self._worker(f"worker {number}") for number in range(scenario.workers)]

    def _worker(self, name: str) -> Process:
        process = Process(self.world, name, self.scenario.lag * self.world.random.random())
        self._runtimes[name] = Runtime(
            settings=settings(),
            engine=self.database.engine,
            clock=process.clock,
            limits=Limits(None, process.clock.monotonic),
            loop=SimulatedLoop(process),
            lanes=SimulatedLanes(process),
            uris=self.uris,
            destinations=SimulatedDestinations(process, self.requester),
            switches=SimulatedSwitches(frozenset),
            _clients={NAME: Client(process, self.vendor, self.scenario.style, self._check_books)},
        )
        process.on_death = partial(self.world.after, RESTARTS_AFTER, partial(self._restart, process))
        return process

    def _restart(self, dead: Process) -> None:
        self._processes[self._processes.index(dead)] = self._worker(dead.name)

    def _give(self, queue: str) -> bool:
        """Give a message to a worker."""
        living = [worker for worker in self._processes if worker.is_alive]
        if not living:
            return False
        worker = self.world.random.choice(living)
        worker.run(partial(self._work, worker, queue))
        return True

    def _work(self, worker: Process, queue: str) -> None:
        act_as(self._runtimes[worker.name])
        self.world.say(worker.name, f"takes a hint for {queue}")
        match queue:
            case _ if queue == INBOX:
                tasks.read_inbox()
            case _ if queue == DELIVERIES:
                tasks.deliver()
            case _:
                tasks.advance(NAME)

    def round_at(self) -> int | None:
        """When the relay next finds something: it looks every second, and what is due tells when that is of use."""
        if self._due[0] != self.database.changes():
            rows = self.database.rows(_DUE)
            due = min((due_at for (due_at,) in rows if due_at is not None), default=None)
            self._due = (self.database.changes(), None if due is None else _micro(due))
            self._resume_where_paused()
        due_at = self._due[1]
        if due_at is None:
            return None
        earliest = max(due_at, self._ticked_at, self.world.now)
        return (earliest // MICROSECONDS + 1) * MICROSECONDS

    def tick(self) -> None:
        """A round of the relay."""
        self._ticked_at = self.world.now
        awake = [worker for worker in self._processes if worker.is_awake]
        if not awake:
            return
        worker = self.world.random.choice(awake)
        self._note_what_waits()

        def work() -> None:
            act_as(self._runtimes[worker.name])
            self.broker.is_relays = True
            try:
                if self.scenario.whole_relay or self.database.rows(_PAUSED_OR_PARKED):
                    tasks.tick()
                else:
                    self._hint_what_is_due()
            finally:
                self.broker.is_relays = False

        worker.run(work)

    def _hint_what_is_due(self) -> None:
        """What a round of the relay comes to while nothing is paused, without most of its queries: a third of a run's
        time is theirs."""
        now = self.world.moment.replace(tzinfo=None).isoformat(" ", "microseconds")
        for query, queue in _WORK.items():
            if self.database.rows(query, now) and not self.broker.waiting[queue]:
                self.broker.want(queue, 1)

    def _note_what_waits(self) -> None:
        """What nobody was told of: with prompt hints the relay never finds anything that has just been committed."""
        if not self.has_prompt_hints:
            return
        since = (self.world.moment - PROMPT).replace(tzinfo=None).isoformat(" ")
        for table, query in _NEVER_CLAIMED.items():
            if self.database.rows(query, since) != [(0,)]:
                self.waited_for_relay.append(table)

    def _resume_where_paused(self) -> None:
        """A paused upstream is resumed by a person, some minutes later."""
        if self._is_resumed_later or not self.database.rows("SELECT 1 FROM upstream_pauses"):
            return
        self._is_resumed_later = True

        def resume() -> None:
            self.world.say("person", "resumes the upstream")
            write(self.database.engine, lambda session: upstream.resume(session, NAME))
            self._is_resumed_later = False

        self.world.after(RESUMED_AFTER, resume)

    def _check_books(self, order: Order, froze: timedelta) -> None:
        """At the moment of sending: what is ordered stands in the books, for good."""
        if self.database.is_in_transaction():
            self.world.blame("ordered within a transaction")
        rows = self.database.rows("SELECT state FROM requests WHERE id = ?", order.request_id.hex)
        if not rows or (rows != [("submitting",)] and not froze):
            self.world.blame(f"I5: ordered {self.world.name(order.request_id)}, which the books have as {rows}")


def _micro(text: str) -> int:
    return round((datetime.fromisoformat(text) - START.replace(tzinfo=None)).total_seconds() * MICROSECONDS)
