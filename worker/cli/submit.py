"""`trunkline submit`: a file of requests, taken whole or not at all."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, NoReturn
from uuid import UUID

import click
from sqlalchemy.engine import Engine

from models import counter
from models.base import read
from models.batch import Batch, BatchState, view
from models.clock import make_clock
from models.requester import DEFAULT_REQUESTER
from worker import bulk
from worker.bulk import Media, Row, RowFault
from worker.cli.actor import actor
from worker.cli.database import database, requester_named
from worker.cli.files import STANDARD_INPUT, digest_of, media_of, open_file
from worker.cli.liveness import hint, why_idle
from worker.cli.output import say, say_json, say_table, warn
from worker.cli.progress import Board, Snapshot, board
from worker.cli.run import BAD_INPUT, FAILURES, command, settings, wants_json
from worker.cli.watching import Counts, has_failures, summary, watch_batch
from worker.intake import BadRows, BatchTaken, Intake, Progress


@command("submit", answers=True)
@click.argument("file")
@click.option("--dry-run", is_flag=True, help="check every row, take none")
@click.option("--watch", "and_watch", is_flag=True, help="follow the batch to its end")
@click.option("--name", help="of the batch; without it, the file's name")
@click.option("--requester", default=DEFAULT_REQUESTER, show_default=True, help="for whom")
@click.option("--partial", is_flag=True, help="take the good rows even if others are bad")
@click.option(
    "--max-numbers", type=click.IntRange(1, 2**31 - 1), help="the most that may be bought for it; the others wait"
)
@click.option("--again", is_flag=True, help="order a file once more that was taken before")
@click.option("--format", "media", type=click.Choice(["csv", "ndjson", "json"]), help="if the file's name does not say")
def submit(
    *,
    file: str,
    dry_run: bool,
    and_watch: bool,
    name: str | None,
    requester: str,
    partial: bool,
    again: bool,
    max_numbers: int | None,
    media: Media | None,
) -> None:
    """Take a CSV, NDJSON or JSON file of requests (- for standard input).

    Every row is checked before the first is taken. The same file sent again, after a crash or by mistake, takes
    each row once.

    \b
    Examples:
      trunkline submit dealers.csv --dry-run
      trunkline submit dealers.csv --watch
      trunkline submit dealers.csv --name vic --max-numbers 100
    """
    configured = settings()
    with open_file(file) as stream, database(configured) as engine:
        source = _Source(file, stream, media or media_of(file, stream))
        owner = requester_named(engine, requester).id
        now = make_clock(engine).now()
        taking = _Taking(Intake(engine, configured), owner, source, now, partial=partial, again=again)
        if dry_run:
            _say_dry_run(*taking.check())
            return
        taken = taking.take(name or source.name(), max_numbers)
        hint(configured, taken.upstreams)
        counts = _report(engine, taken, why_idle(engine, configured), and_watch=and_watch)
    if taken.bad or taken.state is BatchState.CANCELLED or (and_watch and has_failures(counts)):
        sys.exit(FAILURES)


@dataclass(frozen=True, slots=True)
class _Source:
    """The file, and how it is to be read."""

    path: str
    stream: BinaryIO
    media: Media

    def rows(self) -> Iterator[Row | RowFault]:
        return bulk.read(self.stream, self.media)

    def name(self) -> str:
        """What the batch is called where nobody says."""
        named = bulk.name_of_document(self.stream) if self.media == "json" else None
        return named or ("standard input" if self.path == STANDARD_INPUT else Path(self.path).name)


class _Taking:
    """The taking of one source, with its progress shown. Ends the program where a row is bad."""

    def __init__(
        self, intake: Intake, owner: UUID, source: _Source, now: datetime, *, partial: bool, again: bool
    ) -> None:
        self._intake = intake
        self._owner = owner
        self._source = source
        self._options: dict[str, Any] = {
            "source_digest": digest_of(source.stream),
            "partial": partial,
            "again": again,
            "now": now,
        }

    def check(self) -> tuple[int, int]:
        """How many rows would be taken, and how many were before."""
        with _refusing(), board(quiet=wants_json()) as shown:
            options = self._options | {"on_progress": _teller(shown)}
            return self._intake.check_batch(self._owner, self._source.rows(), **options)

    def take(self, name: str, max_numbers: int | None) -> BatchTaken:
        with _refusing(), board(quiet=wants_json()) as shown:
            options = self._options | {"on_progress": _teller(shown), "name": name, "actor": actor()}
            options["max_numbers"] = max_numbers
            return self._intake.take_batch(self._owner, self._source.rows(), **options)


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except BadRows as error:
        _refuse(error)


def _teller(shown: Board) -> Callable[[Progress], None]:
    def tell(progress: Progress) -> None:
        if progress.to_take is None:
            shown.show("checked", Snapshot(progress.checked, None, {"bad": progress.bad}))
        else:
            shown.show("taken", Snapshot(progress.taken, progress.to_take))

    return tell


def _say_dry_run(new: int, known: int) -> None:
    if wants_json():
        say_json({"would_take": new, "already_taken": known})
    else:
        say(f"All rows are good: {new:,} would be taken{_before(known)}. Nothing was taken.")


def _report(engine: Engine, taken: BatchTaken, idle: str | None, *, and_watch: bool) -> Counts:
    """Say what was taken, follow it where that is asked for, and return where its requests stand."""
    if not wants_json():
        if taken.bad:
            _show_faults(taken.faults, taken.bad, taken.rows)
        say(_sentence(taken))
        if idle is not None and taken.total:
            say(idle)
    if and_watch:
        with board(quiet=wants_json()) as shown:
            watch_batch(engine, taken.batch_id, shown)
    counts = read(engine, lambda session: counter.of_batch(session, taken.batch_id))
    if wants_json():
        batch = read(engine, lambda session: session.get_one(Batch, taken.batch_id))
        say_json({"batch": view(batch, counts)} | _told(taken))
    elif and_watch:
        say(summary(counts))
    return counts


def _told(taken: BatchTaken) -> dict[str, Any]:
    return {
        "rows": taken.rows,
        "taken": taken.taken,
        "already_taken": taken.already_taken,
        "bad": taken.bad,
        "resumed": taken.resumed,
        "earlier_batch": taken.earlier_batch_id,
        "errors": _errors(taken.faults),
    }


def _sentence(taken: BatchTaken) -> str:
    if taken.state is BatchState.CANCELLED:
        return f"Batch {taken.batch_id} was cancelled while it was taken: {taken.total:,} of its rows are in it."
    if not taken.taken and not taken.resumed:
        earlier = f" (batch {taken.earlier_batch_id})" if taken.earlier_batch_id else ""
        return (
            f"Nothing new: all {taken.already_taken:,} rows were taken before{earlier}."
            f" Batch {taken.batch_id} is empty and finished. To order them all once more, give --again"
            " and, where rows have a custom_id or idempotency_key, new ones."
        )
    begun = "carried on after an interruption: " if taken.resumed else ""
    return f"Batch {taken.batch_id} ({taken.name}): {begun}{taken.taken:,} rows taken{_before(taken.already_taken)}."


def _before(known: int) -> str:
    return f", {known:,} had been taken before" if known else ""


def _refuse(error: BadRows) -> NoReturn:
    if wants_json():
        told = {"error": str(error), "rows": error.total, "bad": error.total_bad}
        say_json(told | {"errors": _errors(error.faults)})
    else:
        _show_faults(error.faults, error.total_bad, error.total)
        warn("Nothing was taken.")
    sys.exit(BAD_INPUT)


def _errors(faults: list[RowFault]) -> list[dict[str, Any]]:
    return [{"line": fault.line, "field": fault.field, "detail": fault.detail} for fault in faults]


def _show_faults(faults: list[RowFault], bad: int, total: int) -> None:
    say_table(("line", "field", "what is wrong"), [(fault.line, fault.field, fault.detail) for fault in faults])
    if bad:
        warn(f"{bad:,} of {total:,} rows are bad.")
