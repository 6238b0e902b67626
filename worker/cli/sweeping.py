"""Doing one thing to all requests that a filter matches: preview, confirmation, progress, and what was refused."""

from __future__ import annotations

import sys
import time
from uuid import UUID

from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models import sweep
from models.base import read, write
from models.clock import make_clock, time_of
from models.sweep import OutcomeKind, Sweep, SweepOutcome
from worker import previewing
from worker.cli.actor import actor
from worker.cli.confirming import confirm
from worker.cli.database import database
from worker.cli.filtering import Meant
from worker.cli.liveness import hint
from worker.cli.output import say, say_json, say_table, warn
from worker.cli.progress import Board, Snapshot, board
from worker.cli.run import FAILURES, Refusal, settings, wants_json
from worker.previewing import Preview
from worker.settings import Settings
from worker.steering import Act
from worker.sweeping import NothingMatches, do_portion, order

POLL = 0.2
"""Seconds between two looks at whether the next portion is due."""

NOT_DONE = (OutcomeKind.REFUSED, OutcomeKind.GONE)


def act_on_all(meant: Meant, act: Act, note: str | None, rate: int, *, dry_run: bool, is_sure: bool) -> None:
    """Do this to all that is meant, and end the process with 1 where some were refused. Raises Refusal."""
    if meant.is_any:
        raise Refusal("say which: a REF, or filters such as --state held --upstream avanser (see --help)")
    configured = settings()
    with database(configured) as engine:
        seen = _look(engine, meant, act)
        if not wants_json():
            for sentence in previewing.told(seen):
                say(sentence)
        if dry_run or not seen.matching:
            _say_preview(seen)
            return
        if note is None or not note.strip():
            raise Refusal("--note: say why, in a sentence; it is kept with each request")
        confirm(seen.matching, seen.risk, is_sure=is_sure)
        ordered = _order(engine, seen, note, rate)
        ended = follow(engine, configured, ordered.id)
        _report(engine, seen, ended)
    if ended.refused or ended.gone:
        sys.exit(FAILURES)


def _look(engine: Engine, meant: Meant, act: Act) -> Preview:
    owner, filters = meant.read(engine)
    return read(engine, lambda session: previewing.preview(session, owner, filters, act, time_of(session)))


def _say_preview(seen: Preview) -> None:
    if wants_json():
        say_json({"preview": previewing.view(seen), "sweep": None, "refused": []})
    elif seen.matching:
        warn("This was a look alone: nothing was done.")


def _order(engine: Engine, seen: Preview, note: str, rate: int) -> Sweep:
    try:
        return write(engine, lambda session: order(session, seen, note, actor(), time_of(session), rate))
    except NothingMatches:
        raise Refusal("no request matches any more") from None


def follow(engine: Engine, configured: Settings, sweep_id: UUID) -> Sweep:
    """Do the sweep to its end, together with whichever worker does it too; returns it as it ended, or was paused.

    Where this process is killed, the workers go on with it.
    """
    if not wants_json():
        warn(f"Sweep {sweep_id}. To stop it: trunkline sweep pause {sweep_id}")
    try:
        with board(quiet=wants_json()) as shown:
            return _to_the_end(engine, configured, sweep_id, shown)
    except KeyboardInterrupt:
        warn(f"The workers go on with it. To stop it: trunkline sweep pause {sweep_id}")
        sys.exit(FAILURES)


def _to_the_end(engine: Engine, configured: Settings, sweep_id: UUID, shown: Board) -> Sweep:
    clock = make_clock(engine)
    while True:
        progress = do_portion(engine, clock.now(), sweep_id)
        if progress is not None and progress.touched:
            hint(configured, progress.touched)
        found = read(engine, lambda session: session.get_one(Sweep, sweep_id))
        counts = sweep.counts(found)
        shown.show("acted on", Snapshot(found.gathered - counts["waiting"], found.gathered, counts))
        if found.due_at is None:
            return found
        time.sleep(POLL)


def _report(engine: Engine, seen: Preview, ended: Sweep) -> None:
    refused = read(engine, lambda session: refusals(session, ended.id))
    if wants_json():
        told = {"preview": previewing.view(seen), "sweep": sweep.view(ended)}
        say_json(told | {"refused": [sweep.view_outcome(row) for row in refused]})
        return
    say(summary(ended))
    if refused:
        say_table(("request", "outcome", "why"), [(row.request_id, row.outcome, row.why) for row in refused])


def refusals(session: Session, sweep_id: UUID) -> list[SweepOutcome]:
    """All that was not done."""
    found: list[SweepOutcome] = []
    while page := sweep.outcomes(session, sweep_id, NOT_DONE, found[-1].request_id if found else None, 1_000):
        found += page
    return found


def summary(ended: Sweep) -> str:
    """`Sweep 01a2…: finished. 36 done, 2 refused; 1 had moved on before it was ordered.`"""
    told = ", ".join(f"{count:,} {kind}" for kind, count in sweep.counts(ended).items() if count) or "nothing to do"
    moved = ended.previewed - ended.gathered
    left = f"; {moved:,} had moved on before it was ordered" if moved > 0 and ended.cursor is None else ""
    return f"Sweep {ended.id}: {ended.state}. {told}{left}."
