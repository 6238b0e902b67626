"""`trunkline submit`: a file of requests, taken whole or not at all."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, BinaryIO, NoReturn
from uuid import UUID

import click
from sqlalchemy.engine import Engine

from models import counter
from models.base import read, utc_now
from models.batch import Batch, BatchState, view
from models.requester import DEFAULT_REQUESTER
from worker import bulk
from worker.bulk import Media, RowFault
from worker.cli.actor import actor
from worker.cli.database import database, requester_named
from worker.cli.files import STANDARD_INPUT, digest_of, media_of, open_file
from worker.cli.liveness import hint, why_idle
from worker.cli.output import say, say_json, say_table, warn
from worker.cli.progress import Board, Snapshot, board
from worker.cli.run import BAD_INPUT, FAILURES, command, settings, wants_json
from worker.cli.watching import has_failures, summary, watch_batch
from worker.intake import BadRows, BatchTaken, Intake, Progress


@command("submit", answers=True)
@click.argument("file")
@click.option("--dry-run", is_flag=True, help="check every row, take none")
@click.option("--watch", "and_watch", is_flag=True, help="follow the batch to its end")
@click.option("--name", help="of the batch; without it, the file's name")
@click.option("--requester", default=DEFAULT_REQUESTER, show_default=True, help="for whom")
@click.option("--partial", is_flag=True, help="take the good rows even if others are bad")
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
    media: Media | None,
) -> None:
    """Take a CSV, NDJSON or JSON file of requests (- for standard input).

    Every row is checked before the first is taken. The same file sent again, after a crash or by mistake, takes
    each row once.
    """
    configured = settings()
    with open_file(file) as stream, database(configured) as engine, board(quiet=wants_json()) as shown:
        media = media or media_of(file, stream)
        taking = _Taking(engine, Intake(engine, configured), requester_named(engine, requester).id, shown)
        taking.file(stream, media, partial=partial, again=again)
        if dry_run:
            taking.check()
            return
        taken = taking.take(name or _name(file, stream, media))
        hint(configured, taken.upstreams)
        if and_watch:
            if (idle := why_idle(engine, configured)) is not None:
                warn(idle)
            counts = watch_batch(engine, taken.batch_id, shown)
        else:
            counts = {}
    _report(engine, taken, watched=and_watch, idle=None if and_watch else why_idle(engine, configured))
    if taken.bad or taken.state is BatchState.CANCELLED or has_failures(counts):
        sys.exit(FAILURES)


class _Taking:
    """One file on its way in, with its progress shown."""

    def __init__(self, engine: Engine, intake: Intake, requester_id: UUID, shown: Board) -> None:
        self._engine = engine
        self._intake = intake
        self._requester_id = requester_id
        self._shown = shown

    def file(self, stream: BinaryIO, media: Media, *, partial: bool, again: bool) -> None:
        self._stream, self._media = stream, media
        self._options: dict[str, Any] = {
            "source_digest": digest_of(stream),
            "partial": partial,
            "again": again,
            "now": utc_now(),
            "on_progress": self._show,
        }

    def check(self) -> None:
        """Say what would be taken; ends the program where a row is bad."""
        try:
            new, known = self._intake.check_batch(self._requester_id, self._rows(), **self._options)
        except BadRows as error:
            _refuse(error)
        if wants_json():
            say_json({"would_take": new, "already_taken": known})
        else:
            say(f"All rows are good: {new:,} would be taken{_before(known)}. Nothing was taken.")

    def take(self, name: str) -> BatchTaken:
        """Take it; ends the program where a row is bad."""
        try:
            return self._intake.take_batch(self._requester_id, self._rows(), name=name, actor=actor(), **self._options)
        except BadRows as error:
            _refuse(error)

    def _rows(self) -> Any:
        return bulk.read(self._stream, self._media)

    def _show(self, progress: Progress) -> None:
        if progress.to_take is None:
            self._shown.show("checked", Snapshot(progress.checked, None, {"bad": progress.bad}))
        else:
            self._shown.show("taken", Snapshot(progress.taken, progress.to_take))


def _name(file: str, stream: BinaryIO, media: Media) -> str:
    named = bulk.name_of_document(stream) if media == "json" else None
    return named or ("standard input" if file == STANDARD_INPUT else Path(file).name)


def _report(engine: Engine, taken: BatchTaken, *, watched: bool, idle: str | None) -> None:
    batch = read(engine, lambda session: session.get_one(Batch, taken.batch_id))
    counts = read(engine, lambda session: counter.of_batch(session, taken.batch_id))
    if wants_json():
        told: dict[str, Any] = {
            "rows": taken.rows,
            "taken": taken.taken,
            "already_taken": taken.already_taken,
            "bad": taken.bad,
        }
        told |= {"resumed": taken.resumed, "earlier_batch": taken.earlier_batch_id}
        say_json({"batch": view(batch, counts), **told, "errors": _errors(taken.faults)})
        return
    if taken.bad:
        _show_faults(taken.faults, taken.bad, taken.rows)
    say(_sentence(taken))
    if watched:
        say(summary(counts))
    elif idle is not None and taken.total:
        say(idle)


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
        warn(
            f"{bad:,} of {total:,} rows are bad"
            + (f"; the first {len(faults)} faults are shown." if bad > len(faults) else ".")
        )
