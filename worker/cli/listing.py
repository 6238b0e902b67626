"""`trunkline list`: requests, newest first."""

from __future__ import annotations

import click
from sqlalchemy.orm import Session

from models.base import read
from models.listing import LONGEST_PAGE, BadCursor, Filters, list_requests
from models.request import Kind, Request, view
from models.state import State
from worker.cli.database import database, requester_named
from worker.cli.output import say, say_json, say_table, warn
from worker.cli.references import the_batch
from worker.cli.run import Refusal, command, settings, wants_json

COLUMNS = ("id", "made", "upstream", "kind", "state", "reason", "number", "custom_id")


@command("list", answers=True)
@click.argument("q", metavar="[REF]", required=False)
@click.option("--state", type=click.Choice([str(state) for state in State]))
@click.option("--upstream")
@click.option("--kind", type=click.Choice([str(kind) for kind in Kind]))
@click.option("--batch", help="its id or name")
@click.option("--reason", help="such as out_of_stock")
@click.option("--contradicted", is_flag=True, help="of which the upstream said later what cannot be true as well")
@click.option("--requester", help="of this one only")
@click.option("--limit", type=click.IntRange(1, LONGEST_PAGE), default=50, show_default=True)
@click.option("--cursor", help="the next page, as the one before it named it")
@click.option("-q", "--quiet", is_flag=True, help="ids alone, one a line")
def list_(
    *,
    q: str | None,
    state: str | None,
    upstream: str | None,
    kind: str | None,
    batch: str | None,
    reason: str | None,
    contradicted: bool,
    requester: str | None,
    limit: int,
    cursor: str | None,
    quiet: bool,
) -> None:
    """List requests, newest first; with REF those that have this id, number, custom_id or upstream reference."""

    def work(session: Session) -> tuple[list[Request], str | None]:
        filters = Filters(
            state=State(state) if state else None,
            upstream=upstream,
            kind=Kind(kind) if kind else None,
            batch_id=the_batch(session, batch).id if batch else None,
            reason=reason,
            q=q,
            contradicted=contradicted or None,
        )
        return list_requests(session, owner, filters, limit, cursor)

    with database(settings()) as engine:
        owner = requester_named(engine, requester).id if requester else None
        try:
            rows, next_cursor = read(engine, work)
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
    say_table(COLUMNS, [_cells(row) for row in rows])
    if next_cursor is not None:
        warn(f"There are more: --cursor {next_cursor}")


def _cells(row: Request) -> tuple[object, ...]:
    made = f"{row.created_at:%Y-%m-%d %H:%M:%S}"
    return (row.id, made, row.upstream, row.kind, row.state, row.reason, row.number, row.custom_id)
