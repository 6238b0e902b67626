"""`trunkline prune`: delete old history, while everything goes on."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial

import click
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from models import act, partitioning, pruning
from models.base import is_retryable, read, rfc3339, write
from models.clock import time_of
from models.partitioning import Partition
from models.pruning import Portion
from worker.cli.actor import actor
from worker.cli.database import database
from worker.cli.filtering import Duration
from worker.cli.output import say, say_json, warn
from worker.cli.progress import Board, Snapshot, board
from worker.cli.run import Refusal, command, settings, wants_json


@command("prune", answers=True)
@click.option("--older-than", type=Duration(), metavar="SPAN", help="[default: TRUNKLINE_HISTORY_KEPT_FOR]")
@click.option(
    "--rate", type=click.IntRange(100), default=50_000, show_default=True, help="rows deleted a second, at the most"
)
@click.option("--dry-run", is_flag=True, help="say how much would go, and change nothing")
@click.option("--yes", is_flag=True, help="do not ask first")
def prune(*, older_than: timedelta | None, rate: int, dry_run: bool, yes: bool) -> None:
    """Delete the history of requests that ended long ago, with their results and callbacks. Irreversible.

    Requests stay, and so do their idempotency keys, numbers, batches and the audit: a file that is sent again after
    years still buys nothing twice. What is open, waits to be sent or was not understood stays too, however old.

    It may be run while everything goes on, and be killed and run again: each portion is a transaction of its own. Where
    `trunkline partition` has divided the tables, months that are old as a whole are dropped.

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
        pruner = _Pruner(engine, before, rate, dry_run=dry_run)
        gone = {kind: pruner.prune(kind) for kind in pruning.KINDS}
        pruner.drop_what_is_empty("calls")
    if wants_json():
        say_json({"before": rfc3339(before), "dry_run": dry_run} | gone | {"dropped": pruner.dropped})
        return
    counts = ", ".join(f"{count:,} {kind}" for kind, count in gone.items())
    say(f"{'Would delete' if dry_run else 'Deleted'}, from before {rfc3339(before)}: {counts}.")
    if pruner.dropped:
        say(f"{'Would drop' if dry_run else 'Dropped'} whole: {', '.join(pruner.dropped)}.")


def _note(session: Session, before: datetime) -> None:
    act.record(session, actor(), "history.prune", "*", time_of(session), data={"before": rfc3339(before)})


class _Pruner:
    def __init__(self, engine: Engine, before: datetime, rate: int, *, dry_run: bool) -> None:
        self._engine, self._before, self._rate, self._dry_run = engine, before, rate, dry_run
        self.dropped: list[str] = []

    def prune(self, kind: str) -> int:
        """How many rows went. Of a divided table a month goes when all of it is old, whole where nothing in it is still
        needed: to delete a part of it each night would be the work that it was divided to be spared."""
        table = pruning.table_of(kind)
        partitions = read(self._engine, lambda session: partitioning.of(session, table))
        first, months = (partitions[0], partitions[1:]) if partitions else (None, [])
        with board(quiet=wants_json()) as shown:
            gone = self._through(kind, shown, first, may_delete=not self._dry_run).gone
            for month in filter(self._is_old, months):
                found = self._through(kind, shown, month, may_delete=False)
                if found.gone == found.seen:
                    gone += found.gone if self._drop(table, month) else 0
                elif self._dry_run:
                    gone += found.gone
                else:
                    gone += self._through(kind, shown, month, may_delete=True).gone
        return gone

    def drop_what_is_empty(self, table: str) -> None:
        """Its rows have an age at which they go by themselves."""
        for month in read(self._engine, lambda session: partitioning.of(session, table))[1:]:
            is_empty = partial(partitioning.is_empty, name=month.name)
            if self._is_old(month) and read(self._engine, is_empty):
                self._drop(table, month)

    def _is_old(self, month: Partition) -> bool:
        return month.upper is not None and month.upper <= self._before

    def _drop(self, table: str, month: Partition) -> bool:
        try:
            if self._dry_run or write(self._engine, partial(partitioning.drop, table=table, name=month.name)):
                self.dropped.append(month.name)
        except DBAPIError as error:
            if not is_retryable(error):
                raise
            warn(f"{month.name} is held by somebody (a backup?): it stays until the next time.")
            return False
        return True

    def _through(self, kind: str, shown: Board, among: Partition | None, *, may_delete: bool) -> Portion:
        """All portions of a table or a partition, as one. To see whether all of it may go, up to what may not."""
        seen = gone = 0
        for portion in self._portions(kind, among, may_delete=may_delete):
            seen, gone = seen + portion.seen, gone + portion.gone
            shown.show(kind, Snapshot(seen, None, {"gone": gone}))
            if gone < seen and not may_delete and not self._dry_run:
                break
        return Portion(None, seen, gone)

    def _portions(self, kind: str, among: Partition | None, *, may_delete: bool) -> Iterator[Portion]:
        after, until = pruning.FIRST, None
        if among is not None:
            after, until = partitioning.ids_of(among)
        run: Callable[[Engine, Callable[[Session], Portion]], Portion] = write if may_delete else read
        while True:
            began = time.monotonic()
            look = partial(pruning.prune, kind=kind, before=self._before, until=until, may_delete=may_delete)
            portion = run(self._engine, partial(look, after=after))
            yield portion
            if portion.next is None:
                return
            after = portion.next
            if may_delete:
                time.sleep(max(0.0, portion.seen / self._rate - (time.monotonic() - began)))


def _confirm(before: datetime, *, is_sure: bool) -> None:
    if is_sure:
        return
    if not sys.stdin.isatty():
        raise Refusal(f"add --yes to delete what is from before {rfc3339(before)}; nothing was changed")
    click.confirm(f"Delete the history from before {rfc3339(before)}?", abort=True, err=True)
