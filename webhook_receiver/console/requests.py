"""The list of requests: filtered, searched by any name, a page at a time."""

from __future__ import annotations

import flask
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from models.base import read
from models.listing import list_requests
from models.request import Kind, Request
from models.state import Reason, State
from webhook_receiver.console.lists import PAGE, Age, NoRequester, RequestsNarrowed, narrowed
from webhook_receiver.console.pages import page
from webhook_receiver.context import here
from worker.app import UPSTREAM_QUEUES
from worker.steering import Act

CHOICES = {
    "state": list(State),
    "upstream": list(UPSTREAM_QUEUES),
    "kind": list(Kind),
    "reason": list(Reason),
    "older_than": list(Age),
}
"""What each filter can be set to."""


@page("/requests", title="Requests")
def show_requests() -> ResponseReturnValue:
    wanted, faults = narrowed(RequestsNarrowed)

    def work(session: Session) -> tuple[list[Request], str | None]:
        try:
            owner = wanted.owner(session)
        except NoRequester as error:
            faults.append(str(error))
            return [], None
        return list_requests(session, owner, wanted.filters_at(here().clock.now()), PAGE, wanted.position)

    rows, next_cursor = read(here().engine, work)
    if wanted.q is not None and len(rows) == 1 and wanted.cursor is None:
        return flask.redirect(flask.url_for("console.show_request", request_id=rows[0].id))
    return flask.render_template(
        "console/requests.html",
        rows=rows,
        next_cursor=next_cursor,
        wanted=wanted,
        faults=faults,
        choices=CHOICES,
        acts=list(Act),
    )
