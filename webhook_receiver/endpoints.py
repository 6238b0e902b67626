"""Endpoints over HTTP: where results are to go, and the secret that signs them."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import urlsplit
from uuid import UUID

import flask
import sqlalchemy as sa
from flask.typing import ResponseReturnValue
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from models.base import read, write
from models.endpoint import Endpoint, EventType, create, rotate, view
from models.requester import Caller, Requester, Scope
from webhook_receiver import schemas
from webhook_receiver.bodies import read_model
from webhook_receiver.context import here
from webhook_receiver.operations import JSON, Answer, Api
from webhook_receiver.problems import Problem, invalid, not_found
from webhook_receiver.queries import PageQuery, page
from worker.fault import Fault
from worker.intake.examine import wrong_destination

OLD_SECRET_SIGNS_FOR = timedelta(hours=24)
"""After a rotation both secrets sign, so that the receiver may change over at its leisure."""

endpoints = Api("endpoints")


class NewEndpoint(BaseModel):
    """Where results are to go. Without `name` it is called after the URL's host; without `types` it takes all."""

    model_config = ConfigDict(extra="forbid")

    url: Annotated[str, Field(min_length=1, max_length=2_000)]
    name: Annotated[str | None, Field(min_length=1, max_length=200)] = None
    types: Annotated[list[EventType] | None, Field(min_length=1)] = None


@endpoints.operation(
    "GET", "/v1/endpoints", Scope.READ, {200: Answer(schemas.Page[schemas.EndpointShape])}, query=PageQuery
)
def list_endpoints(caller: Caller, query: PageQuery) -> ResponseReturnValue:
    """Your endpoints, newest first, without their secrets."""
    statement = sa.select(Endpoint).where(Endpoint.requester_id == caller.requester_id)

    def work(session: Session) -> dict[str, Any]:
        return page(session, statement, Endpoint.id, query, view)

    return flask.jsonify(read(here().engine, work))


@endpoints.operation(
    "POST",
    "/v1/endpoints",
    Scope.ADMIN,
    {201: Answer(schemas.EndpointWithSecret)},
    bodies={JSON: NewEndpoint},
    problems=(409,),
)
def create_endpoint(caller: Caller) -> ResponseReturnValue:
    """Register an endpoint. The answer holds its secret, which is not shown again."""
    said = read_model(NewEndpoint)
    allow_private = here().settings.environment.allow_private_destinations
    if (fault := wrong_destination(said.url, allow_private=allow_private)) is not None:
        raise invalid([Fault("/url", fault)])
    name = said.name or str(urlsplit(said.url).hostname)
    types = frozenset(said.types or EventType)

    def work(session: Session) -> Endpoint:
        requester = session.get_one(Requester, caller.requester_id)
        return create(session, requester, name, said.url, types, here().clock.now())

    try:
        endpoint = write(here().engine, work)
    except IntegrityError:
        raise Problem(HTTPStatus.CONFLICT, "name_taken", f"You have an endpoint called {name!r}.") from None
    return flask.jsonify(view(endpoint) | {"secret": endpoint.secret}), 201


@endpoints.operation(
    "POST",
    "/v1/endpoints/<uuid:endpoint_id>/rotate",
    Scope.ADMIN,
    {200: Answer(schemas.EndpointWithSecret)},
)
def rotate_secret(caller: Caller, endpoint_id: UUID) -> ResponseReturnValue:
    """Give an endpoint a new secret. For 24 hours results are signed with the old one as well."""

    def work(session: Session) -> Endpoint:
        endpoint = session.scalar(sa.select(Endpoint).where(Endpoint.id == endpoint_id).with_for_update())
        if endpoint is None or endpoint.requester_id != caller.requester_id:
            raise not_found()
        rotate(session, endpoint, here().clock.now() + OLD_SECRET_SIGNS_FOR)
        return endpoint

    endpoint = write(here().engine, work)
    return flask.jsonify(view(endpoint) | {"secret": endpoint.secret})
