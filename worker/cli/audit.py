"""`trunkline audit`: who did what, when, to what, and why."""

from __future__ import annotations

from typing import Any

import click
from sqlalchemy.orm import Session

from models.act import Act, Filters, conditions, view
from models.base import read
from models.listing import LONGEST_PAGE, BadCursor, page_of
from worker.cli.database import database
from worker.cli.output import say_json, say_table, warn
from worker.cli.run import Refusal, command, settings, wants_json

COLUMNS = ("at", "actor", "act", "subject", "reason", "more")


@command("audit", answers=True)
@click.option("--actor", help="who: user:NAME (the console), cli:NAME (the command line) or 'key ID' (the API)")
@click.option("--act", "name", help="what: batch.pause, or batch for all that was done to batches")
@click.option("--subject", help="to what: an id, a number as +61…, or a name, as the list shows it")
@click.option("--limit", type=click.IntRange(1, LONGEST_PAGE), default=50, show_default=True)
@click.option("--cursor", help="the next page, as the one before it named it")
def audit(*, actor: str | None, name: str | None, subject: str | None, limit: int, cursor: str | None) -> None:
    """List the acts of people and of keys, the newest first: what was steered, made, changed or switched off.

    \b
    Examples: trunkline audit --act upstream
              trunkline audit --actor user:ann --limit 10
    """
    wanted = conditions(Filters(actor, name, subject))

    def work(session: Session) -> tuple[list[Act], str | None]:
        return page_of(session, Act, wanted, limit, cursor)

    with database(settings()) as engine:
        try:
            rows, next_cursor = read(engine, work)
        except BadCursor as error:
            raise Refusal(str(error)) from None
    shown = [view(row) for row in rows]
    if wants_json():
        say_json({"data": shown, "next_cursor": next_cursor})
        return
    say_table(COLUMNS, [[_cell(one, column) for column in COLUMNS] for one in shown])
    if next_cursor is not None:
        warn(f"There are more: --cursor {next_cursor}")


def _cell(shown: dict[str, Any], column: str) -> Any:
    if column == "more":
        return ", ".join(f"{name}: {value}" for name, value in shown["data"].items() if value is not None)
    return str(shown[column])[:19].replace("T", " ") if column == "at" else shown[column]
