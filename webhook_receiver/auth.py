"""Who calls: an API key, and whether it may do what it asks for."""

from __future__ import annotations

from http import HTTPStatus

import flask
from sqlalchemy.orm import Session

from models.base import read
from models.requester import Caller, Scope, find_caller
from webhook_receiver.context import here
from webhook_receiver.problems import Problem
from webhook_receiver.rate_limit import require_room

BEARER = 'Bearer realm="trunkline"'

BASIC = 'Basic realm="trunkline", charset="UTF-8"'
"""For pages that a browser opens by itself: it asks for a name (any) and a password (the key).

Only for what changes nothing. A browser sends a password it knows with every request, also with those that
another site makes it send; it never does so with a Bearer key.
"""


def authenticate(scope: Scope | None, *, for_browsers: bool = False, is_limited: bool = True) -> Caller:
    """The caller, who has this scope; with None any key will do. Raises Problem, 401, 403, or 429 where `is_limited`
    and the key has made too many requests."""
    text = _key(for_browsers)
    challenge = {"WWW-Authenticate": BASIC if for_browsers else BEARER}
    if text is None:
        detail = "Send your key: `Authorization: Bearer <key>`."
        raise Problem(HTTPStatus.UNAUTHORIZED, "key_missing", detail, headers=challenge)

    def look(session: Session) -> Caller | None:
        return find_caller(session, text, here().clock.now())

    caller = read(here().engine, look)
    if caller is None:
        detail = "This key is unknown, was revoked, or is past its time."
        raise Problem(HTTPStatus.UNAUTHORIZED, "key_wrong", detail, headers=challenge)
    flask.g.caller = caller
    here().key_uses.note(caller)
    if is_limited:
        require_room(here().rate_limit.count(caller))
    if scope is not None and scope not in caller.scopes:
        detail = f"This key has not the scope `{scope}`."
        raise Problem(HTTPStatus.FORBIDDEN, "scope_missing", detail)
    return caller


def _key(for_browsers: bool) -> str | None:
    sent = flask.request.authorization
    if sent is None:
        return None
    if sent.type == "bearer":
        return sent.token or None
    if for_browsers and sent.type == "basic":
        return sent.password or None
    return None
