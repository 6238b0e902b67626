"""`trunkline sweep`: what was ordered for many requests at once, how far it is, and stopping it."""

from __future__ import annotations

from uuid import UUID

import click
from sqlalchemy.orm import Session

from models import sweep as sweeps
from models.base import read, write
from models.clock import time_of
from models.sweep import OutcomeKind, Sweep, SweepOutcome
from worker.cli import completing
from worker.cli.actor import actor
from worker.cli.database import database
from worker.cli.output import say, say_fields, say_json, say_table, warn
from worker.cli.run import Refusal, command, settings, wants_json
from worker.cli.steer import NotAllowed
from worker.cli.sweeping import summary
from worker.steering import NotNow
from worker.sweeping import ACTS

the_one = click.argument("sweep_id", metavar="SWEEP", type=click.UUID, shell_complete=completing.sweeps)


@click.group("sweep")
def sweep() -> None:
    """See, pause, resume and cancel what `retry`, `cancel` and `resolve` do to many requests at once.

    SWEEP is the id that the command said when it began. The workers go on with a sweep whose command has ended.
    """


@command("list", group=sweep, answers=True)
@click.option("--limit", type=click.IntRange(1, 1_000), default=20, show_default=True)
def list_(limit: int) -> None:
    """List sweeps, the newest first, with what came of them.

    \b
    Example: trunkline sweep list --limit 5
    """
    with database(settings()) as engine:
        shown = [sweeps.view(one) for one in read(engine, lambda session: sweeps.newest(session, limit))]
    if wants_json():
        say_json({"data": shown})
        return
    columns = ("id", "made_at", "act", "state", "done", "refused", "waiting", "actor", "reason")
    say_table(columns, [[{**one, **one["counts"]}[name] for name in columns] for one in shown])


@command("show", group=sweep, answers=True)
@the_one
@click.option("--outcome", type=click.Choice([str(kind) for kind in OutcomeKind]), help="those with this outcome only")
@click.option("--limit", type=click.IntRange(1, 1_000), default=100, show_default=True)
@click.option("--after", type=click.UUID, metavar="REQUEST", help="the next page: those behind this request")
def show(*, sweep_id: UUID, outcome: str | None, limit: int, after: UUID | None) -> None:
    """Show a sweep, and what came of each of its requests: done, refused and why, or still waiting.

    \b
    Example: trunkline sweep show 01a2018b-24aa-765b-b118-cca72b45a14d --outcome refused
    """
    kinds = (OutcomeKind(outcome),) if outcome else ()

    def work(session: Session) -> tuple[Sweep, list[SweepOutcome]]:
        return _find(session, sweep_id), sweeps.outcomes(session, sweep_id, kinds, after, limit)

    with database(settings()) as engine:
        found, rows = read(engine, work)
    if wants_json():
        say_json({"sweep": sweeps.view(found), "outcomes": [sweeps.view_outcome(row) for row in rows]})
        return
    say_fields(sweeps.view(found))
    say("")
    say_table(("request", "outcome", "why"), [(row.request_id, row.outcome, row.why) for row in rows])
    if len(rows) == limit:
        warn(f"There may be more: --after {rows[-1].request_id}")


@command("pause", group=sweep, answers=True)
@the_one
def pause(sweep_id: UUID) -> None:
    """Stop a sweep after the portion that is under way, a second's worth.

    \b
    Example: trunkline sweep pause 01a2018b-24aa-765b-b118-cca72b45a14d
    """
    _steer(sweep_id, "pause")


@command("resume", group=sweep, answers=True)
@the_one
def resume(sweep_id: UUID) -> None:
    """Let a paused sweep go on; the workers do it.

    \b
    Example: trunkline sweep resume 01a2018b-24aa-765b-b118-cca72b45a14d
    """
    _steer(sweep_id, "resume")


@command("cancel", group=sweep, answers=True)
@the_one
def cancel(sweep_id: UUID) -> None:
    """End a sweep here. What it has done stays done; the rest is left as it was.

    \b
    Example: trunkline sweep cancel 01a2018b-24aa-765b-b118-cca72b45a14d
    """
    _steer(sweep_id, "cancel")


def _steer(sweep_id: UUID, verb: str) -> None:
    def work(session: Session) -> Sweep:
        _find(session, sweep_id)
        return ACTS[verb](session, sweep_id, actor(), time_of(session))

    with database(settings()) as engine:
        try:
            found = write(engine, work)
        except NotNow as error:
            raise NotAllowed(f"{sweep_id}: {error}") from None
    if wants_json():
        say_json(sweeps.view(found))
    else:
        say(summary(found))


def _find(session: Session, sweep_id: UUID) -> Sweep:
    found = session.get(Sweep, sweep_id)
    if found is None:
        raise Refusal(f"no sweep has this id: {sweep_id}. They are listed by: trunkline sweep list")
    return found
