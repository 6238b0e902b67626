"""Places in flight for results: each destination has its own, so that one that hangs holds no other's.

Over all workers, as all limits are: see `worker.limits`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from models import sharing
from models.dispatch import Ready
from worker.limits import Limits, Permits

ALL = "deliveries"
MOST_IN_FLIGHT = 400
PER_SECOND = 2_000.0
"""For all destinations together."""

UNPROVEN = 20
"""In flight at a destination that has not answered lately: what it costs for one time-out where it hangs."""

PROVEN = 100
"""At one that took a result a moment ago: enough for a thousand a second."""

PROVEN_FOR = timedelta(seconds=10)

FAILING = 2
"""At one whose last results failed."""

MOST_REMEMBERED = 10_000


@dataclass(slots=True)
class Proven:
    """Which destinations took something lately, as this process has seen it."""

    _until: dict[UUID, float] = field(default_factory=dict)  # monotonic seconds

    def note(self, lines: Iterable[UUID]) -> None:
        if len(self._until) > MOST_REMEMBERED:
            self._until.clear()
        until = time.monotonic() + PROVEN_FOR.total_seconds()
        self._until.update(dict.fromkeys(lines, until))

    def forget(self, lines: Iterable[UUID]) -> None:
        for line in lines:
            self._until.pop(line, None)

    def __contains__(self, line: UUID) -> bool:
        return self._until.get(line, 0.0) > time.monotonic()


class Places:
    """Those that one set of results holds."""

    def __init__(self, limits: Limits, wanted: int, lease: timedelta) -> None:
        """Up to so many, each for no longer than this."""
        self._limits, self._lease = limits, lease
        self._all = limits.acquire(ALL, wanted, MOST_IN_FLIGHT, PER_SECOND, lease)
        self._of: dict[UUID, Permits] = {}

    @property
    def count(self) -> int:
        return self._all.count

    def deal(self, ready: Sequence[Ready], proven: Proven, now: datetime) -> dict[UUID, int]:
        """Share them out among destinations; what is left is given back."""
        by_id = {one.id: one for one in ready}
        for id_, share in sharing.shares(ready, self.count).items():
            most, rate = _limits_of(by_id[id_], proven, now)
            self._of[id_] = self._limits.acquire(_name(id_), min(share, most), most, rate, self._lease)
        dealt = {id_: permits.count for id_, permits in self._of.items() if permits.count}
        self._limits.give_back(self._all, self.count - sum(dealt.values()), unused=True)
        return dealt

    def keep(self, used: Counter[UUID]) -> None:
        """Give back what is not used."""
        for id_, permits in self._of.items():
            self._limits.give_back(permits, permits.count - used[id_], unused=True)
        self._limits.give_back(self._all, self.count - used.total(), unused=True)

    def free(self, ended: Counter[UUID]) -> None:
        """So many have ended at each."""
        for id_, count in ended.items():
            self._limits.give_back(self._of[id_], count)
        self._limits.give_back(self._all, ended.total())

    def end(self) -> None:
        for permits in (self._all, *self._of.values()):
            self._limits.give_back(permits, permits.count)


def hold_off(limits: Limits, line: UUID, wait: timedelta) -> None:
    """Send nothing there for so long: it asked for it."""
    limits.hold_off(_name(line), wait)


def _limits_of(ready: Ready, proven: Proven, now: datetime) -> tuple[int, float]:
    """How many in flight, and how many a second."""
    if ready.outage is None:
        return (PROVEN if ready.id in proven else UNPROVEN), PER_SECOND
    if (rate := ready.outage.rate(now)) is not None:
        return UNPROVEN, rate
    return (1 if ready.is_probe else FAILING), PER_SECOND


def _name(line: UUID) -> str:
    return f"{ALL}:{line}"
