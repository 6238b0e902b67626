"""One line for each HTTP request, where `TRUNKLINE_ACCESS_LOG` asks for it: what was called, by whom, how it ended.

The route's template stands there, never the path, which may hold a token, and never the query, which may hold a
caller's number. Only where it is asked for, since a line costs some 60 µs, a tenth of what a callback does.
"""

from __future__ import annotations

import logging
import time

import flask

from models.requester import Caller
from webhook_receiver.metrics import METHODS
from worker.app import UPSTREAM_QUEUES

log = logging.getLogger(__name__)


def install(app: flask.Flask) -> None:
    app.before_request(_begin)
    app.after_request(_end)


def _begin() -> None:
    flask.g.asked_at = time.perf_counter()


def _end(response: flask.Response) -> flask.Response:
    rule = flask.request.url_rule
    log.info(
        "%s %s %d %.1f ms %s",
        flask.request.method if flask.request.method in METHODS else "other",
        "none" if rule is None else rule.rule,
        response.status_code,
        (time.perf_counter() - flask.g.asked_at) * 1000,
        _who(),
    )
    return response


def _who() -> str:
    caller: Caller | None = flask.g.get("caller")
    if caller is not None:
        return f"key={caller.key_id}"
    upstream = (flask.request.view_args or {}).get("upstream")
    return f"upstream={upstream}" if upstream in UPSTREAM_QUEUES else "nobody"
