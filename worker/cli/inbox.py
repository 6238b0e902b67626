"""`trunkline inbox`: what upstreams sent and nobody understood. It is kept as it came."""

from __future__ import annotations

from typing import Any

import click
from sqlalchemy.orm import Session

from models.base import read
from models.inbox import Received, not_understood, view
from models.listing import LONGEST_PAGE, BadCursor, page_of
from worker.cli.database import database
from worker.cli.output import say_json, say_table, warn
from worker.cli.run import Refusal, command, settings, wants_json

COLUMNS = ("id", "received_at", "upstream", "purpose", "request", "problem")


@command("inbox", answers=True)
@click.option("--limit", type=click.IntRange(1, LONGEST_PAGE), default=50, show_default=True)
@click.option("--cursor", help="the next page, as the one before it named it")
def inbox(*, limit: int, cursor: str | None) -> None:
    """List what upstreams sent and nobody understood, the last first: rows that `trunkline_troubles` counts.

    With --json each comes whole, as it was sent, with whatever is said in it about people.

    \b
    Example: trunkline inbox
    """

    def work(session: Session) -> tuple[list[dict[str, Any]], str | None]:
        rows, next_cursor = page_of(session, Received, [not_understood()], limit, cursor)
        return [view(row) for row in rows], next_cursor

    with database(settings()) as engine:
        try:
            rows, next_cursor = read(engine, work)
        except BadCursor as error:
            raise Refusal(str(error)) from None
    if wants_json():
        say_json({"data": rows, "next_cursor": next_cursor})
        return
    say_table(COLUMNS, [[row[column] for column in COLUMNS] for row in rows])
    if next_cursor is not None:
        warn(f"There are more: --cursor {next_cursor}")
