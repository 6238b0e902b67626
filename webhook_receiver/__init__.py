"""The Flask application: callbacks from upstreams, the API for requesters, health and documentation."""

from __future__ import annotations

from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version

import flask
from werkzeug.middleware.proxy_fix import ProxyFix

from models.base import make_engine
from models.clock import make_clock
from webhook_receiver import access_log, console, context, http_id, openapi, problems, rate_limit, traces
from webhook_receiver.batches import batches
from webhook_receiver.callbacks import callbacks
from webhook_receiver.calls import calls
from webhook_receiver.context import BodyLimits, Receiver
from webhook_receiver.deliveries import deliveries
from webhook_receiver.docs import docs
from webhook_receiver.endpoints import endpoints
from webhook_receiver.events import events
from webhook_receiver.figures import Rows
from webhook_receiver.gate import Gate
from webhook_receiver.health import health
from webhook_receiver.keeping import Keeper
from webhook_receiver.key_uses import KeyUses
from webhook_receiver.messages import messages
from webhook_receiver.metrics import HttpTimes, metrics
from webhook_receiver.numbers import numbers
from webhook_receiver.rate_limit import RateLimit
from webhook_receiver.reconciliation import reconciliation
from webhook_receiver.requests import requests
from webhook_receiver.stock import stock
from worker.app import configure
from worker.intake import Intake
from worker.limits import Limits
from worker.settings import Settings

APIS = (
    requests,
    batches,
    numbers,
    calls,
    messages,
    stock,
    reconciliation,
    deliveries,
    endpoints,
    events,
    health,
    metrics,
    docs,
)
"""Every group of routes whose operations are declared, and so documented."""

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""On every answer that does not say otherwise."""


class Serves(StrEnum):
    """What an application answers to."""

    ALL = "all"  # the API and callbacks; the console too, where the settings say so
    CONSOLE = "console"  # that alone, and whether it is well


def create_app(
    settings: Settings, *, connections: int = 5, limits: BodyLimits | None = None, serves: Serves = Serves.ALL
) -> flask.Flask:
    """The application. `connections` to the database are kept open, twice as many at the most."""
    configure(settings)
    app = flask.Flask(__name__, static_folder=None)
    app.url_map.merge_slashes = False  # no answer but the one 404 for an address that is none
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.json.compact = True  # type: ignore[attr-defined]
    if proxies := settings.environment.trusted_proxies:  # counted from the right: what a sender wrote there stays out
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=0, x_host=0)  # type: ignore[method-assign]
    engine = make_engine(settings.database_url, pool_size=connections, keyring=settings.keyring)
    clock = make_clock(engine)
    context.attach(
        app,
        Receiver(
            settings=settings,
            engine=engine,
            clock=clock,
            gate=Gate(settings, engine, clock),
            intake=Intake(engine, settings),
            keeper=Keeper(engine),
            key_uses=KeyUses(engine, clock),
            shares=Limits(settings.redis_url),
            rate_limit=RateLimit(settings.redis_url, settings.environment.rate_limit),
            limits=limits or BodyLimits(),
        ),
    )
    http_id.install(app)
    traces.install(app)
    problems.install(app)
    _measure(app)
    if settings.environment.access_log:
        access_log.install(app)
    app.after_request(_add_headers)
    app.after_request(rate_limit.tell)
    if serves is Serves.CONSOLE:
        app.register_blueprint(health)
    else:
        _install_api(app)
    if serves is Serves.CONSOLE or settings.environment.console:
        console.install(app)
    return app


def _install_api(app: flask.Flask) -> None:
    app.register_blueprint(callbacks)
    for api in APIS:
        app.register_blueprint(api)
    operations = [operation for api in APIS for operation in api.operations]
    app.extensions["trunkline_openapi"] = openapi.document(operations, _version())


def _measure(app: flask.Flask) -> None:
    times = HttpTimes()
    times.watch(app)
    receiver: Receiver = app.extensions["trunkline"]
    times.registry.register(Rows(receiver.engine, receiver.clock, receiver.shares))
    app.extensions["trunkline_metrics"] = times.registry


def _add_headers(response: flask.Response) -> flask.Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def _version() -> str:
    try:
        return version("trunkline")
    except PackageNotFoundError:
        return "0"
