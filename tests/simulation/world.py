"""A clock, a schedule, and processes that take turns: what runs next, and what dies, is drawn and can be replayed.

Production code is written to block. So each piece of work has an OS thread of its own, but only one of all threads
ever runs: it hands on when it waits. What looks like concurrency is decided by the schedule alone.
"""

from __future__ import annotations

import heapq
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from models.clock import Clock

START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)

MICROSECONDS = 1_000_000

MOST_EVENTS = 4_000
"""In one run. More is work that goes round in circles."""


class Crashed(BaseException):
    """The process is gone. Not an Exception, so that nothing that handles errors can outlive it."""


class Stuck(Exception):
    """The simulation cannot go on: a fault in it, or work that goes round in circles."""


class Fiber:
    """An OS thread that runs only while it is resumed. Kept and used again, since making one is dear."""

    _idle: ClassVar[list[Fiber]] = []

    def __init__(self) -> None:
        self._go, self._back = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._back.acquire()
        self._work: Callable[[], None] | None = None
        threading.Thread(target=self._run, name="fiber", daemon=True).start()

    @classmethod
    def begin(cls, work: Callable[[Fiber], None]) -> None:
        """Run `work` until it waits or ends. It is given the fiber that it runs on."""
        fiber = cls._idle.pop() if cls._idle else cls()
        fiber._work = lambda: work(fiber)
        fiber.resume()

    def resume(self) -> None:
        self._go.release()
        self._back.acquire()

    def wait(self) -> None:
        """Called on the fiber itself: let the schedule go on until somebody resumes it."""
        self._back.release()
        self._go.acquire()

    def _run(self) -> None:
        while True:
            self._go.acquire()
            assert self._work is not None
            self._work()
            self._work = None
            self._idle.append(self)
            self._back.release()


@dataclass(frozen=True, slots=True)
class Plan:
    """When processes die or stand still, by the number of the point."""

    crashes: frozenset[int] = frozenset()
    freezes: Mapping[int, timedelta] = field(default_factory=dict)

    @property
    def is_quiet(self) -> bool:
        return not self.crashes and not self.freezes


class World:
    """One run: its clock, what is to happen, and what has happened."""

    def __init__(self, seed: int, plan: Plan) -> None:
        self.random = random.Random(seed)
        self.plan = plan
        self.now = 0  # microseconds since the start
        self.points = 0
        self.lines: list[str] = []
        self.faults: list[str] = []  # what the promise forbids, seen on the way
        self.current: Process | None = None
        self.round_at: Callable[[], int | None] = lambda: None  # when something happens that is not in the schedule
        self.crashed = self.frozen = 0
        self.waiting: dict[Fiber, Process] = {}
        self._names: dict[UUID, str] = {}
        self._schedule: list[tuple[int, int, Callable[[], None]]] = []
        self._events = 0

    @property
    def moment(self) -> datetime:
        return START + timedelta(microseconds=self.now)

    def name(self, id_: UUID, letter: str = "r") -> str:
        """A short name that is the same in every replay; ids are not."""
        return self._names.setdefault(id_, f"{letter}{len(self._names)}")

    def say(self, who: str, what: str) -> None:
        seconds, rest = divmod(self.now, MICROSECONDS)
        self.lines.append(f"{seconds:7d}.{rest:06d} #{self.points:<3d} {who:9s} {what}")

    def blame(self, fault: str) -> None:
        self.say("JUDGE", fault)
        self.faults.append(fault)

    def dies_in(self, points: int) -> None:
        """Whoever comes to the so-manieth point from here dies there."""
        self.plan = replace(self.plan, crashes=self.plan.crashes | {self.points + points})

    def at(self, time: int, what: Callable[[], None]) -> None:
        self._events += 1
        heapq.heappush(self._schedule, (max(time, self.now), self._events, what))

    def after(self, delay: timedelta, what: Callable[[], None]) -> None:
        self.at(self.now + round(delay.total_seconds() * MICROSECONDS), what)

    def next_at(self) -> int | None:
        return self._schedule[0][0] if self._schedule else None

    def passes(self, time: int) -> bool:
        """Let time pass at once, where nothing else happens before: nobody need hand on then. Says whether it did."""
        if any(other is not None and other <= time for other in (self.next_at(), self.round_at())):
            return False
        self.now = max(self.now, time)
        return True

    def step(self) -> None:
        """Let the next event happen. Raises Stuck after far too many."""
        if self._events > MOST_EVENTS:
            raise Stuck(f"{MOST_EVENTS} events, and no end")
        self.now, _, what = heapq.heappop(self._schedule)
        what()

    def end(self) -> None:
        """Let no fiber wait for what will not come any more."""
        for fiber, process in list(self.waiting.items()):
            process.is_alive = False
            process.resume(fiber)


