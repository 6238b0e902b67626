"""Endpoints over HTTP: where results are to go, and the secret that signs them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus
from typing import Annotated, Any, Literal
from uuid import UUID

import flask
import sqlalchemy as sa
from flask.typing import ResponseReturnValue
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from models import delivery
from models.base import read, rfc3339, write
from models.delivery import Delivery
from models.endpoint import LONGEST_GRACE, OLD_SECRET_SIGNS_FOR, Endpoint, EventType, view
from models.replaying import Range, last_due_at
from models.requester import Caller, Requester, Scope
from webhook_receiver import schemas
from webhook_receiver.bodies import read_model
from webhook_receiver.context import here
from webhook_receiver.operations import JSON, Answer, Api
from webhook_receiver.problems import Problem, bad_parameters, invalid, not_found
from webhook_receiver.queries import Moment, PageQuery, Query, page
from webhook_receiver.requests import actor_of
from worker import endpoint_steering as steering
from worker import hints
from worker.endpoint_steering import Wanted
from worker.fault import Fault
from worker.intake.examine import wrong_destination
from worker.replaying import TooMany, replay

endpoints = Api("endpoints")


class NewEndpoint(BaseModel):
    """Where results are to go. Without `name` it is called after the URL's host; without `types` it takes all."""

    model_config = ConfigDict(extra="forbid")

    url: Annotated[str, Field(min_length=1, max_length=2_000)]
    name: Annotated[str | None, Field(min_length=1, max_length=200)] = None
    types: Annotated[list[EventType] | None, Field(min_length=1)] = None
    description: Annotated[str | None, Field(max_length=2_000)] = None


class EndpointChange(BaseModel):
    """What is to be otherwise. A member that is left out, or null, stays; an empty `description` is taken away."""

    model_config = ConfigDict(extra="forbid")

    url: Annotated[str | None, Field(min_length=1, max_length=2_000)] = None
    name: Annotated[str | None, Field(min_length=1, max_length=200)] = None
    types: Annotated[list[EventType] | None, Field(min_length=1)] = None
    description: Annotated[str | None, Field(max_length=2_000)] = None
    disabled: bool | None = None


class Rotation(BaseModel):
    model_config = ConfigDict(extra="forbid")

    grace_seconds: Annotated[
        int,
        Field(
            strict=True,
            ge=0,
            le=LONGEST_GRACE // timedelta(seconds=1),
            description="How long the old secret signs too.",
        ),
    ] = OLD_SECRET_SIGNS_FOR // timedelta(seconds=1)


class ReplayQuery(Query):
    since: Annotated[Moment, Field(description="Results of this time and later.")]
    until: Annotated[Moment | None, Field(description="Only results from before this time.")] = None
    state: Annotated[
        Literal["failed", "all"],
        Field(description="`failed`: all that has not arrived, also what is still tried; `all`: what arrived as well."),
    ] = "failed"


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
    _require_good(said.url)
    wanted = Wanted(said.url, said.name, frozenset(said.types or EventType), said.description)

    def work(session: Session) -> Endpoint:
        requester = session.get_one(Requester, caller.requester_id)
        return steering.create(session, requester, wanted, actor_of(caller))

    endpoint = _written(work, said.name or steering.host(said.url))
    return flask.jsonify(view(endpoint) | {"secret": endpoint.secret}), 201


def _require_good(url: str) -> None:
    """Raises Problem, 422, where nothing may be sent there."""
    allow_private = here().settings.environment.allow_private_destinations
    if (fault := wrong_destination(url, allow_private=allow_private)) is not None:
        raise invalid([Fault("/url", fault)])


def _written(work: Callable[[Session], Endpoint], name: str | None) -> Endpoint:
    """What `work` has written. Raises Problem, 409, where the name is taken."""
    try:
        return write(here().engine, work)
    except IntegrityError:
        raise Problem(HTTPStatus.CONFLICT, "name_taken", f"You have an endpoint called {name!r}.") from None


ONE = {200: Answer(schemas.EndpointShape)}


@endpoints.operation("GET", "/v1/endpoints/<uuid:endpoint_id>", Scope.READ, ONE)
def show_endpoint(caller: Caller, endpoint_id: UUID) -> ResponseReturnValue:
    """One endpoint, without its secret."""
    return flask.jsonify(view(read(here().engine, lambda session: _own(session, caller, endpoint_id))))


