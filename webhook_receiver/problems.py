"""Everything that goes wrong over HTTP, as RFC 9457 problem details with a code that programs may rely on."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import flask
from flask import Response
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from worker.fault import Fault
from worker.strict_json import printable

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

RETRY_AFTER = "2"
"""Seconds. A database that fails over is back in a few; an upstream or requester that asks again finds it."""

_UNHEARD = (
    "The database does not answer. A change may have been made all the same, or not: with the same Idempotency-Key"
    " it is safe to ask again; without one, look first."
)
"""It may have committed, and its connection broke before we heard of it."""

_CODES: dict[int, tuple[str, str]] = {
    400: ("unreadable", "The request cannot be read."),
    404: ("not_found", "There is nothing here, or nothing of yours."),
    405: ("method_not_allowed", "This address does not take this method."),
    413: ("too_large", "The body is larger than this address takes."),
    414: ("too_large", "The address is longer than we take."),
    415: ("media_type_unknown", "This address does not take a body of this media type."),
    500: ("internal_error", "Something went wrong on our side. It is in our log."),
}
"""What we say of errors that come from the web framework and not from us."""


class Problem(Exception):
    """An answer that is not the one asked for. `errors` names each place in what was sent that is wrong."""

    def __init__(
        self,
        status: HTTPStatus,
        code: str,
        detail: str,
        *,
        errors: Iterable[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = list(errors)
        self.headers = dict(headers or {})
        self.more = dict(more or {})


def not_found() -> Problem:
    """The one answer for what is not there, is another's, or was asked for with a wrong token."""
    code, detail = _CODES[404]
    return Problem(HTTPStatus.NOT_FOUND, code, detail)


def invalid(faults: Iterable[Fault]) -> Problem:
    """A body that is well-formed, but wrong."""
    errors = [{"pointer": fault.pointer, "detail": fault.detail} for fault in faults]
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", _some("place in the body is", len(errors)), errors=errors
    )


def bad_parameters(faults: Mapping[str, str]) -> Problem:
    """Query parameters or headers, by name, that are wrong."""
    errors = [
        {"pointer": f"/{printable(name)}", "parameter": printable(name), "detail": detail}
        for name, detail in faults.items()
    ]
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", _some("parameter is", len(errors)), errors=errors)


def unavailable(detail: str) -> Problem:
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", detail, headers={"Retry-After": RETRY_AFTER})


def _some(what: str, count: int) -> str:
    noun, _, verb = what.partition(" ")
    plural = f"{count} {noun}s {verb.replace('is', 'are')}"
    return f"One {what} wrong." if count == 1 else f"{plural} wrong."


def install(app: flask.Flask) -> None:
    """Answer every error of this application in this form."""
    app.register_error_handler(Problem, answer)
    app.register_error_handler(HTTPException, _from_framework)
    for kind in (DBAPIError, PoolTimeout, Exception):
        app.register_error_handler(kind, lambda error: answer(known(error)))


def known(error: Exception) -> Problem:
    """What is said of an error that nobody has dealt with; it is logged here."""
    if isinstance(error, DBAPIError | PoolTimeout):
        return _of_database(error)
    return _of_anything(error)


def answer(problem: Problem) -> Response:
    status = problem.status
    body: dict[str, Any] = {"type": "about:blank", "title": status.phrase, "status": status.value, "code": problem.code}
    body |= {"detail": problem.detail} | problem.more
    if problem.errors:
        body["errors"] = problem.errors
    response = flask.jsonify(body)
    response.status_code = status
    response.mimetype = MEDIA_TYPE
    response.headers.update(problem.headers)
    return response


def _from_framework(error: HTTPException) -> Response:
    status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    code, detail = _CODES.get(status, (status.name.lower(), f"{status.phrase}."))
    headers = {name: value for name, value in error.get_headers() if name.lower() != "content-type"}
    return answer(Problem(status, code, detail, headers=headers))


def _of_database(error: DBAPIError | PoolTimeout) -> Problem:
    """Only what means "not now" may be asked again; the rest is a fault of ours.

    Logged without its text: that holds the statement's parameters, which may be a caller's number.
    """
    if isinstance(error, OperationalError | InterfaceError | PoolTimeout):
        log.error("the database does not answer at %s: %s", _route(), _cause(error))
        return unavailable(_UNHEARD)
    log.error("the database refuses what was asked at %s: %s", _route(), _cause(error))
    return _internal_error()


def _cause(error: DBAPIError | PoolTimeout) -> str:
    origin = error.orig if isinstance(error, DBAPIError) else None
    if origin is None:
        return type(error).__name__
    return f"{type(origin).__name__} {getattr(origin, 'sqlstate', None) or ''}".rstrip()


def _of_anything(error: Exception) -> Problem:
    log.error("unexpected at %s", _route(), exc_info=error)
    return _internal_error()


def _internal_error() -> Problem:
    code, detail = _CODES[500]
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, code, detail)


def _route() -> str:
    """The route's template. The path itself may hold a token."""
    rule = flask.request.url_rule
    return "an address that is no route" if rule is None else rule.rule
