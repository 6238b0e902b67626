"""`trunkline explain`: why a request stands where it stands, what comes next, and what one may do about it."""

from __future__ import annotations

import click
from sqlalchemy.orm import Session

from models.base import read
from models.clock import time_of
from worker.cli.database import database
from worker.cli.output import say, say_json
from worker.cli.references import the_request
from worker.cli.run import command, settings, wants_json
from worker.explain import Explanation, explain, gather, view
from worker.explain.explanation import Action, clock

INDENT = "  "


@command("explain", answers=True)
@click.argument("ref")
def explain_(ref: str) -> None:
    """Explain a request: what is known, what happens next and when, and what may be done at what risk. REF is its id,
    its number in any format, its custom_id or the upstream's reference.

    \b
    Example: trunkline explain "0412 345 678"
    """
    configured = settings()

    def work(session: Session) -> Explanation:
        now = time_of(session)
        return explain(gather(session, the_request(session, ref), configured, now), now)

    with database(configured) as engine:
        found = read(engine, work)
    if wants_json():
        say_json(view(found))
    else:
        _show(found)


def _show(found: Explanation) -> None:
    reason = "" if found.reason is None else f" ({found.reason})"
    say(f"Request {found.request_id} at {found.upstream}: {found.state}{reason}, since {clock(found.since)}")
    _chapter("What is known", *found.known)
    if found.evidence is not None:
        _chapter("The last evidence", f"{clock(found.evidence.at)}: {found.evidence.said}")
    _chapter("What comes next", found.next.detail, *([] if found.stuck is None else [found.stuck]))
    _chapter("What became of its result", *found.results)
    _chapter("What you may do", *map(_line, found.actions))


def _line(action: Action) -> str:
    return f"{action.risk.words}: {action.command}\n{INDENT * 2}{action.effect}"


def _chapter(title: str, *sentences: str) -> None:
    if sentences:
        say(f"\n{title}")
        for sentence in sentences:
            say(INDENT + sentence)
