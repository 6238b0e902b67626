"""The console for people, at `/console`: pages made on the server, which work without JavaScript."""

from __future__ import annotations

import flask

from webhook_receiver.console import (
    account,
    audit,
    batch,
    batches,
    calls,
    dead_letters,
    deliveries,
    endpoint,
    endpoints,
    front,
    inbox,
    messages,
    number,
    numbers,
    overview,
    request,
    requests,
    sign_in,
    stock,
    sweeps,
    upstreams,
    users,
)
from webhook_receiver.console.pages import console, order_menu
from webhook_receiver.console.sessions import install as install_sessions

__all__ = ["install"]

MODULES = (
    front,
    sign_in,
    overview,
    requests,
    request,
    sweeps,
    batches,
    batch,
    numbers,
    number,
    calls,
    messages,
    deliveries,
    endpoints,
    endpoint,
    upstreams,
    stock,
    inbox,
    dead_letters,
    audit,
    users,
    account,
)
"""Each declares its pages on the one blueprint. The menu is in this order."""

order_menu(MODULES)


def install(app: flask.Flask) -> None:
    """Serve the console with this application."""
    install_sessions(app)
    app.register_blueprint(console)
