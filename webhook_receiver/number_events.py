"""What happened on numbers, over HTTP: the one form in which calls and messages are asked for."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Annotated, Any

import flask
from flask.typing import ResponseReturnValue
from pydantic import Field
from sqlalchemy.orm import Session

from models.base import read
from models.lookup import numbers_meant
from models.number_events import Row, list_events
from models.requester import Caller, Scope
from webhook_receiver.context import here
from webhook_receiver.problems import bad_parameters
from webhook_receiver.queries import Moment, PageQuery


class EventsQuery(PageQuery):
    number: Annotated[str | None, Field(description="The number of yours, in any format.")] = None
    since: Annotated[Moment | None, Field(description="What we were told of at or after this time.")] = None


def answer_events(
    caller: Caller, query: EventsQuery, table: type[Row], view: Callable[[Row], dict[str, Any]]
) -> ResponseReturnValue:
    """A page of the caller's. Raises Problem, 422, for a number that is none."""
    numbers = None if query.number is None else _numbers(query.number)
    cursor = None if query.cursor is None else query.cursor.hex

    def work(session: Session) -> tuple[list[Row], str | None]:
        return list_events(session, table, caller.requester_id, numbers, query.since, query.limit, cursor)

    rows, next_cursor = read(here().engine, work)
    return flask.jsonify(data=[as_shown_to(caller.scopes, view(row)) for row in rows], next_cursor=next_cursor)


def as_shown_to(scopes: Collection[Scope], shown: dict[str, Any]) -> dict[str, Any]:
    """The view of a call or a message, without who called or wrote where these scopes do not let that be seen."""
    return shown if may_see_people(scopes) else _masked(shown)


def may_see_people(scopes: Collection[Scope]) -> bool:
    """Whether who has these scopes sees who called or wrote, and what."""
    return here().settings.environment.callers_shown_to in scopes


def _masked(shown: dict[str, Any]) -> dict[str, Any]:
    """Who called or wrote by the last three digits alone, and nothing of what was written."""
    nobody: dict[str, Any] = {name: _last_digits(shown[name]) for name in ("caller", "sender") if name in shown}
    if "text" in shown:
        nobody["text"] = None
    return shown | nobody | {"parameters": {}}


def _last_digits(number: str | None) -> str | None:
    if number is None:
        return None
    return f"…{number[-3:]}" if number[-3:].isdigit() else "…"


def _numbers(text: str) -> list[str]:
    found = numbers_meant(text)
    if not found:
        raise bad_parameters({"number": "is not a phone number"})
    return found
