"""One number: how it is configured, what was asked of it, who called it, and giving it up."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from uuid import UUID

import flask
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from models import listing
from models.base import read
from models.call import Call
from models.message import Message
from models.number import Number
from models.number_events import list_events
from models.requester import Requester
from models.user import Role
from webhook_receiver.console import confirming
from webhook_receiver.console.calls import calls_as_shown, messages_as_shown
from webhook_receiver.console.confirming import Deed
from webhook_receiver.console.pages import action, page
from webhook_receiver.console.sessions import actor
from webhook_receiver.context import here
from webhook_receiver.problems import Problem, not_found
from worker import hints
from worker.changes import Asking, NotHeld, give_up
from worker.explain.explanation import Risk
from worker.intake import Conflict, Invalid

LATEST = 10
"""Requests, calls and messages that are shown on the page itself."""


@page("/numbers/<uuid:number_id>")
def show_number(number_id: UUID) -> ResponseReturnValue:
    def work(session: Session) -> dict[str, Any]:
        row = _find(session, number_id)
        of_it = listing.Filters(q=row.number)
        requests, _ = listing.list_requests(session, row.requester_id, of_it, LATEST)
        calls, _ = list_events(session, Call, row.requester_id, [row.number], limit=LATEST)
        messages, _ = list_events(session, Message, row.requester_id, [row.number], limit=LATEST)
        owner = session.get_one(Requester, row.requester_id).name
        return {"row": row, "requester": owner, "requests": requests, "calls": calls, "messages": messages}

    found = read(here().engine, work)
    found |= {"calls": calls_as_shown(found["calls"]), "messages": messages_as_shown(found["messages"])}
    return flask.render_template("console/number.html", **found)


@page("/numbers/<uuid:number_id>/release", Role.OPERATOR)
def confirm_release(number_id: UUID) -> ResponseReturnValue:
    return confirming.ask(_releasing(number_id)[1])


@action("/numbers/<uuid:number_id>/release")
def release_number(number_id: UUID) -> ResponseReturnValue:
    """Ask for a release, as the API's DELETE does: it can be cancelled until it is sent."""
    said = flask.request.form
    row, deed = _releasing(number_id)
    if (trouble := confirming.fault(deed, said)) is not None:
        return confirming.ask(deed, trouble, said)
    asking = Asking(here().intake, here().engine, None, actor(), here().clock.now(), confirming.reason(said))
    try:
        taken = give_up(asking, row, at_once=False)
    except (NotHeld, Conflict, Invalid) as error:
        return confirming.ask(deed, f"Not now: {error}.", said)
    hints.upstream(row.upstream)
    flask.flash("The release is asked for; it can be cancelled until it is sent.")
    return flask.redirect(flask.url_for("console.show_request", request_id=taken.id))


def _releasing(number_id: UUID) -> tuple[Number, Deed]:
    """Raises Problem, 404, 409."""
    row = read(here().engine, lambda session: _find(session, number_id))
    if row.released_at is not None:
        raise Problem(HTTPStatus.CONFLICT, "not_held", f"{row.number} was given up already.")
    delay = here().settings.environment.release_delay
    effect = f"Gives {row.number} up, {delay:g} s from now; until then the release can be cancelled. Who has the number"
    return row, Deed(
        title="Release the number",
        risk=Risk.IRREVERSIBLE,
        effect=f"{effect} on a card or a page loses it, and it may be sold to somebody else.",
        code=row.number,
        address=flask.url_for("console.release_number", number_id=number_id),
        about=f"{row.number} at {row.upstream}",
        back=flask.url_for("console.show_number", number_id=number_id),
        command=f"trunkline numbers release {row.number}",
    )


def _find(session: Session, number_id: UUID) -> Number:
    """Raises Problem, 404."""
    row = session.get(Number, number_id)
    if row is None:
        raise not_found()
    return row
