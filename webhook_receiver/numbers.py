"""Numbers over HTTP: what we hold for the caller, changing one, and giving one up."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Literal

import flask
from flask.typing import ResponseReturnValue
from pydantic import Field
from sqlalchemy.orm import Session

from models import inventory
from models.base import read
from models.intake import Taken
from models.inventory import Filters
from models.number import Number, view
from models.requester import Caller, Scope
from webhook_receiver import schemas
from webhook_receiver.bodies import read_object
from webhook_receiver.context import here
from webhook_receiver.operations import JSON, Answer, Api
from webhook_receiver.problems import Problem, not_found
from webhook_receiver.queries import PageQuery, Query, UpstreamName
from webhook_receiver.requests import KeyHeader, actor_of, answer_taken, idempotency_key
from worker.changes import Asking, NotHeld, change, give_up
from worker.intake.body import NumberChange
from worker.strict_json import printable

TAKEN = {202: Answer(schemas.RequestShape, location=True), 200: Answer(schemas.RequestShape, location=True)}

RELEASED: dict[str, bool | None] = {"false": False, "true": True, "any": None}

numbers = Api("numbers")


class NumbersQuery(PageQuery):
    upstream: UpstreamName | None = None
    q: Annotated[
        str | None,
        Field(
            description="A number in any format, a custom_id, an upstream reference, or the id of it or its request."
        ),
    ] = None
    released: Annotated[
        Literal["false", "true", "any"], Field(description="Those given up, instead of or beside those held now.")
    ] = "false"


class ReleaseQuery(Query):
    now: Annotated[bool, Field(description="Send it at once, without the time in which it can be cancelled.")] = False


@numbers.operation(
    "GET", "/v1/numbers", Scope.READ, {200: Answer(schemas.Page[schemas.NumberShape])}, query=NumbersQuery
)
def list_numbers(caller: Caller, query: NumbersQuery) -> ResponseReturnValue:
    """Your numbers, the last that came first."""
    filters = Filters(query.upstream, query.q, RELEASED[query.released])
    cursor = None if query.cursor is None else query.cursor.hex

    def work(session: Session) -> tuple[list[Number], str | None]:
        return inventory.list_numbers(session, caller.requester_id, filters, query.limit, cursor)

    rows, next_cursor = read(here().engine, work)
    return flask.jsonify(data=[view(row) for row in rows], next_cursor=next_cursor)


@numbers.operation("GET", "/v1/numbers/<number>", Scope.READ, {200: Answer(schemas.NumberShape)}, problems=(409,))
def show_number(caller: Caller, number: str) -> ResponseReturnValue:
    """One number.

    `number` is written in any format (a `+` as `%2B`), or is its id. One that you do not hold any more is shown as it
    was when you held it last. Where what is written fits several of your numbers the answer is 409 and names them.
    """
    return flask.jsonify(view(_the_number(caller, number)))


@numbers.operation(
    "PATCH",
    "/v1/numbers/<number>",
    Scope.SUBMIT,
    TAKEN,
    bodies={JSON: NumberChange},
    headers=KeyHeader,
    problems=(409,),
)
def update_number(caller: Caller, number: str) -> ResponseReturnValue:
    """Ask for a change to a number.

    The answer is an `update` request, taken as by `POST /v1/requests`. `spec` is the upstream's own body of an update.
    409 where you hold the number no longer, or its release has been sent.
    """
    wishes, asking, row = read_object(), _asking(caller), _the_number(caller, number)
    return _answer(caller, lambda: change(asking, row, wishes))


@numbers.operation(
    "DELETE", "/v1/numbers/<number>", Scope.SUBMIT, TAKEN, query=ReleaseQuery, headers=KeyHeader, problems=(409,)
)
def release_number(caller: Caller, query: ReleaseQuery, number: str) -> ResponseReturnValue:
    """Ask for a number to be given up.

    The answer is a `release` request; it is sent at its `due_at` (after `TRUNKLINE_RELEASE_DELAY`) and can be cancelled
    until then. Where a release of the number is open already, the answer is 200 and that one: to ask again is harmless,
    and with `?now=true` sends it at once. 409 where you hold the number no longer.
    """
    asking, row = _asking(caller), _the_number(caller, number)
    return _answer(caller, lambda: give_up(asking, row, at_once=query.now))


def _asking(caller: Caller) -> Asking:
    return Asking(here().intake, here().engine, idempotency_key(), actor_of(caller), here().clock.now())


def _answer(caller: Caller, take: Callable[[], Taken]) -> ResponseReturnValue:
    try:
        return answer_taken(caller, take)
    except NotHeld as error:
        raise Problem(HTTPStatus.CONFLICT, "not_held", f"Not now: {error}.") from None


def _the_number(caller: Caller, text: str) -> Number:
    """The one number of the caller's that is meant. Raises Problem: 404, 409."""
    found = read(here().engine, lambda session: inventory.find(session, text, caller.requester_id))
    if not found:
        raise not_found()
    if len(found) > 1:
        raise _ambiguous(text, found)
    return found[0]


def _ambiguous(text: str, found: list[Number]) -> Problem:
    named = ", ".join(f"{row.number} ({row.upstream})" for row in found)
    detail = f"{printable(text)!r} fits several of your numbers: {named}. Write the country code too, or take its id."
    fitting = [{"id": str(row.id), "number": row.number, "upstream": row.upstream} for row in found]
    return Problem(HTTPStatus.CONFLICT, "ambiguous", detail, more={"numbers": fitting})
