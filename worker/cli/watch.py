"""`trunkline watch`: follow a batch, or everything, to the end."""

from __future__ import annotations

import sys

import click

from models.base import read
from worker.cli.database import database
from worker.cli.liveness import why_idle
from worker.cli.output import say, say_json, warn
from worker.cli.progress import board
from worker.cli.references import the_batch
from worker.cli.run import FAILURES, command, settings, wants_json
from worker.cli.watching import has_failures, summary, watch_all, watch_batch


@command("watch", answers=True)
@click.argument("batch", required=False)
def watch(batch: str | None) -> None:
    """Follow a BATCH (id or name), or without one all requests, until everything has ended.

    Ends earlier where only a person can end the rest (held). The exit status of a batch is 1 where a request of it
    failed, was cancelled or is held.
    """
    configured = settings()
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
