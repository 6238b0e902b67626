"""What upstreams send us: the token proves itself, the bytes are made durable, and then they get their 2xx.

Nothing stands between the commit and the answer, and nothing here knows what any vendor means. A worker reads it.
"""

from __future__ import annotations

import hashlib
import string
from datetime import datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID

import flask
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import MethodNotAllowed, RequestURITooLarge

from models.base import new_id
from models.inbox import Purpose
from webhook_receiver.bodies import read_bytes
from webhook_receiver.context import here
from webhook_receiver.problems import not_found
from worker import hints, logs
from worker.signing import BadToken

LONGEST_QUERY = 64 * 1024
"""Bytes. Of AVANSER's documented call event it is below 1,000."""

LONGEST_CONTENT_TYPE = 255

METHODS = ("GET", "POST")

callbacks = flask.Blueprint("callbacks", __name__)


@callbacks.route("/callbacks/<upstream>/<token>", methods=METHODS)
def callback(upstream: str, token: str) -> ResponseReturnValue:
    return _take(upstream, Purpose.CALLBACK, token)


@callbacks.route("/calls/<upstream>/<token>", methods=METHODS)
def call(upstream: str, token: str) -> ResponseReturnValue:
    return _take(upstream, Purpose.CALL, token)


@callbacks.route("/sms/<upstream>/<token>", methods=METHODS)
def sms(upstream: str, token: str) -> ResponseReturnValue:
    return _take(upstream, Purpose.SMS, token)


def _take(upstream: str, purpose: Purpose, token: str) -> ResponseReturnValue:
    """Keep it and say so. A token that is wrong, old, for another purpose or upstream: 404, the same for all."""
    if flask.request.method not in METHODS:  # HEAD, which comes with GET: a look, and no news
        raise MethodNotAllowed(METHODS)
    try:
        request_id = here().gate.admit(upstream, purpose, token, flask.request.remote_addr)
    except BadToken:
        raise not_found() from None
    logs.say(upstream=upstream, request_id=request_id)
    row = _row(upstream, purpose, request_id, read_bytes(here().limits.callback), here().clock.now())
    if here().keeper.keep(row):
        hints.inbox()
    return "", 200  # not 204: a sender that was written for a plain 200 is common, one that minds it is not


def _row(upstream: str, purpose: Purpose, request_id: UUID, body: bytes, now: datetime) -> dict[str, Any]:
    method, query, content_type = flask.request.method, _query(), _content_type()
    said = b"\0".join((method.encode(), query.encode(), content_type.encode(), body))
    return {
        "id": new_id(),
        "upstream": upstream,
        "purpose": purpose,
        "request_id": request_id,
        # The purpose is part of it: with the same token in two addresses the same words mean two things.
        "digest": hashlib.sha256(purpose.value.encode() + b"\0" + said).hexdigest(),
        "method": method,
        "query": query,
        "content_type": content_type or None,
        "body": body,
        "received_at": now,
        "due_at": now,
        "fence": 0,
        "attempts": 0,
    }


def _query() -> str:
    """The query as it came. Bytes that no query may hold bare are spelt as a correct sender would have spelt them."""
    if len(flask.request.query_string) > LONGEST_QUERY:
        raise RequestURITooLarge
    return quote(flask.request.query_string, safe=string.punctuation)


def _content_type() -> str:
    return flask.request.headers.get("Content-Type", "").replace("\0", "")[:LONGEST_CONTENT_TYPE]