class Process:
    """Something that can die: a worker, the receiver. What it held in memory is gone then; what it sent is not."""

    def __init__(self, world: World, name: str, lag: timedelta = timedelta()) -> None:
        self.world, self.name, self.clock = world, name, SimulatedClock(world, lag)
        self.is_alive = True
        self.on_death: Callable[[], None] = _nothing
        self._frozen_until = 0
        self._fibers: dict[int, Fiber] = {}

    @property
    def is_awake(self) -> bool:
        """Whether it lives and does not stand still."""
        return self.is_alive and self.world.now >= self._frozen_until

    def run(self, work: Callable[[], Any]) -> None:
        """Do this now, on a fiber of its own. The process's death ends it without a word."""

        def whole(fiber: Fiber) -> None:
            self._fibers[threading.get_ident()] = fiber
            try:
                if self.is_alive:
                    work()
            except Crashed:
                pass
            except Exception as error:  # noqa: BLE001 -- whatever it is, the judge is to see it
                self.world.blame(f"{self.name} broke off: {type(error).__name__}: {error}")
            finally:
                del self._fibers[threading.get_ident()]

        before, self.world.current = self.world.current, self
        Fiber.begin(whole)
        self.world.current = before

    def sleep(self, seconds: float) -> None:
        """Wait on the world's clock, longer where the process is frozen. Raises Crashed where it died meanwhile."""
        self._sleep_until(self.world.now + round(seconds * MICROSECONDS))

    def _sleep_until(self, time: int) -> None:
        fiber = self._fibers[threading.get_ident()]
        while not self._is_over(time):
            if not self.world.passes(time):
                self.world.waiting[fiber] = self
                self.world.at(time, lambda: self.resume(fiber))
                fiber.wait()
            time = max(time, self._frozen_until)

    def _is_over(self, time: int) -> bool:
        if not self.is_alive:
            raise Crashed
        return self.world.now >= time

    def resume(self, fiber: Fiber) -> None:
        """Let this fiber of the process go on."""
        del self.world.waiting[fiber]
        before, self.world.current = self.world.current, self
        fiber.resume()
        self.world.current = before

    def point(self, what: str, *, may_freeze: bool = True) -> timedelta:
        """Before or after something that others can see. Here the process may die, or stand still for as long as is
        returned. Raises Crashed."""
        if not self.is_alive:
            raise Crashed
        world = self.world
        world.points += 1
        world.say(self.name, what)
        if world.points in world.plan.crashes:
            self.kill()
            raise Crashed
        stays = world.plan.freezes.get(world.points)
        if stays is None or not may_freeze:
            return timedelta()
        world.frozen += 1
        world.say(self.name, f"stands still for {stays.total_seconds():g} s")
        self._frozen_until = world.now + round(stays.total_seconds() * MICROSECONDS)
        self._sleep_until(self._frozen_until)
        return stays

    def kill(self) -> None:
        self.world.crashed += 1
        self.world.say(self.name, "dies")
        self.is_alive = False
        self.on_death()


def _nothing() -> None:
    """Nobody is told."""


class SimulatedClock(Clock):
    """The world's clock, as a process knows it: behind by no more than a reading of it may take."""

    def __init__(self, world: World, lag: timedelta = timedelta()) -> None:
        self._world, self._lag = world, lag

    def now(self) -> datetime:
        return self._world.moment - self._lag

    def monotonic(self) -> float:
        return self._world.now / MICROSECONDS
