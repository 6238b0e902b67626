"""Events over HTTP: all that was to be told, in order, for who was away or has no endpoint."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

import flask
from flask.typing import ResponseReturnValue
from pydantic import Field
from sqlalchemy.orm import Session

from models.base import read
from models.delivery import Delivery
from models.endpoint import EventType
from models.listing import LONGEST_PAGE
from models.requester import Caller, Scope
from models.stream import CURSOR, Ahead, Place, place_of, view
from models.stream import events as read_events
from webhook_receiver import schemas
from webhook_receiver.context import here
from webhook_receiver.number_events import as_shown_to
from webhook_receiver.operations import Answer, Api
from webhook_receiver.problems import Problem
from webhook_receiver.queries import Query

TELL_OF_PEOPLE = (EventType.CALL_FINISHED, EventType.MESSAGE_RECEIVED)

events = Api("events")


class EventsQuery(Query):
    after: Annotated[
        str | None,
        Field(
            pattern=f"^{CURSOR.pattern}$",
            description="`next_cursor` of the answer before; without it, from the beginning.",
        ),
    ] = None
    type: Annotated[str | None, Field(max_length=64, description="Only events of this type.")] = None
    limit: Annotated[int, Field(ge=1, description=f"More than {LONGEST_PAGE} is taken as that.")] = 100


@events.operation("GET", "/v1/events", Scope.READ, {200: Answer(schemas.Events)}, query=EventsQuery, problems=(410,))
def list_events(caller: Caller, query: EventsQuery) -> ResponseReturnValue:
    """All that was to be sent to you, oldest first.

    Each event is there once, also where it went to several endpoints, to none, or did not arrive. Go on from
    `next_cursor`, which is always given: what comes later is behind it, so that none is ever skipped. 410 means that
    the database was restored from a copy, and your cursor tells nothing: begin again without it.
    """
    after = Place() if query.after is None else place_of(query.after)

    def work(session: Session) -> tuple[list[Delivery], Place]:
        return read_events(session, caller.requester_id, after, query.limit, query.type)

    try:
        rows, place = read(here().engine, work)
    except Ahead:
        raise Problem(
            HTTPStatus.GONE,
            "cursor_ahead",
            "The database was restored from a copy since this cursor was given. Begin again without `after`; where that"
            " is refused as well, an operator must run `UPDATE deliveries SET position = 0` once.",
        ) from None
    return flask.jsonify(data=[_shown(caller, row) for row in rows], next_cursor=str(place))


def _shown(caller: Caller, event: Delivery) -> dict[str, Any]:
    shown = view(event)
    return shown | {"data": as_shown_to(caller.scopes, shown["data"])} if event.type in TELL_OF_PEOPLE else shown
