"""`trunkline batch`: bulk jobs, and what a person may do to one."""

from __future__ import annotations

import sys
from typing import Any

import click
import sqlalchemy as sa
from sqlalchemy.orm import Session

from models import counter
from models.base import read, write
from models.batch import Batch, view
from models.state import FINAL, State
from worker.batch_steering import ACTS
from worker.batch_steering import limit as limit_batch
from worker.cli.actor import actor
from worker.cli.completing import batches
from worker.cli.confirming import confirm
from worker.cli.database import database
from worker.cli.output import say, say_json, say_table, warn
from worker.cli.references import the_batch
from worker.cli.run import command, settings, wants_json
from worker.cli.steer import NotAllowed
from worker.explain.explanation import Risk
from worker.steering import NotNow

COLUMNS = ("id", "name", "state", "total", "ended", "completed", "failed", "held", "created_at")

the_one = click.argument("reference", metavar="BATCH", shell_complete=batches)


@click.group("batch")
def batch() -> None:
    """See bulk jobs, pause them, resume them, cancel them. BATCH is an id, or the newest of that name."""


@command("list", group=batch, answers=True)
@click.option("--limit", type=click.IntRange(1, 1_000), default=20, show_default=True)
def list_(limit: int) -> None:
    """List batches, the newest first.

    \b
    Example: trunkline batch list --limit 5
    """
    with database(settings()) as engine:
        found = read(engine, lambda session: _newest(session, limit))
    if wants_json():
        say_json({"data": found})
        return
    say_table(COLUMNS, [[_cell(one, name) for name in COLUMNS] for one in found])


def _newest(session: Session, limit: int) -> list[dict[str, Any]]:
    rows = session.scalars(sa.select(Batch).order_by(Batch.id.desc()).limit(limit)).all()
    counts = counter.of_batches(session, [row.id for row in rows])
    return [view(row, counts.get(row.id, {})) for row in rows]


def _cell(shown: dict[str, Any], column: str) -> Any:
    if column == "ended":
        return sum(shown["counts"][state] for state in FINAL)
    return shown["counts"][column] if column in set(State) else shown[column]


@command("pause", group=batch, answers=True)
@the_one
def pause(reference: str) -> None:
    """Order nothing more of a batch. Safe: what is ordered goes on to its end.

    \b
    Example: trunkline batch pause dealers.csv
    """
    _steer(reference, "pause", "is paused; what is ordered goes on to its end")


@command("resume", group=batch, answers=True)
@the_one
def resume(reference: str) -> None:
    """Let a paused batch go on: it buys what was asked for.

    \b
    Example: trunkline batch resume dealers.csv
    """
    _steer(reference, "resume", "goes on")


@command("cancel", group=batch, answers=True)
@the_one
@click.option("--dry-run", is_flag=True, help="show how many would end; do nothing")
@click.option("--yes", is_flag=True, help="do not ask on a terminal")
def cancel(*, reference: str, dry_run: bool, yes: bool) -> None:
    """Withdraw all of a batch that is not ordered yet. Irreversible; what is ordered goes on to its end.

    On a terminal it has you type how many would end. Requests that are held are cancelled by: trunkline cancel --batch
    NAME --state held.

    \b
    Examples:
      trunkline batch cancel dealers.csv --dry-run
      trunkline batch cancel dealers.csv
    """
    if dry_run or (sys.stdin.isatty() and not wants_json() and not yes):
        with database(settings()) as engine:
            name, shown = read(engine, lambda session: _shown(session, reference))
        queued = shown["counts"][State.QUEUED.value]
        told = f"{queued:,} of {shown['total']:,} requests of {name} are not ordered yet, and would end as cancelled."
        if dry_run:
            _say_dry_run(told, shown, queued)
            return
        warn(f"Irreversible. {told}")
        confirm(queued, Risk.IRREVERSIBLE, is_sure=yes)
    _steer(reference, "cancel", "is cancelled; what is not ordered yet ends, some thousands a second")


def _shown(session: Session, reference: str) -> tuple[str, dict[str, Any]]:
    found = the_batch(session, reference)
    return found.name, view(found, counter.of_batch(session, found.id))


def _say_dry_run(told: str, shown: dict[str, Any], queued: int) -> None:
    if wants_json():
        say_json({"batch": shown, "would_cancel": queued})
    else:
        say(told)
        warn("This was a look alone: nothing was done.")


@command("limit", group=batch, answers=True)
@the_one
@click.option("--max-numbers", type=click.IntRange(0, 2**31 - 1), help="the most that may be bought for it")
@click.option("--unlimited", is_flag=True, help="any number")
def limit(reference: str, *, max_numbers: int | None, unlimited: bool) -> None:
    """Say how many numbers may be bought for a batch in all. Raised, what waits goes on by itself; what is bought stays
    bought.

    \b
    Examples:
      trunkline batch limit dealers.csv --max-numbers 100
      trunkline batch limit dealers.csv --unlimited
    """
    if unlimited == (max_numbers is not None):
        raise click.UsageError("say --max-numbers N, or --unlimited")

    def work(session: Session) -> tuple[str, dict[str, Any]]:
        found = limit_batch(session, the_batch(session, reference).id, max_numbers, actor())
        return found.name, view(found, counter.of_batch(session, found.id))

    with database(settings()) as engine:
        name, shown = write(engine, work)
    if wants_json():
        say_json(shown)
    else:
        most = "any number of" if max_numbers is None else f"{max_numbers:,}"
        say(f"Batch {name} ({shown['id']}) may take {most} numbers.")


def _steer(reference: str, act: str, done: str) -> None:
    def work(session: Session) -> tuple[str, dict[str, Any]]:
        changed = ACTS[act](session, the_batch(session, reference).id, actor())
        return changed.name, view(changed, counter.of_batch(session, changed.id))

    with database(settings()) as engine:
        try:
            name, shown = write(engine, work)
        except NotNow as error:
            raise NotAllowed(f"{reference}: {error}") from None
    if wants_json():
        say_json(shown)
    else:
        say(f"Batch {name} ({shown['id']}) {done}.")
