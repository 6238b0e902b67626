"""The inbox in the console: what upstreams sent that nobody understood, or that still waits to be read."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from uuid import UUID

import flask
from flask.typing import ResponseReturnValue
from pydantic import BeforeValidator
from sqlalchemy.orm import Session

from models.base import read
from models.inbox import Purpose, Received, longest_waiting, not_understood
from models.listing import page_of
from models.request import Request
from webhook_receiver.console import happened
from webhook_receiver.console.lists import PAGE, Narrowed, blank_is_none, narrowed
from webhook_receiver.console.pages import page
from webhook_receiver.context import here
from webhook_receiver.problems import not_found
from worker.inbox import what_to_do
from worker.masking import beginning, masked, without_secrets

MOST_SHOWN = 8 * 1024
"""Bytes of a query and of a body: more than any upstream has ever meant to send."""


class Which(StrEnum):
    """Part of the inbox."""

    NOT_UNDERSTOOD = "not_understood"
    WAITING = "waiting"


class InboxNarrowed(Narrowed):
    which: Annotated[Which | None, BeforeValidator(blank_is_none)] = None


@page("/inbox", title="Inbox")
def show_inbox() -> ResponseReturnValue:
    wanted, faults = narrowed(InboxNarrowed)
    which = wanted.which or Which.NOT_UNDERSTOOD
    cursor = None if wanted.cursor is None else wanted.cursor.hex

    def work(session: Session) -> tuple[list[Received], str | None]:
        if which is Which.WAITING:
            return longest_waiting(session, PAGE), None
        return page_of(session, Received, [not_understood()], PAGE, cursor)

    rows, next_cursor = read(here().engine, work)
    return flask.render_template(
        "console/inbox.html",
        rows=rows,
        next_cursor=next_cursor,
        which=which,
        Which=Which,
        faults=faults,
        most=PAGE,
        what_to_do=what_to_do,
    )


@page("/inbox/<uuid:received_id>")
def show_received(received_id: UUID) -> ResponseReturnValue:
    def work(session: Session) -> tuple[Received, Request | None]:
        row = session.get(Received, received_id)
        if row is None:
            raise not_found()
        return row, session.get(Request, row.request_id)

    row, about = read(here().engine, work)
    sees_people = happened.sees_people()
    is_open, mask = row.purpose is Purpose.CALLBACK or sees_people, without_secrets if sees_people else masked
    return flask.render_template(
        "console/received.html",
        row=row,
        about=about,
        query=beginning(row.query.encode(), MOST_SHOWN, mask) if is_open else None,
        body=beginning(row.body, MOST_SHOWN, mask) if is_open else None,
        is_open=is_open,
        most=MOST_SHOWN,
        what_to_do=what_to_do(row),
    )
