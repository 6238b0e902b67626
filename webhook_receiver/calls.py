"""Calls over HTTP: who called our numbers, when and for how long."""

from __future__ import annotations

from typing import Annotated, Any

import flask
import sqlalchemy as sa
from flask.typing import ResponseReturnValue
from pydantic import Field
from sqlalchemy.orm import Session

from models.base import read
from models.call import Call, view
from models.lookup import numbers_meant
from models.requester import Caller, Scope
from webhook_receiver import schemas
from webhook_receiver.context import here
from webhook_receiver.operations import Answer, Api
from webhook_receiver.problems import bad_parameters
from webhook_receiver.queries import Moment, PageQuery, page

calls = Api("calls")


class CallsQuery(PageQuery):
    number: Annotated[str | None, Field(description="The number that was called, in any format.")] = None
    since: Annotated[Moment | None, Field(description="Calls that we were told of at or after this time.")] = None


@calls.operation("GET", "/v1/calls", Scope.READ, {200: Answer(schemas.Page[schemas.CallShape])}, query=CallsQuery)
def list_calls(caller: Caller, query: CallsQuery) -> ResponseReturnValue:
    """Calls on your numbers, the last that we were told of first."""
    statement = sa.select(Call).where(Call.requester_id == caller.requester_id)
    if query.number is not None:
        statement = statement.where(Call.number.in_(_numbers(query.number)))
    if query.since is not None:
        statement = statement.where(Call.received_at >= query.since)

    def work(session: Session) -> dict[str, Any]:
        return page(session, statement, Call.id, query, view)

    return flask.jsonify(read(here().engine, work))


def _numbers(text: str) -> list[str]:
    found = numbers_meant(text)
    if not found:
        raise bad_parameters({"number": "is not a phone number"})
    return found
