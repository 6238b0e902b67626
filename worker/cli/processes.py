"""`trunkline worker`, `relay`, `receiver` and `console`: the production processes, each one in the foreground."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from worker.alive import Sign
from worker.app import QUEUES
from worker.cli.run import command, settings
from worker.serving import run_relay, run_worker

CHILDREN = 3
"""Processes of one worker. Three keep two cores busy; waiting for upstreams is done in threads and holds up none."""

alive_file: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "--alive-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="touched while the loop turns, for `trunkline alive`",
)


@command("worker")
@click.option("--concurrency", type=click.IntRange(1, 64), default=CHILDREN, show_default=True, help="child processes")
@click.option(
    "--queues",
    default=",".join(QUEUES),
    show_default="all",
    help="comma-separated; a worker for deliveries alone keeps slow requesters away from orders",
)
@alive_file
def worker(concurrency: int, queues: str, alive_file: Path | None) -> None:
    """Order, look up, read callbacks, deliver results.

    \b
    Examples:
      trunkline worker
      trunkline worker --queues trunkline.deliveries --concurrency 1
    """
    names = [name.strip() for name in queues.split(",") if name.strip()]
    if unknown := sorted(set(names) - set(QUEUES)):
        raise click.BadParameter(f"{', '.join(unknown)}: not one of {', '.join(QUEUES)}", param_hint="--queues")
    run_worker(settings(), concurrency, names, _sign(alive_file))


@command("relay")
@alive_file
def relay(alive_file: Path | None) -> None:
    """Find, once a second, what is due and not hinted. Two of them do no harm.

    \b
    Example: trunkline relay
    """
    run_relay(settings(), _sign(alive_file))


def _sign(path: Path | None) -> Sign | None:
    """Raises BadParameter where the file cannot be written."""
    if path is not None and not os.access(path.parent, os.W_OK):
        raise click.BadParameter(f"{path.parent} is not there or cannot be written to", param_hint="--alive-file")
    return None if path is None else Sign(path)


@command("receiver")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True)
def receiver(host: str, port: int) -> None:
    """Serve the API, the callbacks and the documentation.

    \b
    Example: trunkline receiver --host 0.0.0.0 --port 8080
    """
    _become_receiver("--host", host, "--port", str(port))


@command("console")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), default=8081, show_default=True)
def console(host: str, port: int) -> None:
    """Serve the console alone, on an address of its own: neither API nor callbacks.

    With TRUNKLINE_CONSOLE=false the receiver does not serve it too.

    \b
    Example: trunkline console --host 10.0.0.5 --port 8081
    """
    _become_receiver("--host", host, "--port", str(port), "--console")


def _become_receiver(*options: str) -> None:
    settings()  # a fault is told here, in words, and not in a server's log
    words = [sys.executable, "-m", "webhook_receiver", *options]
    os.execv(sys.executable, words)  # noqa: S606 -- becomes the receiver, so that signals reach it
