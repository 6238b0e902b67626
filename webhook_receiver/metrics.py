"""Figures for Prometheus: how long this server's answers took, and what `figures` reads from the rows."""

from __future__ import annotations

import os
import time

import flask
from flask.typing import ResponseReturnValue
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from models.requester import Caller
from webhook_receiver.operations import Answer, Api

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Where the processes of one server put their counts, so that whichever is asked can add them up."""

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
"""Seconds. A callback takes about one millisecond."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

metrics = Api("metrics")


class HttpTimes:
    """How long answers took, by the route's template: a path may hold a token."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        shared = FOLDER_VARIABLE in os.environ
        self._times = Histogram(
            "trunkline_http_request_seconds",
            "Time from a request's arrival in the application to its answer.",
            ("method", "route", "status"),
            buckets=BUCKETS,
            registry=None if shared else self.registry,
        )
        if shared:
            MultiProcessCollector(self.registry)  # type: ignore[no-untyped-call]

    def watch(self, app: flask.Flask) -> None:
        app.before_request(self._begin)
        app.after_request(self._end)

    @staticmethod
    def _begin() -> None:
        flask.g.began_at = time.perf_counter()

    def _end(self, response: flask.Response) -> flask.Response:
        rule, method = flask.request.url_rule, flask.request.method
        labels = (method if method in METHODS else "other", "none" if rule is None else rule.rule)
        self._times.labels(*labels, str(response.status_code)).observe(time.perf_counter() - flask.g.began_at)
        return response


@metrics.operation("GET", "/metrics", None, {200: Answer(None, "text/plain")}, for_browsers=True, is_limited=False)
def show_metrics(_caller: Caller) -> ResponseReturnValue:
    """Figures for Prometheus."""
    registry: CollectorRegistry = flask.current_app.extensions["trunkline_metrics"]
    return flask.Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
