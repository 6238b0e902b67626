"""`trunkline list`: requests, newest first."""

from __future__ import annotations

import click

from models.base import read
from models.listing import LONGEST_PAGE, BadCursor, list_requests
from models.request import Request, view
from worker.cli.database import database
from worker.cli.filtering import Meant, filtered
from worker.cli.output import say, say_json, say_table, warn
from worker.cli.run import Refusal, command, settings, wants_json

COLUMNS = ("id", "made", "upstream", "kind", "state", "reason", "number", "custom_id")


@command("list", answers=True)
@click.argument("q", metavar="[REF]", required=False)
@filtered
@click.option("--limit", type=click.IntRange(1, LONGEST_PAGE), default=50, show_default=True)
@click.option("--cursor", help="the next page, as the one before it named it")
@click.option("-q", "--quiet", is_flag=True, help="ids alone, one a line")
def list_(*, meant: Meant, limit: int, cursor: str | None, quiet: bool) -> None:
    """List requests, newest first; with REF those that have this id, number, custom_id or upstream reference.

    A table on a terminal, a line a request with tabs between its cells elsewhere.

    \b
    Examples:
      trunkline list --state held
      trunkline list "02 8074 0801"
      trunkline list --upstream avanser --reason outcome_unknown --older-than 2h
      trunkline list --batch dealers.csv --state failed --json
    """
    with database(settings()) as engine:
        owner, filters = meant.read(engine)
        try:
            rows, next_cursor = read(engine, lambda session: list_requests(session, owner, filters, limit, cursor))
        except BadCursor as error:
            raise Refusal(str(error)) from None
    _show(rows, next_cursor, quiet=quiet)


def _show(rows: list[Request], next_cursor: str | None, *, quiet: bool) -> None:
    if wants_json():
        say_json({"data": [view(row) for row in rows], "next_cursor": next_cursor})
        return
    if quiet:
        for row in rows:
            say(str(row.id))
        return
    say_table(COLUMNS, [cells(row) for row in rows])
    if next_cursor is not None:
        warn(f"There are more: --cursor {next_cursor}")


def cells(row: Request) -> tuple[object, ...]:
    """Of one request, in the order of `COLUMNS`."""
    made = f"{row.created_at:%Y-%m-%d %H:%M:%S}"
    return (row.id, made, row.upstream, row.kind, row.state, row.reason, row.number, row.custom_id)
