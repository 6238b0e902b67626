"""What happened on numbers, over HTTP: the one form in which calls and messages are asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import flask
from flask.typing import ResponseReturnValue
from pydantic import Field
from sqlalchemy.orm import Session

from models.base import read
from models.lookup import numbers_meant
from models.number_events import Row, list_events
from models.requester import Caller
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
    return flask.jsonify(data=[view(row) for row in rows], next_cursor=next_cursor)


def _numbers(text: str) -> list[str]:
    found = numbers_meant(text)
    if not found:
        raise bad_parameters({"number": "is not a phone number"})
    return found
