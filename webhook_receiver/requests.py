"""Requests over HTTP: ask for one, see it, see its history, and steer it."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

import flask
from flask.typing import ResponseReturnValue
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.orm import Session

from models import event
from models.base import read, write
from models.intake import Taken
from models.listing import Filters, list_requests
from models.request import Kind, Request, view
from models.requester import Caller, Scope
from models.state import State
from webhook_receiver import schemas
from webhook_receiver.bodies import read_model, read_object
from webhook_receiver.context import here
from webhook_receiver.operations import JSON, Answer, Api
from webhook_receiver.problems import Problem, bad_parameters, invalid, not_found
from webhook_receiver.queries import PageQuery, UpstreamName
from worker import hints, logs, steering
from worker.explain import Explanation, explain, gather
from worker.explain import view as explain_view
from worker.intake import LONGEST_KEY, Conflict, Invalid
from worker.intake.body import RequestBody
from worker.steering import NotNow, Outcome

ONE = Answer(schemas.RequestShape)

requests = Api("requests")


class KeyHeader(BaseModel):
    """What the header that makes asking twice harmless may hold."""

    idempotency_key: Annotated[
        str | None,
        Field(
            alias="Idempotency-Key",
            pattern=rf"^[ -~]{{1,{LONGEST_KEY}}}$",
            description="Any text of yours that names this request. The same key and body again give the same request.",
        ),
    ] = None


class ListQuery(PageQuery):
    state: State | None = None
    upstream: UpstreamName | None = None
    kind: Kind | None = None
    batch: UUID | None = None
    reason: str | None = None
    q: Annotated[
        str | None, Field(description="A number in any format, a custom_id, an upstream reference or an id.")
    ] = None
    contradicted: Annotated[
        bool | None,
        Field(description="Whether the upstream said later what cannot be true as well: money may be lost."),
    ] = None


class Resolution(BaseModel):
    """How a held request is settled by hand. `retry` orders again, and so twice where the first order did land."""

    model_config = ConfigDict(extra="forbid")

    outcome: Outcome
    number: Annotated[str | None, Field(pattern=r"^\+[1-9][0-9]{6,14}$", description="E.164.")] = None
    note: Annotated[str | None, Field(max_length=2_000)] = None


@requests.operation(
    "POST",
    "/v1/requests",
    Scope.SUBMIT,
    {202: Answer(schemas.RequestShape, location=True), 200: Answer(schemas.RequestShape, location=True)},
    bodies={JSON: RequestBody},
    headers=KeyHeader,
)
def create_request(caller: Caller) -> ResponseReturnValue:
    """Ask for a change.

    With the header `Idempotency-Key`, asking again is harmless: the same key and body give 200 and the request
    that there is. The same key with another body gives 422. Without it, a 503 or a broken connection leaves open
    whether the request was taken: look for its `custom_id` before asking again, or two numbers may be bought.
    """
    body, key = read_object(), idempotency_key()
    return answer_taken(
        caller,
        lambda: here().intake.take_one(
            caller.requester_id, body, key, here().clock.now(), actor_of(caller), key_id=caller.key_id
        ),
    )


def answer_taken(caller: Caller, take: Callable[[], Taken]) -> ResponseReturnValue:
    """Take a request and answer with it: 202 where it is new, 200 where there was one. Raises Problem, 422."""
    try:
        taken = take()
    except Invalid as error:
        raise invalid(error.faults) from None
    except Conflict:
        detail = "This Idempotency-Key was used before, with another body. Nothing was taken."
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "idempotency_key_reused", detail) from None
    request = _find(caller, taken.id)
    logs.say(request_id=request.id, upstream=request.upstream)
    if taken.is_new:
        hints.upstream(request.upstream)
    status = HTTPStatus.ACCEPTED if taken.is_new else HTTPStatus.OK
    return flask.jsonify(view(request)), status, {"Location": f"/v1/requests/{request.id}"}


def idempotency_key() -> str | None:
    """The header's value. Raises Problem, 422, where it is none."""
    try:
        return KeyHeader.model_validate(dict(flask.request.headers)).idempotency_key
    except ValidationError:
        raise bad_parameters({"Idempotency-Key": f"must be 1 to {LONGEST_KEY} printable ASCII characters"}) from None


