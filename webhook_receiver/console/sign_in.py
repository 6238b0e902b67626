"""Signing in and out."""

from __future__ import annotations

from http import HTTPStatus

import flask
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from models import act, sign_in
from models import user as people
from models.base import read, write
from models.user import User
from webhook_receiver.console import sessions
from webhook_receiver.console.pages import action, public
from webhook_receiver.context import here
from worker.passwords import is_right

WRONG = "Name or password is wrong."

CLOSED = "Too many failures of late. Wait a quarter of an hour, or have an admin look after your account."


@public("/sign-in", "GET")
def show_sign_in() -> ResponseReturnValue:
    if sessions.signed_in() is not None:
        return flask.redirect(_next())
    return _form()


@public("/sign-in", "POST")
def do_sign_in() -> ResponseReturnValue:
    name, password = people.normal(flask.request.form.get("name", "")), flask.request.form.get("password", "")
    address, now = flask.request.remote_addr or "", here().clock.now()

    def look(session: Session) -> tuple[bool, User | None]:
        return sign_in.is_closed(session, name, address, now), people.find(session, name)

    is_closed, user = read(here().engine, look)
    if is_closed:
        return _form(name, CLOSED), HTTPStatus.TOO_MANY_REQUESTS
    # Outside of any transaction, since it takes its time by design.
    if is_right(user.password if user is not None else None, password) and user is not None and not user.disabled_at:
        return _enter(user, name, address)
    write(here().engine, lambda session: sign_in.note_failure(session, name, address, now))
    return _form(name, WRONG), HTTPStatus.UNAUTHORIZED


def _enter(user: User, name: str, address: str) -> ResponseReturnValue:
    now = here().clock.now()

    def work(session: Session) -> None:
        session.get_one(User, user.id).signed_in_at = now
        sign_in.forget(session, name, address)
        act.record(session, f"user:{user.name}", "session.begin", user.name, now)

    write(here().engine, work)
    sessions.begin(user)
    return flask.redirect(_next())


@action("/sign-out", people.Role.VIEWER)
def do_sign_out() -> ResponseReturnValue:
    sessions.end()
    return flask.redirect(flask.url_for("console.show_sign_in"))


def _form(name: str = "", trouble: str | None = None) -> str:
    return flask.render_template("console/sign_in.html", name=name, trouble=trouble, next=_next())


def _next() -> str:
    """Where to go on: an address of the console, and of nobody else."""
    wanted = flask.request.values.get("next", "")
    is_ours = wanted.startswith("/console/") and "//" not in wanted and "\\" not in wanted
    return wanted.rstrip("?") if is_ours else flask.url_for("console.show_overview")
