"""The long-running Celery processes: a worker, and the relay. Each takes over the process it is called in."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

from models.base import make_engine
from models.migrations import require_current
from worker.app import QUEUES, configure
from worker.settings import Settings

LOG_FORMAT = "%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s"

_TELLS_URLS = ("httpx", "httpcore", "aiohttp.client", "aiohttp.access")
"""These log whole URLs, and ours hold tokens."""


def set_up_logging(level: int = logging.INFO) -> None:
    logging.basicConfig(level=level, format=LOG_FORMAT)
    for name in _TELLS_URLS:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("celery.app.trace").setLevel(logging.WARNING)  # a line for each hint tells nobody anything
    logging.getLogger("celery.worker.strategy").setLevel(logging.WARNING)


def run_worker(settings: Settings, concurrency: int, queues: Sequence[str] = QUEUES) -> None:
    """Work on these queues until told to stop. Raises SchemaOutOfDate, WrongOrder.

    Prefork: a child that dies takes only its own chunks with it, which others look up; each child has an event loop
    to itself; and Celery's time limit, which ends a child whose inbox or relay task hangs, works with no other pool.
    """
    _check_schema(settings)
    app = configure(settings)
    set_up_logging()
    app.worker_main(
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
