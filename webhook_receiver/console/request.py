"""One request: its explanation, its story, and what the person may do about it."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from uuid import UUID

import flask
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from models import event
from models.base import read, write
from models.request import Kind, Request
from models.user import Role
from webhook_receiver.console import confirming, words
from webhook_receiver.console.confirming import Deed
from webhook_receiver.console.pages import action, page
from webhook_receiver.console.sessions import actor
from webhook_receiver.context import here
from webhook_receiver.problems import Problem, not_found
from worker import hints, steering
from worker.explain import Explanation, explain, gather
from worker.explain.explanation import Action
from worker.explain.facts import Facts
from worker.explain.happened import what
from worker.steering import Act, NotNow, Outcome
from worker.upstreams import DIALECTS
from worker.upstreams.e164 import NotANumber, to_e164

OUTCOMES = {Act.COMPLETED: Outcome.COMPLETED, Act.FAILED: Outcome.FAILED, Act.ORDER_AGAIN: Outcome.RETRY}


@page("/requests/<uuid:request_id>")
def show_request(request_id: UUID) -> ResponseReturnValue:
    def work(session: Session) -> dict[str, Any]:
        facts, told = _explained(session, request_id)
        return {
            "row": facts.request,
            "requester": facts.requester,
            "told": told,
            "timeline": event.timeline(session, request_id),
            "results": facts.results,
        }

    return flask.render_template("console/request.html", what=what, acts=set(Act), **read(here().engine, work))


@page("/requests/<uuid:request_id>/do/<name>", Role.OPERATOR)
def confirm(request_id: UUID, name: str) -> ResponseReturnValue:
    """What it will do, and the form that asks whether the person means it."""
    return _form(request_id, name)


@action("/requests/<uuid:request_id>/do/<name>")
def do(request_id: UUID, name: str) -> ResponseReturnValue:
    """Do it, where it may be done and was meant; else say why not."""
    said = flask.request.form
    row, offered = read(here().engine, lambda session: _offered(session, request_id, name))
    if (missing := confirming.fault(_deed(row, offered), said)) is not None:
        return _form(request_id, name, missing, said)
    try:
        number = _number(row, said.get("number", "").strip())
        after = write(here().engine, lambda session: _act(session, row, Act(name), number, said.get("reason", "")))
    except NotANumber as error:
        return _form(request_id, name, f"Number: {error}", said)
    except NotNow as error:
        return _form(request_id, name, f"Not now: {error}.", said)
    hints.upstream(after.upstream)
    hints.deliveries()
    flask.flash(f"Done: {offered.title.lower()}. The request is {after.state}.")
    return flask.redirect(flask.url_for("console.show_request", request_id=request_id))


def code_of(row: Request) -> str:
    """What is typed to confirm: what people call this very request, so that it is no other one's."""
    return row.custom_id or words.short(row.id)


def _form(
    request_id: UUID, name: str, trouble: str | None = None, said: Mapping[str, str] | None = None
) -> ResponseReturnValue:
    row, offered = read(here().engine, lambda session: _offered(session, request_id, name))
    return confirming.ask(_deed(row, offered), trouble, said)


def _deed(row: Request, offered: Action) -> Deed:
    return Deed(
        title=offered.title,
        risk=offered.risk,
        effect=offered.effect,
        code=code_of(row),
        address=words.link("do", request_id=row.id, name=offered.name),
        about=f"{code_of(row)}, {row.kind} at {row.upstream}, {row.state}",
        back=words.link("show_request", request_id=row.id),
        command=offered.command,
        asks_number=Act(offered.name) is Act.COMPLETED and row.kind is Kind.PROVISION,
        number=row.number,
    )


def _explained(session: Session, request_id: UUID) -> tuple[Facts, Explanation]:
    row = session.get(Request, request_id)
    if row is None:
        raise not_found()
    now = here().clock.now()
    facts = gather(session, row, here().settings, now)
    return facts, explain(facts, now)


def _offered(session: Session, request_id: UUID, name: str) -> tuple[Request, Action]:
    """The request, and the action of that name. Raises Problem where it cannot be done now, or never."""
    facts, told = _explained(session, request_id)
    if name not in set(Act):
        raise not_found()
    for one in told.actions:
        if one.name == name:
            return facts.request, one
    raise Problem(
        HTTPStatus.CONFLICT, "not_now", f"Not now: the request is {facts.request.state}, and somebody was quicker."
    )


def _number(row: Request, said: str) -> str | None:
    """Raises NotANumber."""
    return to_e164(said, DIALECTS[row.upstream].home) if said else None


def _act(session: Session, row: Request, wanted: Act, number: str | None, reason: str) -> Request:
    """Raises NotNow."""
    now, who, why = here().clock.now(), actor(), reason.strip() or None
    match wanted:
        case Act.CANCEL:
            return steering.cancel(session, row.id, who, now, why)
        case Act.RETRY:
            return steering.retry(session, row.id, who, now, why)
        case Act.SEND_NOW:
            return steering.hasten(session, row.id, who, now, why)
        case Act.COMPLETED | Act.FAILED | Act.ORDER_AGAIN:
            return steering.resolve(session, row.id, OUTCOMES[wanted], number, why, who, now)
