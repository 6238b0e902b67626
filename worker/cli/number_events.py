"""What happened on numbers, on the command line: the one form in which calls and messages are listed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import click
from sqlalchemy.orm import Session

from models.base import read
from models.listing import LONGEST_PAGE, BadCursor
from models.lookup import numbers_meant
from models.number_events import Row, list_events
from worker.cli.database import database, requester_named
from worker.cli.output import say_json, say_table, warn
from worker.cli.run import Refusal, settings, wants_json

Function = TypeVar("Function", bound=Callable[..., Any])


def moment(_context: click.Context, _parameter: click.Parameter, value: str | None) -> datetime | None:
    """The value of an option that is a time. Raises BadParameter."""
    if value is None:
        return None
    try:
        given = datetime.fromisoformat(value)
        if given.tzinfo is not None:
            return given.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise click.BadParameter(f"{value!r} is not a time with its zone, such as 2026-12-01T00:00:00Z")


@dataclass(frozen=True, slots=True)
class Narrowed:
    """What is asked for; None is "any"."""

    number: str | None
    since: datetime | None
    requester: str | None
    limit: int
    cursor: str | None


def narrowing(function: Function) -> Function:
    """The options that make a `Narrowed`."""
    for option in (
        click.option("--cursor", help="the next page, as the one before it named it"),
        click.option("--limit", type=click.IntRange(1, LONGEST_PAGE), default=50, show_default=True),
        click.option("--requester", help="of this one only"),
        click.option("--since", metavar="TIME", callback=moment, help="what we were told of at or after this time"),
        click.option("--number", help="on this one, in any format"),
    ):
        function = option(function)
    return function


def show_events(
    asked: Narrowed, table: type[Row], view: Callable[[Row], dict[str, Any]], columns: Sequence[str]
) -> None:
    """A page of calls or messages, the last that we were told of first; of the view these columns. Raises Refusal."""
    numbers = None if asked.number is None else numbers_meant(asked.number)
    if numbers == []:
        raise Refusal(f"--number: {asked.number!r} is not a phone number")

    def work(session: Session) -> tuple[list[Row], str | None]:
        return list_events(session, table, owner, numbers, asked.since, asked.limit, asked.cursor)

    owner: UUID | None = None
    with database(settings()) as engine:
        if asked.requester is not None:
            owner = requester_named(engine, asked.requester).id
        try:
            rows, next_cursor = read(engine, work)
        except BadCursor as error:
            raise Refusal(str(error)) from None
    shown = [view(row) for row in rows]
    if wants_json():
        say_json({"data": shown, "next_cursor": next_cursor})
        return
    say_table(columns, [[one[column] for column in columns] for one in shown])
    if next_cursor is not None:
        warn(f"There are more: --cursor {next_cursor}")
