"""The long-running Celery processes: a worker, and the relay. Each takes over the process it is called in."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence

from celery.signals import worker_ready, worker_shutting_down

from models.base import make_engine
from models.migrations import require_current
from worker.app import QUEUES, configure
from worker.settings import Settings

log = logging.getLogger(__name__)

LOG_FORMAT = "%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s"

_TELL_TOO_MUCH = ("httpx", "httpcore", "aiohttp.client", "aiohttp.access", "sqlalchemy.engine")
"""These log whole URLs, and ours hold tokens; or, at DEBUG, the rows that are read, with secrets and callers' numbers.
So they may not, whatever level is asked for."""


def set_up_logging(level: int = logging.INFO) -> None:
    logging.basicConfig(level=level, format=LOG_FORMAT)
    for name in _TELL_TOO_MUCH:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("celery.app.trace").setLevel(logging.WARNING)  # a line for each hint tells nobody anything
    logging.getLogger("celery.worker.strategy").setLevel(logging.WARNING)
    # On RabbitMQ, that messages with a delay would block a worker: at each start, once a queue. We send none.
    logging.getLogger("kombu.transport.native_delayed_delivery").setLevel(logging.ERROR)


def run_worker(settings: Settings, concurrency: int, queues: Sequence[str] = QUEUES) -> None:
    """Work on these queues until told to stop. Raises SchemaOutOfDate, WrongOrder.

    Prefork: a child that dies takes only its own chunks with it, which others look up; each child has an event loop
    to itself; and Celery's time limit, which ends a child whose inbox or relay task hangs, works with no other pool.

    Celery's worker ends itself on what it takes for unrecoverable: now and then, when the broker goes away, on a
    connection that kombu 5.7 has half closed ('NoneType' object has no attribute 'hostname'). One that was at work then
    begins anew, as the same process, whether or not somebody supervises it.
    """
    _check_schema(settings)
    app = configure(settings)
    set_up_logging()
    seen: set[str] = set()
    worker_ready.connect(lambda **_: seen.add("ready"), weak=False)
    worker_shutting_down.connect(lambda **_: seen.add("told to stop"), weak=False)
    work: Callable[[list[str]], object] = app.worker_main
    work(
        [
            "worker",
            f"--concurrency={concurrency}",
            f"--queues={','.join(queues)}",
            f"--hostname=worker-{os.getpid()}@%h",
            "--pool=prefork",
            "--loglevel=INFO",
            # None of these is of use to workers that talk through the database, and each costs messages.
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
        ]
    )
    if seen == {"ready"}:
        log.error("Celery's worker gave up, though nobody told it to stop: it begins anew")
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 -- ourselves, with our own words


def run_relay(settings: Settings) -> None:
    """Send a tick every second until told to stop. Raises SchemaOutOfDate, WrongOrder."""
    _check_schema(settings)
    app = configure(settings)
    set_up_logging()
    app.Beat(scheduler_cls="worker.beat:RelayScheduler", loglevel="INFO", quiet=True, max_interval=1).run()


def _check_schema(settings: Settings) -> None:
    engine = make_engine(settings.database_url)
    require_current(engine)
    engine.dispose()
