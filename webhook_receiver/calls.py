"""Calls over HTTP: who called our numbers, when and for how long."""

from __future__ import annotations

from flask.typing import ResponseReturnValue

from models.call import Call, view
from models.requester import Caller, Scope
from webhook_receiver import schemas
from webhook_receiver.number_events import EventsQuery, answer_events
from webhook_receiver.operations import Answer, Api

calls = Api("calls")


@calls.operation("GET", "/v1/calls", Scope.READ, {200: Answer(schemas.Page[schemas.CallShape])}, query=EventsQuery)
def list_calls(caller: Caller, query: EventsQuery) -> ResponseReturnValue:
    """Calls on your numbers, the last that we were told of first."""
    return answer_events(caller, query, Call, view)
