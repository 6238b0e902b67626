"""Calls in the console: who called our numbers, when and for how long."""

from __future__ import annotations

import flask
from flask.typing import ResponseReturnValue

from models.call import Call, view
from webhook_receiver.console import happened
from webhook_receiver.console.pages import page


@page("/calls", title="Calls")
def show_calls() -> ResponseReturnValue:
    return flask.render_template("console/calls.html", **happened.found(Call, view))
