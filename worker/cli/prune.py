"""`trunkline prune`: delete old history, while everything goes on."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial

import click
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models import act, pruning
from models.base import read, rfc3339, write
from models.clock import time_of
from models.pruning import Portion
from worker.cli.actor import actor
from worker.cli.database import database
from worker.cli.filtering import Duration
from worker.cli.output import say, say_json
from worker.cli.progress import Snapshot, board
from worker.cli.run import Refusal, command, settings, wants_json


@command("prune", answers=True)
@click.option("--older-than", type=Duration(), metavar="SPAN", help="[default: TRUNKLINE_HISTORY_KEPT_FOR]")
@click.option("--rate", type=click.IntRange(100), default=50_000, show_default=True, help="rows a second, at the most")
@click.option("--dry-run", is_flag=True, help="say how much would go, and change nothing")
@click.option("--yes", is_flag=True, help="do not ask first")
def prune(*, older_than: timedelta | None, rate: int, dry_run: bool, yes: bool) -> None:
    """Delete the history of requests that ended long ago, with their results and callbacks. Irreversible.

    Requests stay, and so do their idempotency keys, numbers, batches and the audit: a file that is sent again after
    years still buys nothing twice. What is open, waits to be sent or was not understood stays too, however old.

    It may be run while everything goes on, and be killed and run again: each portion is a transaction of its own.

    \b
    Examples: trunkline prune --older-than 365d --dry-run
              trunkline prune --older-than 365d --yes
    """
    configured = settings()
    span = older_than or timedelta(days=configured.environment.history_kept_for)
    if not span:
        raise Refusal("say how old: --older-than 365d, or set TRUNKLINE_HISTORY_KEPT_FOR to a number of days")
    with database(configured) as engine:
        before = read(engine, time_of) - span
        if not dry_run:
            _confirm(before, is_sure=yes)
            write(engine, lambda session: _note(session, before))
        gone = {kind: _prune(engine, kind, before, rate, dry_run=dry_run) for kind in pruning.KINDS}
    if wants_json():
        say_json({"before": rfc3339(before), "dry_run": dry_run} | gone)
        return
    counts = ", ".join(f"{count:,} {kind}" for kind, count in gone.items())
    say(f"{'Would delete' if dry_run else 'Deleted'}, from before {rfc3339(before)}: {counts}.")


def _note(session: Session, before: datetime) -> None:
    act.record(session, actor(), "history.prune", "*", time_of(session), data={"before": rfc3339(before)})


def _prune(engine: Engine, kind: str, before: datetime, rate: int, *, dry_run: bool) -> int:
    gone = 0
    with board(quiet=wants_json()) as shown:
        seen = 0
        for portion in _portions(engine, kind, before, rate, dry_run=dry_run):
            seen, gone = seen + portion.seen, gone + portion.gone
            shown.show(kind, Snapshot(seen, None, {"gone": gone}))
    return gone


def _portions(engine: Engine, kind: str, before: datetime, rate: int, *, dry_run: bool) -> Iterator[Portion]:
    after = pruning.FIRST
    run: Callable[[Engine, Callable[[Session], Portion]], Portion] = read if dry_run else write
    while True:
        began = time.monotonic()
        portion = run(engine, partial(pruning.prune, kind=kind, before=before, after=after, may_delete=not dry_run))
        yield portion
        if portion.next is None:
            return
        after = portion.next
        time.sleep(max(0.0, portion.seen / rate - (time.monotonic() - began)))


def _confirm(before: datetime, *, is_sure: bool) -> None:
    if is_sure:
        return
    if not sys.stdin.isatty():
        raise Refusal(f"add --yes to delete what is from before {rfc3339(before)}; nothing was changed")
    click.confirm(f"Delete the history from before {rfc3339(before)}?", abort=True, err=True)
