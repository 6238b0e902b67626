"""The id of each HTTP request: on its answer, and on every line that is logged on its behalf.

Taken from who asks, where it is well-formed, so that both sides can name it; else made here. What it is about, a
request of ours or an upstream, stands on those lines too, as soon as it is known.
"""

from __future__ import annotations

import re
from uuid import UUID

import flask
from structlog.contextvars import bind_contextvars, clear_contextvars

from models.base import new_id
from worker.app import UPSTREAM_QUEUES

HEADER = "X-Request-Id"

TRACEPARENT = "traceparent"
"""W3C Trace Context: `00-<trace id>-<span id>-<flags>`. Where it is all there is, its trace id is the id."""

_WELL_FORMED = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_TRACE = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def install(app: flask.Flask) -> None:
    app.before_request(_begin)
    app.after_request(_tell)


def here() -> str:
    """That of the HTTP request which is answered now."""
    found: str = flask.g.http_id
    return found


def sent_traceparent() -> str | None:
    """The `traceparent` that came with it, where it is one."""
    sent = flask.request.headers.get(TRACEPARENT, "")
    return sent if _TRACE.fullmatch(sent) else None


def _begin() -> None:
    flask.g.http_id = _taken() or str(new_id())
    clear_contextvars()  # the thread has answered others before
    bind_contextvars(http_id=flask.g.http_id)
    if variables := flask.request.view_args:
        if isinstance(request_id := variables.get("request_id"), UUID):
            bind_contextvars(request_id=request_id)
        if isinstance(batch_id := variables.get("batch_id"), UUID):
            bind_contextvars(batch_id=batch_id)
        if (upstream := variables.get("upstream")) in UPSTREAM_QUEUES:
            bind_contextvars(upstream=upstream)


def _taken() -> str | None:
    sent = flask.request.headers.get(HEADER, "")
    if _WELL_FORMED.fullmatch(sent):
        return sent
    traced = sent_traceparent()
    return None if traced is None else traced.split("-")[1]


def _tell(response: flask.Response) -> flask.Response:
    response.headers[HEADER] = here()
    return response
