"""`trunkline watch`: follow a batch, or everything, to the end."""

from __future__ import annotations

import sys

import click

from models.base import read
from worker.cli.completing import batches
from worker.cli.database import database
from worker.cli.live.app import Live
from worker.cli.live.desk import Desk
from worker.cli.liveness import why_idle
from worker.cli.output import say, say_json, warn
from worker.cli.progress import board
from worker.cli.references import the_batch
from worker.cli.run import FAILURES, command, settings, wants_json
from worker.cli.watching import has_failures, summary, watch_all, watch_batch


@command("watch", answers=True)
@click.argument("batch", required=False, shell_complete=batches)
def watch(batch: str | None) -> None:
    """Follow a BATCH (id or name) until everything of it has ended; or, without one, watch all that there is.

    On a terminal, without BATCH: a screen that lives until you leave it (q), with states, upstreams, what is unknown or
    held, and how fast it goes; Enter leads to the requests behind a figure and to the story of one, ? tells the keys.
    Elsewhere, or with --json, it ends when all requests have ended, or only a person can end the rest (held).

    \b
    Examples:
      trunkline watch
      trunkline watch dealers.csv
      trunkline watch --json

    \b
    Exit status: 0 done; 1 a request of the BATCH failed, was cancelled or is held; 2 bad usage; 3 the database could
    not be reached.
    """
    configured = settings()
    if batch is None and not wants_json() and all(one.isatty() for one in (sys.stdin, sys.stdout, sys.stderr)):
        with database(configured) as engine:
            Live(Desk(engine, configured)).run()
        return
    with database(configured) as engine, board(quiet=wants_json()) as shown:
        found = None if batch is None else read(engine, lambda session: the_batch(session, batch))
        if (idle := why_idle(engine, configured)) is not None:
            warn(idle)
        counts = watch_all(engine, shown) if found is None else watch_batch(engine, found.id, shown)
    if wants_json():
        told = {} if found is None else {"batch": str(found.id)}
        say_json(told | {"counts": {state.value: count for state, count in counts.items()}})
    else:
        say(summary(counts))
    if found is not None and has_failures(counts):
        sys.exit(FAILURES)
