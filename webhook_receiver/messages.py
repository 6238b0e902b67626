"""Text messages over HTTP: who wrote to our numbers, and what."""

from __future__ import annotations

from flask.typing import ResponseReturnValue

from models.message import Message, view
from models.requester import Caller, Scope
from webhook_receiver import schemas
from webhook_receiver.number_events import EventsQuery, answer_events
from webhook_receiver.operations import Answer, Api

messages = Api("messages")


@messages.operation(
    "GET", "/v1/messages", Scope.READ, {200: Answer(schemas.Page[schemas.MessageShape])}, query=EventsQuery
)
def list_messages(caller: Caller, query: EventsQuery) -> ResponseReturnValue:
    """Text messages to your numbers, the last that we were told of first."""
    return answer_events(caller, query, Message, view)
