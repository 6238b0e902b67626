"""Calls and messages on our numbers, the last first; who called stands there for those alone who may see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import flask
from flask.typing import ResponseReturnValue
from pydantic import BeforeValidator
from sqlalchemy.orm import Session

from models import call, message
from models.base import read
from models.call import Call
from models.lookup import numbers_meant
from models.message import Message
from models.number_events import Row, list_events
from models.requester import Scope
from models.user import Role
from webhook_receiver.console.lists import PAGE, Narrowed, blank_is_none, narrowed
from webhook_receiver.console.pages import page
from webhook_receiver.console.sessions import the_user
from webhook_receiver.context import here
from webhook_receiver.number_events import without_people

SEEN_BY = {
    Scope.SUBMIT: Role.VIEWER, Scope.READ: Role.VIEWER, Scope.OPERATE: Role.OPERATOR, Scope.ADMIN: Role.ADMIN,
}  # fmt: skip
"""Which role sees callers, by what TRUNKLINE_CALLERS_SHOWN_TO says of keys."""


class EventsNarrowed(Narrowed):
    number: Annotated[str | None, BeforeValidator(blank_is_none)] = None


@page("/calls", title="Calls")
def show_calls() -> ResponseReturnValue:
    return _show(Call, calls_as_shown, "console/calls.html")


@page("/messages", title="Messages")
def show_messages() -> ResponseReturnValue:
    return _show(Message, messages_as_shown, "console/messages.html")


def calls_as_shown(rows: Sequence[Call]) -> list[dict[str, Any]]:
    return [_as_shown(call.view(row)) for row in rows]


def messages_as_shown(rows: Sequence[Message]) -> list[dict[str, Any]]:
    return [_as_shown(message.view(row)) for row in rows]


def _as_shown(shown: dict[str, Any]) -> dict[str, Any]:
    needed = SEEN_BY[here().settings.environment.callers_shown_to]
    return shown if the_user().role.may(needed) else without_people(shown)


def _show(
    table: type[Row], as_shown: Callable[[Sequence[Row]], list[dict[str, Any]]], template: str
) -> ResponseReturnValue:
    wanted, faults = narrowed(EventsNarrowed)
    numbers = None if wanted.number is None else numbers_meant(wanted.number)
    if numbers == []:
        faults.append(f"number: {wanted.number!r} is not a phone number.")
    cursor = None if wanted.cursor is None else wanted.cursor.hex

    def work(session: Session) -> tuple[list[Row], str | None]:
        return list_events(session, table, None, numbers, None, PAGE, cursor)

    rows, next_cursor = read(here().engine, work)
    return flask.render_template(template, rows=as_shown(rows), wanted=wanted, faults=faults, next_cursor=next_cursor)
