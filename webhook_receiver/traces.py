"""A span for each HTTP request that is about one of our requests or batches, in the trace of that.

It has the route's template: paths may hold tokens. It is written when it is over, since only then is known what it was
about.
"""

from __future__ import annotations

import flask

from models.base import utc_now
from worker import logs, tracing
from worker.tracing import Side


def install(app: flask.Flask) -> None:
    app.before_request(_begin)
    app.after_request(_end)


def _begin() -> None:
    if tracing.is_on():
        flask.g.traced_from = utc_now()


def _end(response: flask.Response) -> flask.Response:
    traced_from, about = flask.g.get("traced_from"), logs.current()
    of, rule = about.get("request_id") or about.get("batch_id"), flask.request.url_rule
    if traced_from is None or of is None or rule is None or (flask.request.method == "GET" and not _tells(rule.rule)):
        return response
    tracing.wrote(
        f"{flask.request.method} {rule.rule}", of, Side.SERVER, (traced_from, utc_now()), method=flask.request.method,
        route=rule.rule, status=response.status_code, http_id=about.get("http_id"), upstream=about.get("upstream"),
        request_id=about.get("request_id"), batch_id=about.get("batch_id"),
    )  # fmt: skip
    return response


def _tells(rule: str) -> bool:
    """Whether this is an upstream that tells us something, by GET as some do; not one who looks how a request does."""
    return "<token>" in rule
