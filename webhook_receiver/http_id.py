"""The id of one HTTP request: on each line of the log that is about it, and on its answer, so that both sides can name
it.

Taken from who asks: an `X-Request-Id`, else the trace of a `traceparent` (W3C Trace Context), where it is well-formed;
else made here. It is no proof of anything. Upstreams are not told it: they do not read it, and whatever is wrong with
their address is answered in the same bytes.
"""

from __future__ import annotations

import re

import flask

from models.base import new_id
from worker import logs

HEADER = "X-Request-Id"

_WELL_FORMED = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
_OURS = re.compile(r"tk_|whsec_")


def install(app: flask.Flask) -> None:
    app.before_request(_begin)
    app.after_request(_tell)
    app.teardown_request(lambda _error: logs.forget())


def _begin() -> None:
    flask.g.http_id = _sent() or str(new_id())
    logs.forget()
    named = flask.request.view_args or {}
    logs.say(http_id=flask.g.http_id, request_id=named.get("request_id"), batch_id=named.get("batch_id"))


def _sent() -> str | None:
    """What the one who asks calls this request; None for what may be a secret that somebody put there."""
    id_ = flask.request.headers.get(HEADER, "")
    if _WELL_FORMED.fullmatch(id_) and not _OURS.search(id_):
        return id_
    trace = _TRACEPARENT.fullmatch(flask.request.headers.get("traceparent", ""))
    return None if trace is None else trace[1]


def _tell(response: flask.Response) -> flask.Response:
    rule = flask.request.url_rule
    if rule is not None and "<token>" not in rule.rule:
        response.headers[HEADER] = flask.g.http_id
    return response