@endpoints.operation(
    "PATCH", "/v1/endpoints/<uuid:endpoint_id>", Scope.ADMIN, ONE, bodies={JSON: EndpointChange}, problems=(409,)
)
def change_endpoint(caller: Caller, endpoint_id: UUID) -> ResponseReturnValue:
    """Change an endpoint, disable it, or enable it again.

    While it is disabled nothing is sent to it; `POST /v1/endpoints/{id}/replay` sends it later what it missed.
    """
    said = read_model(EndpointChange)
    if said.url is not None:
        _require_good(said.url)

    def work(session: Session) -> Endpoint:
        endpoint = _own(session, caller, endpoint_id, is_locked=True)
        _change(session, endpoint, said, actor_of(caller))
        return endpoint

    return flask.jsonify(view(_written(work, said.name)))


def _change(session: Session, endpoint: Endpoint, said: EndpointChange, actor: str) -> None:
    types = None if said.types is None else frozenset(said.types)
    steering.change(session, endpoint, Wanted(said.url, said.name, types, said.description), actor)
    if said.disabled:
        steering.disable(session, endpoint, actor)
    elif said.disabled is not None:
        steering.enable(session, endpoint, actor)


def _own(session: Session, caller: Caller, endpoint_id: UUID, *, is_locked: bool = False) -> Endpoint:
    """Raises Problem, 404, where it is not there or another's."""
    statement = sa.select(Endpoint).where(Endpoint.id == endpoint_id, Endpoint.requester_id == caller.requester_id)
    endpoint = session.scalar(statement.with_for_update() if is_locked else statement)
    if endpoint is None:
        raise not_found()
    return endpoint


def _in_use(session: Session, caller: Caller, endpoint_id: UUID) -> Endpoint:
    """Raises Problem: 404 as `_own`, 409 where it is disabled."""
    endpoint = _own(session, caller, endpoint_id)
    if endpoint.disabled_at is not None:
        detail = f"The endpoint is disabled ({endpoint.disabled_reason}): enable it first. Nothing was sent."
        raise Problem(HTTPStatus.CONFLICT, "endpoint_disabled", detail)
    return endpoint


@endpoints.operation(
    "POST",
    "/v1/endpoints/<uuid:endpoint_id>/rotate",
    Scope.ADMIN,
    {200: Answer(schemas.EndpointWithSecret)},
    bodies={JSON: Rotation},
    body_is_required=False,
)
def rotate_secret(caller: Caller, endpoint_id: UUID) -> ResponseReturnValue:
    """Give an endpoint a new secret. For 24 hours, or `grace_seconds`, results are signed with the old one as well."""
    has_body = flask.request.mimetype or flask.request.content_length or "Transfer-Encoding" in flask.request.headers
    said = read_model(Rotation) if has_body else Rotation()

    def work(session: Session) -> Endpoint:
        endpoint = _own(session, caller, endpoint_id, is_locked=True)
        steering.rotate(session, endpoint, timedelta(seconds=said.grace_seconds), actor_of(caller))
        return endpoint

    endpoint = write(here().engine, work)
    return flask.jsonify(view(endpoint) | {"secret": endpoint.secret})


@endpoints.operation(
    "POST",
    "/v1/endpoints/<uuid:endpoint_id>/test",
    Scope.OPERATE,
    {202: Answer(schemas.DeliveryShape)},
    problems=(409,),
)
def test_endpoint(caller: Caller, endpoint_id: UUID) -> ResponseReturnValue:
    """Send an event of the type `endpoint.test`, as results are sent, whatever types the endpoint takes."""

    def work(session: Session) -> Delivery:
        endpoint = _in_use(session, caller, endpoint_id)
        return steering.test(session, endpoint, actor_of(caller))

    row = write(here().engine, work)
    hints.deliveries()
    return flask.jsonify(delivery.view(row)), 202


@endpoints.operation(
    "POST",
    "/v1/endpoints/<uuid:endpoint_id>/replay",
    Scope.OPERATE,
    {202: Answer(schemas.Replayed)},
    query=ReplayQuery,
    problems=(409,),
)
def replay_endpoint(caller: Caller, query: ReplayQuery, endpoint_id: UUID) -> ResponseReturnValue:
    """Send an endpoint all that it missed since a time.

    What has not arrived goes out again under the same `webhook-id`. So does what was never sent to it, for it was
    disabled, or not there yet. They go out 50 a second.
    """
    start = here().clock.now()
    until = query.until or start
    if query.since >= until:
        raise bad_parameters({"since": "must be before now, and before `until`"})
    endpoint = read(here().engine, lambda session: _in_use(session, caller, endpoint_id))
    try:
        wanted = Range(endpoint, query.since, until, query.state == "all")
        sent = replay(here().engine, wanted, start, actor_of(caller))
    except TooMany as error:
        raise bad_parameters({"since": str(error)}) from None
    hints.deliveries()
    return flask.jsonify(replayed=sent, until=rfc3339(last_due_at(start, sent))), 202
