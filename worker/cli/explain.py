"""`trunkline explain`: why a request stands where it stands, what comes next, and what one may do about it."""

from __future__ import annotations

from collections.abc import Iterator

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
        for line in lines(found):
            say(line)


def lines(found: Explanation) -> Iterator[str]:
    """The explanation as people read it, line by line."""
    reason = "" if found.reason is None else f" ({found.reason})"
    yield f"Request {found.request_id} at {found.upstream}: {found.state}{reason}, since {clock(found.since)}"
    yield from _chapter("What is known", *found.known)
    if found.evidence is not None:
        yield from _chapter("The last evidence", f"{clock(found.evidence.at)}: {found.evidence.said}")
    yield from _chapter("What comes next", found.next.detail, *([] if found.stuck is None else [found.stuck]))
    yield from _chapter("What became of its result", *found.results)
    yield from _chapter("What you may do", *(line for action in found.actions for line in _lines(action)))


def _lines(action: Action) -> tuple[str, str]:
    return f"{action.risk.words}: {action.command}", f"{INDENT}{action.effect}"


def _chapter(title: str, *sentences: str) -> Iterator[str]:
    if sentences:
        yield ""
        yield title
        yield from (INDENT + sentence for sentence in sentences)
