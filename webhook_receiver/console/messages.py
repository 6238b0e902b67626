"""Text messages in the console: who wrote to our numbers, and what."""

from __future__ import annotations

import flask
from flask.typing import ResponseReturnValue

from models.message import Message, view
from webhook_receiver.console import happened
from webhook_receiver.console.pages import page


@page("/messages", title="Messages")
def show_messages() -> ResponseReturnValue:
    return flask.render_template("console/messages.html", **happened.found(Message, view))
