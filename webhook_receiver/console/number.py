"""One number in the console: its configuration, all that was asked for and that happened on it, and its release."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import flask
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from models import call, message
from models.base import read
from models.call import Call
from models.inventory import requests_about
from models.message import Message
from models.number import Number
from models.number_events import list_events
from models.request import Kind
from models.requester import names_of
from models.state import OPEN
from models.user import Role
from webhook_receiver.console import confirming, happened, words
from webhook_receiver.console.confirming import Deed
from webhook_receiver.console.pages import action, page
from webhook_receiver.console.sessions import actor
from webhook_receiver.context import here
from webhook_receiver.problems import not_found
from worker import hints
from worker.changes import Asking, NotHeld, give_up
from worker.explain.explanation import Risk, span
from worker.intake import Invalid

HISTORY = 50
"""Requests about one number that its page shows."""

LATEST = 10
"""Calls, and messages, that it shows."""


@page("/numbers/<uuid:number_id>")
def show_number(number_id: UUID) -> ResponseReturnValue:
    def work(session: Session) -> dict[str, Any]:
        row = _row(session, number_id)
        history = requests_about(session, row, HISTORY + 1)
        calls, _ = list_events(session, Call, None, [row.number], limit=LATEST)
        messages, _ = list_events(session, Message, None, [row.number], limit=LATEST)
        return {
            "row": row,
            "names": names_of(session, {row.requester_id, *(one.requester_id for one in history)}),
            "history": history[:HISTORY],
            "is_whole": len(history) <= HISTORY,
            "pending": [one for one in history if one.state in OPEN],
            "calls": happened.shown(calls, call.view),
            "messages": happened.shown(messages, message.view),
        }

    found = read(here().engine, work)
    releasing = any(one.kind is Kind.RELEASE for one in found["pending"])
    return flask.render_template(
        "console/number.html", releasing=releasing, soon=_soon(), sees_people=happened.sees_people(), **found
    )


@page("/numbers/<uuid:number_id>/release", Role.OPERATOR)
def ask_release_number(number_id: UUID) -> ResponseReturnValue:
    return confirming.ask(_releasing(_found(number_id)))


@action("/numbers/<uuid:number_id>/release")
def do_release_number(number_id: UUID) -> ResponseReturnValue:
    """Ask for its release, which can be cancelled until it is sent."""
    row, said = _found(number_id), flask.request.form
    deed = _releasing(row)
    if (missing := confirming.fault(deed, said)) is not None:
        return confirming.ask(deed, missing, said)
    try:
        taken = give_up(_asking(said), row, at_once=False)
    except NotHeld as error:
        return confirming.ask(deed, f"Not now: {error}.", said)
    except Invalid as error:
        return confirming.ask(deed, " ".join(fault.detail for fault in error.faults), said)
    hints.upstream(row.upstream)
    if taken.is_new:
        flask.flash(f"{row.number} is given up by this request. Until it is sent it can be cancelled.")
    else:
        flask.flash(f"{row.number} was being given up already, by this request.")
    return flask.redirect(flask.url_for("console.show_request", request_id=taken.id))


def _asking(said: Mapping[str, str]) -> Asking:
    receiver = here()
    return Asking(receiver.intake, receiver.engine, None, actor(), receiver.clock.now(), why=confirming.reason(said))


def _releasing(row: Number) -> Deed:
    return Deed(
        title="Give the number up",
        risk=Risk.IRREVERSIBLE,
        effect=(
            f"Makes a release request, which goes to {row.upstream} {_soon()}. Once given up, the number may become"
            " anybody's, and cannot be had back for sure."
        ),
        code=row.number,
        address=words.link("do_release_number", number_id=row.id),
        about=f"{row.number} at {row.upstream}",
        back=words.link("show_number", number_id=row.id),
        command=f"trunkline numbers release {row.number}",
    )


def _soon() -> str:
    delay = timedelta(seconds=here().settings.environment.release_delay)
    return f"in {span(delay)}, and can be cancelled until then" if delay else "at once"


def _found(number_id: UUID) -> Number:
    return read(here().engine, lambda session: _row(session, number_id))


def _row(session: Session, number_id: UUID) -> Number:
    """Raises Problem, 404."""
    row = session.get(Number, number_id)
    if row is None:
        raise not_found()
    return row
