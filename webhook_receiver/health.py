"""Whether this process is up, and whether it can do its work. No key: whoever asks is a load balancer."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

import flask
from flask.typing import ResponseReturnValue
from kombu.exceptions import OperationalError as BrokerError
from sqlalchemy.exc import SQLAlchemyError

from models.base import read
from models.migrations import SchemaOutOfDate, require_current
from models.upstream import is_among, paused_names
from webhook_receiver import schemas
from webhook_receiver.context import here
from webhook_receiver.operations import Answer, Api
from webhook_receiver.problems import RETRY_AFTER, Problem
from worker.app import UPSTREAM_QUEUES
from worker.app import app as celery

log = logging.getLogger(__name__)

health = Api("health")


@health.operation("GET", "/healthz", None, {200: Answer(schemas.Health)}, is_public=True)
def healthz() -> ResponseReturnValue:
    """The process is up."""
    return flask.jsonify(status="ok")


@health.operation("GET", "/readyz", None, {200: Answer(schemas.Readiness)}, is_public=True, problems=(503,))
def readyz() -> ResponseReturnValue:
    """The process can take requests and callbacks; 503 names what is missing.

    The broker being away is reported and changes nothing: what is taken is safe in the database, and the relay
    sends it on when the broker is back. To turn callbacks away for it would lose those an upstream does not repeat.
    """
    checks = {"database": _database(), "broker": _broker()}
    if not checks["database"]["ok"]:
        detail = f"Not ready: {checks['database']['detail']}."
        headers = {"Retry-After": RETRY_AFTER}
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "not_ready", detail, headers=headers, more={"checks": checks})
    return flask.jsonify(status="ready", checks=checks, paused=_paused())


def _database() -> dict[str, Any]:
    try:
        require_current(here().engine)
    except SchemaOutOfDate as error:
        return {"ok": False, "detail": str(error)}
    except SQLAlchemyError as error:
        log.warning("not ready: the database does not answer (%s)", type(error).__name__)
        return {"ok": False, "detail": "the database does not answer"}
    return {"ok": True, "detail": None}


def _paused() -> list[str]:
    """No reason to send requests elsewhere: they are taken, and wait."""
    paused = read(here().engine, paused_names)
    return [name for name in UPSTREAM_QUEUES if is_among(paused, name)]


def _broker() -> dict[str, Any]:
    fault = broker_fault()
    return {"ok": fault is None, "detail": fault}


def broker_fault() -> str | None:
    """What is wrong with the broker; None where it answers within a second."""
    try:
        with celery.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0, timeout=1)
    except (BrokerError, OSError):
        return "the broker does not answer: work waits in the database until it does"
    return None
