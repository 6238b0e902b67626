"""`trunkline upstream`: whether anything is ordered there, and the switch."""

from __future__ import annotations

from typing import Any

import click
from sqlalchemy.orm import Session

from models import counter
from models import upstream as switches
from models.base import read, rfc3339, utc_now, write
from models.state import OPEN, State
from worker.cli.actor import actor
from worker.cli.database import database
from worker.cli.liveness import hint
from worker.cli.output import say, say_json, say_table
from worker.cli.run import command, settings, wants_json
from worker.settings import Settings
from worker.upstreams import DIALECTS

one_of_ours = click.argument("name", type=click.Choice(sorted(DIALECTS)))

BY_PERSON = "by_person"


@click.group("upstream")
def upstream() -> None:
    """See, pause and resume upstreams."""


@command("status", group=upstream, answers=True)
def status() -> None:
    """Show for each upstream whether it is set up, whether it is paused and why, and what is open there."""
    configured = settings()
    with database(configured) as engine:
        shown = read(engine, lambda session: _status(session, configured))
    if wants_json():
        say_json({"data": shown})
        return
    rows = [
        (
            one["name"],
            "set up" if not one["missing"] else f"not set: {', '.join(one['missing'])}",
            one["paused"] and f"{one['paused']['reason']} by {one['paused']['by']}: {one['paused']['detail']}",
            ", ".join(f"{n:,} {state}" for state, n in one["counts"].items() if n and State(state) in OPEN),
        )
        for one in shown
    ]
    say_table(("upstream", "settings", "paused", "open"), rows)


def _status(session: Session, configured: Settings) -> list[dict[str, Any]]:
    counts = counter.by_upstream(session)
    pauses = {pause.upstream: pause for pause in switches.pauses(session)}
    return [
        {
            "name": name,
            "missing": configured.missing_for(name),
            "paused": _pause(pauses.get(name)),
            "counts": {state.value: counts.get((name, state), 0) for state in State},
        }
        for name in sorted(DIALECTS)
    ]


def _pause(pause: switches.Pause | None) -> dict[str, Any] | None:
    if pause is None:
        return None
    return {"reason": pause.reason, "detail": pause.detail, "by": pause.actor, "at": rfc3339(pause.paused_at)}


@command("pause", group=upstream, answers=True)
@one_of_ours
@click.option("--note", default="Paused by hand.", help="why, for whoever finds it paused")
def pause(*, name: str, note: str) -> None:
    """Order nothing more there. What was ordered is still looked up and completed."""

    def work(session: Session) -> bool:
        return switches.pause(session, name, BY_PERSON, note, actor(), utc_now())

    with database(settings()) as engine:
        is_new = write(engine, work)
    _tell(name, is_new, "is paused", "was paused before; the first reason stays")


@command("resume", group=upstream, answers=True)
@one_of_ours
def resume(name: str) -> None:
    """Order there again."""
    configured = settings()
    with database(configured) as engine:
        was_paused = write(engine, lambda session: switches.resume(session, name))
    hint(configured, [name])
    _tell(name, was_paused, "is resumed", "was not paused")


def _tell(name: str, has_changed: bool, done: str, not_done: str) -> None:
    if wants_json():
        say_json({"name": name, "changed": has_changed})
    else:
        say(f"{name} {done if has_changed else not_done}.")
