"""The long-running Celery processes: a worker, and the relay. Each takes over the process it is called in."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from celery import Celery, bootsteps
from celery.signals import worker_ready, worker_shutting_down

from models.base import make_engine
from models.migrations import require_current
from worker.alive import EVERY, Sign
from worker.app import QUEUES, configure
from worker.beat import RelayScheduler
from worker.logs import set_up_logging
from worker.settings import Settings

log = logging.getLogger(__name__)


def run_worker(settings: Settings, concurrency: int, queues: Sequence[str] = QUEUES, sign: Sign | None = None) -> None:
    """Work on these queues until told to stop. Raises SchemaOutOfDate, WrongOrder.

    Prefork: a child that dies takes only its own chunks with it, which others look up; each child has an event loop
    to itself; and Celery's time limit, which ends a child whose inbox or relay task hangs, works with no other pool.

    Celery's worker ends itself on what it takes for unrecoverable: now and then, when the broker goes away, on a
    connection that kombu 5.7 has half closed ('NoneType' object has no attribute 'hostname'). One that was at work then
    begins anew, as the same process, whether or not somebody supervises it.
    """
    _check_schema(settings)
    app = configure(settings)
    set_up_logging(settings.environment.log_level, settings.environment.log_format)
    if sign is not None:
        _show(sign, settings, app)
    seen: set[str] = set()
    worker_ready.connect(lambda **_: seen.add("ready"), weak=False)
    worker_shutting_down.connect(lambda **_: seen.add("told to stop"), weak=False)
    work: Callable[[list[str]], object] = app.worker_main
    work(
        [
            "--quiet",  # its banner is no line of a log
            "worker",
            f"--concurrency={concurrency}",
            f"--queues={','.join(queues)}",
            f"--hostname=worker-{os.getpid()}@%h",
            "--pool=prefork",
            f"--loglevel={settings.environment.log_level.value}",
            # None of these is of use to workers that talk through the database, and each costs messages.
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
            # Without it no monitor could turn them on later: with the three above Celery has no sender of events.
            *(["--task-events"] if settings.environment.task_events else []),
        ]
    )
    if seen == {"ready"}:
        log.error("Celery's worker gave up, though nobody told it to stop: it begins anew")
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 -- ourselves, with our own words


def run_relay(settings: Settings, sign: Sign | None = None) -> None:
    """Send a tick every second until told to stop. Raises SchemaOutOfDate, WrongOrder."""
    _check_schema(settings)
    app = configure(settings)
    set_up_logging(settings.environment.log_level, settings.environment.log_format)
    level = settings.environment.log_level.value
    if sign is not None:
        sign.begin(settings.broker_url)
        RelayScheduler.sign = sign
    app.Beat(scheduler_cls="worker.beat:RelayScheduler", loglevel=level, quiet=True, max_interval=1).run()


def _show(sign: Sign, settings: Settings, app: Celery[Any]) -> None:
    """Have the worker touch its file from now on."""

    class Show(bootsteps.StartStopStep):
        """By the consumer's own timer: it stands still with the loop that takes messages."""

        def start(self, parent: Any) -> None:
            sign.show()
            self.entry = parent.timer.call_repeatedly(EVERY.total_seconds(), sign.show)

        def stop(self, parent: Any) -> None:
            self.entry.cancel()

    sign.begin(settings.broker_url)
    app.steps["consumer"].add(Show)


def _check_schema(settings: Settings) -> None:
    engine = make_engine(settings.database_url)
    require_current(engine)
    engine.dispose()
