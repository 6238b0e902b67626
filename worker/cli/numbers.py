"""`trunkline numbers`: what we hold, changing it, and giving it up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

import click
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models import inventory
from models.base import read
from models.clock import make_clock
from models.intake import Taken
from models.inventory import Filters
from models.listing import LONGEST_PAGE, BadCursor
from models.number import Number, view
from models.requester import Requester
from worker.changes import Asking, NotHeld, change, give_up
from worker.cli.actor import actor
from worker.cli.database import database, requester_named
from worker.cli.one import answer_taken, read_object
from worker.cli.output import say, say_fields, say_json, say_table, warn
from worker.cli.run import Refusal, command, settings, wants_json
from worker.cli.steer import NotAllowed
from worker.intake import Intake
from worker.upstreams import DIALECTS

COLUMNS = ("number", "upstream", "held_since", "requester", "custom_id", "pool", "released_at", "id")

OLDER = (
    "One that is older than Trunkline is changed with: trunkline request"
    ' \'{"upstream": "…", "kind": "update", "number": "…", "spec": {…}}\''
)

Take = Callable[[Asking, Number], Taken]

once = click.option("--idempotency-key", "key", help="asking again with the same key takes it once")


@click.group("numbers")
def numbers() -> None:
    """List, show, change and give up numbers.

    NUMBER is written in any format, or is a custom_id, an upstream reference, or the id of the number or of the request
    that it came from.
    """


@command("list", group=numbers, answers=True)
@click.argument("q", metavar="[NUMBER]", required=False)
@click.option("--upstream", type=click.Choice(sorted(DIALECTS)))
@click.option("--requester", help="of this one only")
@click.option("--released", is_flag=True, help="those given up, instead of those held now")
@click.option("--all", "every", is_flag=True, help="those given up as well")
@click.option("--limit", type=click.IntRange(1, LONGEST_PAGE), default=50, show_default=True)
@click.option("--cursor", help="the next page, as the one before it named it")
def list_(
    *,
    q: str | None,
    upstream: str | None,
    requester: str | None,
    released: bool,
    every: bool,
    limit: int,
    cursor: str | None,
) -> None:
    """List the numbers that we hold, the last that came first.

    \b
    Example: trunkline numbers list --upstream avanser --released
    """
    filters = Filters(upstream, q, None if every else released)
    with database(settings()) as engine:
        owner = requester_named(engine, requester).id if requester else None
        try:
            rows, next_cursor = read(
                engine, lambda session: inventory.list_numbers(session, owner, filters, limit, cursor)
            )
        except BadCursor as error:
            raise Refusal(str(error)) from None
        shown = _with_owners(engine, rows)
    if wants_json():
        say_json({"data": shown, "next_cursor": next_cursor})
        return
    say_table(COLUMNS, [[one[column] for column in COLUMNS] for one in shown])
    if next_cursor is not None:
        warn(f"There are more: --cursor {next_cursor}")


@command("show", group=numbers, answers=True)
@click.argument("number")
def show(number: str) -> None:
    """Show a number: whose it is, how it is configured, and the request that it came from.

    One that we do not hold any more is shown as it was when we held it last.

    \b
    Example: trunkline numbers show "02 8074 0801"
    """
    with database(settings()) as engine:
        (shown,) = _with_owners(engine, [_the_number(engine, number)])
    if wants_json():
        say_json(shown)
    else:
        say_fields(shown)


@command("update", group=numbers, answers=True)
@click.argument("number")
@click.argument("body", metavar="JSON")
@once
def update(*, number: str, body: str, key: str | None) -> None:
    """Ask for a change to a number: JSON, @FILE, or - for standard input.

    It is the body of PATCH /v1/numbers/{number}: `spec` is the upstream's own body of an update; beside it may stand
    custom_id, custom_group, endpoint, notify_url and deadline. What is left out stays as it is.

    \b
    Example: trunkline numbers update 0280740801 '{"spec": {"service": {"answer_point": "61401603860"}}}'
    """
    wishes = read_object(body)
    _ask(number, key, lambda asking, row: change(asking, row, wishes))


@command("release", group=numbers, answers=True)
@click.argument("number")
@click.option("--now", "at_once", is_flag=True, help="send it at once, without the time in which it can be cancelled")
@once
def release(*, number: str, at_once: bool, key: str | None) -> None:
    """Give up a number. The release is sent after TRUNKLINE_RELEASE_DELAY and can be cancelled until then.

    Where it is being given up already, that is the answer: to ask again is harmless.

    \b
    Example: trunkline numbers release 0280740801 --now
    """
    _ask(number, key, lambda asking, row: give_up(asking, row, at_once=at_once))


def _ask(reference: str, key: str | None, take: Take) -> None:
    configured = settings()
    with database(configured) as engine:
        row = _the_number(engine, reference)
        asking = Asking(Intake(engine, configured), engine, key, actor(), make_clock(engine).now())
        try:
            request = answer_taken(configured, engine, lambda: take(asking, row))
        except NotHeld as error:
            raise NotAllowed(str(error)) from None
    if request.due_at is not None and request.due_at > asking.now and not wants_json():
        say(f"It is sent at {request.due_at:%Y-%m-%d %H:%M:%S} UTC; until then: trunkline cancel {request.id}")


def _the_number(engine: Engine, reference: str) -> Number:
    """The one number that `reference` names. Raises Refusal where there is none, or more than one."""
    found = read(engine, lambda session: inventory.find_by_any_name(session, reference))
    if not found:
        raise Refusal(f"we hold no number of this name: {reference!r}. {OLDER}")
    if len(found) > 1:
        lines = [
            f"  {one['id']}  {one['number']} at {one['upstream']}, {one['requester']}'s"
            for one in _with_owners(engine, found)
        ]
        raise Refusal(f"{reference!r} names {len(found)} numbers; say which, by its id:\n" + "\n".join(lines))
    return found[0]


def _with_owners(engine: Engine, rows: Iterable[Number]) -> list[dict[str, Any]]:
    """The numbers as the API shows them, each with the name of its requester."""
    rows = list(rows)
    wanted = {row.requester_id for row in rows}

    def work(session: Session) -> dict[UUID, str]:
        owners = session.scalars(sa.select(Requester).where(Requester.id.in_(wanted)))
        return {owner.id: owner.name for owner in owners}

    names = read(engine, work)
    return [view(row) | {"requester": names[row.requester_id]} for row in rows]
