"""Serving the application in production: granian, a server in Rust that runs the WSGI application in threads.

`tests/bench/receiver_servers.py`, durable callbacks on PostgreSQL, one process of 8 threads, 32 connections, the load
on the same two cores: granian 1,200/s at a median of 26 ms, waitress 970/s at 32, gunicorn (gthread) 890/s at 35. It
also reads slow headers outside of Python, so that they hold no thread. What it does worse than those two: an upload or
a download that breaks off looks complete to the other side. `bodies` and `results` see to that.
"""

from __future__ import annotations

import multiprocessing
import os
from tempfile import TemporaryDirectory

import flask
from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels

from models.base import make_engine
from models.migrations import require_current
from webhook_receiver import Serves, create_app
from webhook_receiver.metrics import FOLDER_VARIABLE
from worker.logs import set_up_logging
from worker.settings import Settings, load

THREADS = 16
"""Of Python, in each process. Callbacks that wait for one another share a transaction: with 8 threads a callback cost
0.70 ms of CPU, with 16 0.58, with 32 and 64 as much, since more of them wait for the GIL."""

BACKLOG = 2048
"""Connections that the kernel holds for us while all threads are busy."""

STOP_WITHIN = 4
"""Seconds for answers under way when told to stop. Less than what a supervisor gives us before it kills."""

HEADERS_WITHIN = 10_000
"""Milliseconds. Who sends headers more slowly holds a connection, though never a thread."""

LARGEST_HEADERS = 128 * 1024
"""Bytes of request line and headers together."""


def serve(settings: Settings, host: str, port: int, processes: int | None = None, serves: Serves = Serves.ALL) -> None:
    """Serve until SIGTERM or SIGINT, then finish the answers under way. Raises SchemaOutOfDate.

    The server logs nothing of single requests: their paths may hold tokens. `access_log` does, where it is asked to.
    """
    _require_schema(settings)
    with TemporaryDirectory(prefix="trunkline-metrics-") as folder:
        os.environ[FOLDER_VARIABLE] = folder
        # A forked child would keep this process's idea of where counts go, and its threads' locks.
        multiprocessing.set_start_method("spawn", force=True)
        Granian(
            f"webhook_receiver.server:{_FACTORIES[serves]}",
            factory=True,
            address=host,
            port=port,
            interface=Interfaces.WSGI,
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(header_read_timeout=HEADERS_WITHIN, max_buffer_size=LARGEST_HEADERS),
            websockets=False,
            workers=processes or _processes(settings),
            blocking_threads=THREADS,
            backlog=BACKLOG,
            backpressure=BACKLOG,
            respawn_failed_workers=True,
            workers_kill_timeout=STOP_WITHIN,
            log_access=False,
            log_level=LogLevels.error,
        ).serve()


def application() -> flask.Flask:
    """What each process of the server makes for itself."""
    return _make(Serves.ALL)


def console_alone() -> flask.Flask:
    """As `application`, for the console on an address of its own."""
    return _make(Serves.CONSOLE)


_FACTORIES = {Serves.ALL: "application", Serves.CONSOLE: "console_alone"}


def _make(serves: Serves) -> flask.Flask:
    settings = load()
    set_up_logging(settings.environment.log_level, settings.environment.log_format)
    return create_app(settings, connections=THREADS, serves=serves)


def _processes(settings: Settings) -> int:
    """SQLite has one writer at a time, so a second process would only wait; PostgreSQL serves one for each core."""
    if settings.database_url.startswith("sqlite"):
        return 1
    return max(1, min(4, os.cpu_count() or 1))


def _require_schema(settings: Settings) -> None:
    engine = make_engine(settings.database_url)
    try:
        require_current(engine)
    finally:
        engine.dispose()
