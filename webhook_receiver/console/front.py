"""The console's address itself, and what lies at none of its addresses."""

from __future__ import annotations

import flask
from flask.typing import ResponseReturnValue

from webhook_receiver.console.pages import page, public
from webhook_receiver.problems import not_found


@page("/")
def front() -> ResponseReturnValue:
    return flask.redirect(flask.url_for("console.show_overview"))


@public("/<path:_rest>", "GET")
def nowhere(_rest: str) -> ResponseReturnValue:
    raise not_found()
