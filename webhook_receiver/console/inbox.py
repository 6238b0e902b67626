"""The inbox: what upstreams sent and nobody understood, as it came."""

from __future__ import annotations

from uuid import UUID

import flask
from flask.typing import ResponseReturnValue

from models.base import read
from models.inbox import Received, not_understood
from models.listing import page_of
from webhook_receiver.console.lists import PAGE, Narrowed, narrowed
from webhook_receiver.console.pages import page
from webhook_receiver.context import here
from webhook_receiver.problems import not_found
from worker.masking import beginning

MOST_SHOWN = 8 * 1024
"""Bytes of a body."""


@page("/inbox", title="Inbox")
def show_inbox() -> ResponseReturnValue:
    wanted, faults = narrowed(Narrowed)
    cursor = None if wanted.cursor is None else wanted.cursor.hex
    rows, next_cursor = read(
        here().engine, lambda session: page_of(session, Received, [not_understood()], PAGE, cursor)
    )
    return flask.render_template("console/inbox.html", rows=rows, faults=faults, next_cursor=next_cursor)


@page("/inbox/<uuid:received_id>")
def show_received(received_id: UUID) -> ResponseReturnValue:
    row = read(here().engine, lambda session: session.get(Received, received_id))
    if row is None:
        raise not_found()
    said = {"query": beginning(row.query.encode(), MOST_SHOWN), "body": beginning(row.body, MOST_SHOWN)}
    return flask.render_template("console/received.html", row=row, said=said)