@requests.operation(
    "GET", "/v1/requests", Scope.READ, {200: Answer(schemas.Page[schemas.RequestShape])}, query=ListQuery
)
def list_all(caller: Caller, query: ListQuery) -> ResponseReturnValue:
    """Requests, newest first."""
    filters = Filters(query.state, query.upstream, query.kind, query.batch, query.reason, query.q, query.contradicted)
    cursor = None if query.cursor is None else query.cursor.hex

    def work(session: Session) -> tuple[list[Request], str | None]:
        return list_requests(session, caller.requester_id, filters, query.limit, cursor)

    rows, next_cursor = read(here().engine, work)
    return flask.jsonify(data=[view(row) for row in rows], next_cursor=next_cursor)


@requests.operation("GET", "/v1/requests/<uuid:request_id>", Scope.READ, {200: ONE})
def show_request(caller: Caller, request_id: UUID) -> ResponseReturnValue:
    """One request."""
    return flask.jsonify(view(_find(caller, request_id)))


@requests.operation("GET", "/v1/requests/<uuid:request_id>/timeline", Scope.READ, {200: Answer(schemas.Timeline)})
def show_timeline(caller: Caller, request_id: UUID) -> ResponseReturnValue:
    """What happened to a request: every state change, attempt, callback and delivery, oldest first."""
    _find(caller, request_id)

    def work(session: Session) -> list[dict[str, object]]:
        return event.timeline(session, request_id)

    return flask.jsonify(data=read(here().engine, work), next_cursor=None)


@requests.operation(
    "GET", "/v1/requests/<uuid:request_id>/explain", Scope.READ, {200: Answer(schemas.ExplanationShape)}
)
def explain_request(caller: Caller, request_id: UUID) -> ResponseReturnValue:
    """What is known about a request, what happens next and when, and what may be done about it at what risk.

    The commands are those of `trunkline`, for whoever runs it.
    """
    now = here().clock.now()

    def work(session: Session) -> Explanation:
        row = require_own(caller, session.get(Request, request_id))
        return explain(gather(session, row, here().settings, now), now)

    return flask.jsonify(explain_view(read(here().engine, work)))


@requests.operation("POST", "/v1/requests/<uuid:request_id>/cancel", Scope.OPERATE, {200: ONE}, problems=(409,))
def cancel_request(caller: Caller, request_id: UUID) -> ResponseReturnValue:
    """Withdraw a request that is not ordered yet, or is held."""
    return _steer(caller, request_id, lambda s: steering.cancel(s, request_id, actor_of(caller), here().clock.now()))


@requests.operation("POST", "/v1/requests/<uuid:request_id>/retry", Scope.OPERATE, {200: ONE}, problems=(409,))
def retry_request(caller: Caller, request_id: UUID) -> ResponseReturnValue:
    """Look at a request now. Safe: what may have been ordered is looked up, not ordered again."""
    return _steer(caller, request_id, lambda s: steering.retry(s, request_id, actor_of(caller), here().clock.now()))


@requests.operation(
    "POST",
    "/v1/requests/<uuid:request_id>/resolve",
    Scope.OPERATE,
    {200: ONE},
    bodies={JSON: Resolution},
    problems=(409,),
)
def resolve_request(caller: Caller, request_id: UUID) -> ResponseReturnValue:
    """Settle a held request by hand."""
    said, actor = read_model(Resolution), actor_of(caller)

    def work(session: Session) -> Request:
        return steering.resolve(session, request_id, said.outcome, said.number, said.note, actor, here().clock.now())

    return _steer(caller, request_id, work)


def _steer(caller: Caller, request_id: UUID, act: Callable[[Session], Request]) -> ResponseReturnValue:
    def work(session: Session) -> Request:
        require_own(caller, session.get(Request, request_id))
        return act(session)

    try:
        request = write(here().engine, work)
    except NotNow as error:
        raise Problem(HTTPStatus.CONFLICT, "not_now", f"Not now: {error}.") from None
    hints.upstream(request.upstream)
    hints.deliveries()
    return flask.jsonify(view(request))


def _find(caller: Caller, request_id: UUID) -> Request:
    def work(session: Session) -> Request:
        return require_own(caller, session.get(Request, request_id))

    return read(here().engine, work)


def require_own(caller: Caller, row: Request | None) -> Request:
    """The row, where it is the caller's. Another's is answered like one that is not there."""
    if row is None or row.requester_id != caller.requester_id:
        raise not_found()
    return row


def actor_of(caller: Caller) -> str:
    """How the history names who did it: by key, since a requester may have several."""
    return f"key {caller.key_id}"
