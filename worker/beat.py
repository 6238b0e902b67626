"""The relay process: Celery beat with one job, which it does not pile up while nobody works."""

from __future__ import annotations

import logging
from typing import Any, ClassVar

from celery.beat import ScheduleEntry, Scheduler

from worker import hints
from worker.alive import Sign
from worker.app import RELAY

log = logging.getLogger(__name__)

MOST_WAITING = 3
"""Ticks in the queue. A worker that comes back after a night needs one, not 40,000."""


class RelayScheduler(Scheduler):
    """Keeps its schedule in memory: it is one line of code, and a missed tick is made up by the next."""

    sign: ClassVar[Sign | None] = None
    """Shown at each tick, also one that the broker does not take."""

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:
        if self.sign is not None:
            self.sign.show()
        try:
            if hints.waiting(RELAY) < MOST_WAITING:
                self.apply_async(entry, producer=producer, advance=False)
        except Exception as error:  # noqa: BLE001 -- beat must outlive its broker: the next tick tries again
            log.warning("no tick: the broker does not answer (%s)", type(error).__name__)
