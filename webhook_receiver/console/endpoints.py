"""Endpoints: the list with their health, one with its log of results, and making one."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

import flask
import sqlalchemy as sa
from flask.typing import ResponseReturnValue
from pydantic import BeforeValidator
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from models import requester
from models.base import read, write
from models.delivery_list import Filters, list_deliveries
from models.endpoint import Endpoint, EventType
from models.requester import DEFAULT_REQUESTER, Requester
from models.user import Role
from webhook_receiver.console.lists import PAGE, Narrowed, blank_is_none, narrowed
from webhook_receiver.console.pages import action, page
from webhook_receiver.console.secret import shown_once
from webhook_receiver.console.sessions import actor
from webhook_receiver.context import here
from webhook_receiver.problems import not_found
from worker import endpoint_steering as steering
from worker.endpoint_steering import Wanted
from worker.intake.examine import wrong_destination

LOG = 20
"""Results that are shown on an endpoint's own page."""


class EndpointsNarrowed(Narrowed):
    requester: Annotated[str | None, BeforeValidator(blank_is_none)] = None


@page("/endpoints", title="Endpoints")
def show_endpoints() -> ResponseReturnValue:
    wanted, faults = narrowed(EndpointsNarrowed)
    statement = sa.select(Endpoint, Requester.name).join(Requester, Requester.id == Endpoint.requester_id)
    if wanted.requester is not None:
        statement = statement.where(Requester.name == wanted.requester)
    if wanted.cursor is not None:
        statement = statement.where(Endpoint.id < wanted.cursor)
    newest = statement.order_by(Endpoint.id.desc()).limit(PAGE + 1)
    rows = read(here().engine, lambda session: session.execute(newest).all())
    next_cursor = rows[PAGE - 1][0].id if len(rows) > PAGE else None
    return flask.render_template(
        "console/endpoints.html", rows=rows[:PAGE], wanted=wanted, faults=faults, next_cursor=next_cursor
    )


@page("/endpoints/new", Role.ADMIN)
def show_new_endpoint() -> ResponseReturnValue:
    return _form()


@action("/endpoints/new", Role.ADMIN)
def do_make_endpoint() -> ResponseReturnValue:
    said, types = flask.request.form, flask.request.form.getlist("types")
    url, owner_name = said.get("url", "").strip(), said.get("requester", "").strip() or DEFAULT_REQUESTER
    if (trouble := _fault(url, types)) is not None:
        return _form(trouble)
    name, description = said.get("name", "").strip()[:200], said.get("description", "").strip()
    wanted = Wanted(url, name or None, frozenset(map(EventType, types)) or None, description or None)

    def work(session: Session) -> Endpoint | None:
        owner = requester.find(session, owner_name)
        return None if owner is None else steering.create(session, owner, wanted, actor())

    try:
        made = write(here().engine, work)
    except IntegrityError:
        return _form(f"Name: {owner_name} has an endpoint called {name or steering.host(url)!r}; take another.")
    if made is None:
        return _form(f"Requester: there is none named {owner_name!r}; one is made with its first key.")
    back = flask.url_for("console.show_endpoint", endpoint_id=made.id)
    told = f"Endpoint {made.name} is made. Its results are signed with this secret."
    return shown_once("The secret of the new endpoint", told, made.secret or "", back, "To the endpoint")


def _fault(url: str, types: list[str]) -> str | None:
    """What is wrong with what was said of a new endpoint."""
    if unknown := sorted(set(types) - set(EventType)):
        return f"Types: {', '.join(unknown)} is none."
    allow_private = here().settings.environment.allow_private_destinations
    wrong = "say where results are to go" if not url else wrong_destination(url, allow_private=allow_private)
    return None if wrong is None else f"URL: {wrong}."


def _form(trouble: str | None = None) -> ResponseReturnValue:
    said = flask.request.form
    chosen = said.getlist("types") if said else list(EventType)
    page_ = flask.render_template(
        "console/new_endpoint.html", said=said, chosen=chosen, types=list(EventType), trouble=trouble
    )
    return page_, HTTPStatus.OK if trouble is None else HTTPStatus.CONFLICT


@page("/endpoints/<uuid:endpoint_id>")
def show_endpoint(endpoint_id: UUID) -> ResponseReturnValue:
    def work(session: Session) -> dict[str, Any]:
        row = the_endpoint(session, endpoint_id)
        results, _ = list_deliveries(session, Filters(endpoint_id=endpoint_id), LOG)
        return {
            "row": row,
            "requester": session.get_one(Requester, row.requester_id).name,
            "results": results,
            "endpoints": {row.id: row.name},
        }

    return flask.render_template("console/endpoint.html", **read(here().engine, work))


def the_endpoint(session: Session, endpoint_id: UUID, *, is_locked: bool = False) -> Endpoint:
    """Raises Problem, 404."""
    wanted = sa.select(Endpoint).where(Endpoint.id == endpoint_id)
    row = session.scalar(wanted.with_for_update(of=Endpoint) if is_locked else wanted)
    if row is None:
        raise not_found()
    return row
