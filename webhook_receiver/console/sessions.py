"""Who is signed in to the console: by a session of ours, or because a proxy in front says so.

The session is a signed cookie that names the user and the generation of his or her sessions; the user's row is read
for every page, so that who is disabled, or has another password, is out with the next click.
"""

from __future__ import annotations

import hmac
from datetime import timedelta
from http import HTTPStatus
from urllib.parse import urlsplit
from uuid import UUID

import flask
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFProtect

from models import user as people
from models.base import read
from models.user import Role, User
from webhook_receiver.addresses import is_among
from webhook_receiver.context import here
from webhook_receiver.problems import Problem
from worker.settings import Settings

LASTS = timedelta(hours=12)
"""A session, from the last click on."""

csrf = CSRFProtect()


def install(app: flask.Flask) -> None:
    """Keys, cookie and CSRF protection of this application. Only the console asks for the latter."""
    settings: Settings = app.extensions["trunkline"].settings
    keys = [_session_key(key.get_secret_value()) for key in settings.secret_keys]
    app.secret_key, app.config["SECRET_KEY_FALLBACKS"] = keys[0], keys[1:]
    app.config.update(
        SESSION_COOKIE_NAME="trunkline_console",
        SESSION_COOKIE_PATH="/console",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=urlsplit(settings.public_url).scheme == "https",
        PERMANENT_SESSION_LIFETIME=LASTS,
        SEND_FILE_MAX_AGE_DEFAULT=timedelta(days=365),  # their addresses change with what is in them
        WTF_CSRF_CHECK_DEFAULT=False,
        WTF_CSRF_TIME_LIMIT=None,  # as long as the session
        WTF_CSRF_SSL_STRICT=False,  # there may be a proxy that changes the Referer; the token is what counts
    )
    csrf.init_app(app)


def _session_key(secret_key: str) -> str:
    """Another than that of callback tokens: what one of them signs proves nothing elsewhere."""
    return hmac.digest(secret_key.encode(), b"trunkline: console sessions", "sha256").hex()


def begin(user: User) -> None:
    """Sign the user in, in a session that has nothing of the one before."""
    flask.session.clear()
    flask.session.permanent = True
    flask.session["user"], flask.session["generation"] = str(user.id), user.generation


def end() -> None:
    flask.session.clear()


def signed_in() -> User | None:
    """Who sits at the browser; None where nobody has signed in."""
    if "user" not in flask.g:
        flask.g.user = _by_proxy() if is_by_proxy() else _by_session()
    found: User | None = flask.g.user
    return found


def the_user() -> User:
    """As `signed_in`, for pages that only a signed-in user sees."""
    user = signed_in()
    assert user is not None
    return user


def actor() -> str:
    """How histories and the audit name who sits at the browser."""
    return f"user:{the_user().name}"


def is_by_proxy() -> bool:
    """Whether this HTTP request came from a proxy that says who the user is."""
    environment = here().settings.environment
    header = environment.console_user_header
    if header is None or not flask.request.headers.get(header):
        return False
    return is_among(peer(), environment.console_user_from)


def peer() -> str | None:
    """The address that the connection really came from, whatever a proxy wrote about the one before it."""
    original = flask.request.environ.get("werkzeug.proxy_fix.orig", {})
    found: str | None = original.get("REMOTE_ADDR", flask.request.remote_addr)
    return found


def _by_proxy() -> User | None:
    name = flask.request.headers.get(here().settings.environment.console_user_header or "", "")
    user = read(here().engine, lambda session: people.find(session, name))
    return None if user is None or user.disabled_at is not None else user


def _by_session() -> User | None:
    id_, generation = flask.session.get("user"), flask.session.get("generation")
    if id_ is None or generation is None:
        return None
    return read(here().engine, lambda session: people.find_signed_in(session, UUID(id_), int(generation)))


def require(role: Role) -> ResponseReturnValue | None:
    """None where the user may; else where to go. Raises Problem, 403."""
    user = signed_in()
    if user is None:
        if is_by_proxy():
            raise Problem(HTTPStatus.FORBIDDEN, "no_user", "You have signed in, and are no user here; ask an admin.")
        wanted = flask.request.full_path if flask.request.method == "GET" else None
        return flask.redirect(flask.url_for("console.show_sign_in", next=wanted))
    if not user.role.may(role):
        raise Problem(HTTPStatus.FORBIDDEN, "role_missing", f"This takes the role {role}; you are {user.role}.")
    return None
