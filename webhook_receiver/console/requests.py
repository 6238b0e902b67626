"""The list of requests: filtered, searched by any name, a page at a time."""

from __future__ import annotations

import flask
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from models import requester
from models.base import read
from models.listing import list_requests
from models.request import Kind, Request
from models.state import Reason, State
from webhook_receiver.console.lists import PAGE, RequestsNarrowed, narrowed
from webhook_receiver.console.pages import page
from webhook_receiver.context import here
from worker.app import UPSTREAM_QUEUES


@page("/requests", title="Requests")
def show_requests() -> ResponseReturnValue:
    wanted, faults = narrowed(RequestsNarrowed)

    def work(session: Session) -> tuple[list[Request], str | None]:
        owner = None if wanted.requester is None else requester.find(session, wanted.requester)
        if wanted.requester is not None and owner is None:
            faults.append(f"requester: there is none named {wanted.requester!r}.")
            return [], None
        cursor = None if wanted.cursor is None else wanted.cursor.hex
        return list_requests(session, owner.id if owner is not None else None, wanted.filters, PAGE, cursor)

    rows, next_cursor = read(here().engine, work)
    if wanted.q is not None and len(rows) == 1 and wanted.cursor is None:
        return flask.redirect(flask.url_for("console.show_request", request_id=rows[0].id))
    return flask.render_template(
        "console/requests.html",
        rows=rows,
        next_cursor=next_cursor,
        wanted=wanted,
        faults=faults,
        choices={"state": list(State), "upstream": list(UPSTREAM_QUEUES), "kind": list(Kind), "reason": list(Reason)},
    )
