"""`trunkline show`: one request and all that happened to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from sqlalchemy.orm import Session

from models.base import read
from models.event import timeline
from models.request import Request, view
from worker.cli.database import database
from worker.cli.output import say, say_fields, say_json, say_table
from worker.cli.references import the_request
from worker.cli.run import command, settings, wants_json
from worker.explain.happened import what


@command("show", answers=True)
@click.argument("ref")
def show(ref: str) -> None:
    """Show a request with its timeline. REF is its id, its number in any format, its custom_id or the upstream's
    reference.

    \b
    Examples:
      trunkline show dealer-17
      trunkline show "02 8074 0801" --json
    """

    def work(session: Session) -> tuple[Request, list[dict[str, Any]]]:
        row = the_request(session, ref)
        return row, timeline(session, row.id)

    with database(settings()) as engine:
        row, entries = read(engine, work)
    if wants_json():
        say_json({"request": view(row), "timeline": entries})
        return
    say_fields(view(row))
    say("")
    say_table(("at", "type", "what", "by", "detail"), [_cells(entry) for entry in entries])


def _cells(entry: Mapping[str, Any]) -> tuple[object, ...]:
    return (entry["at"], entry["type"], what(entry), entry["actor"], entry["detail"])
