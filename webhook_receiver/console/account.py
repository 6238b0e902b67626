"""A user's own account: another password, and the end of all sessions."""

from __future__ import annotations

from http import HTTPStatus

import flask
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from models import act, sign_in
from models import user as people
from models.base import read, write
from models.user import Role, User
from webhook_receiver.console import sessions
from webhook_receiver.console.pages import action, page
from webhook_receiver.console.sign_in import CLOSED
from webhook_receiver.context import here
from worker.passwords import SHORTEST, BadPassword, hashed, is_right


@page("/account")
def show_account() -> ResponseReturnValue:
    return _form()


def _form(trouble: str | None = None) -> ResponseReturnValue:
    page_ = flask.render_template(
        "console/account.html", trouble=trouble, shortest=SHORTEST, is_by_proxy=sessions.is_by_proxy()
    )
    return page_, HTTPStatus.OK if trouble is None else HTTPStatus.CONFLICT


@action("/account/password", Role.VIEWER)
def do_change_own_password() -> ResponseReturnValue:
    """The old one is asked for, and guessing it is slowed as it is where one signs in."""
    user, said, now = sessions.the_user(), flask.request.form, here().clock.now()
    address = flask.request.remote_addr or ""
    if read(here().engine, lambda session: sign_in.is_closed(session, user.name, address, now)):
        return _form(CLOSED)
    if not is_right(user.password, said.get("old", "")):
        write(here().engine, lambda session: sign_in.note_failure(session, user.name, address, now))
        return _form("Old password: that is not it.")
    if said.get("new", "") != said.get("again", ""):
        return _form("New password: the two are not the same.")
    try:
        stored = hashed(said.get("new", ""), user.name)
    except BadPassword as error:
        return _form(f"New password: {error}.")

    def work(session: Session) -> User:
        row = session.get_one(User, user.id, with_for_update=True)
        people.change_password(row, stored)
        sign_in.forget(session, row.name, address)
        act.record(session, sessions.actor(), "user.password", row.name, now)
        return row

    sessions.begin(write(here().engine, work))
    flask.flash("You have another password. All other sessions of yours have ended.")
    return flask.redirect(flask.url_for("console.show_account"))


@action("/account/end-sessions", Role.VIEWER)
def do_end_own_sessions() -> ResponseReturnValue:
    user, now = sessions.the_user(), here().clock.now()

    def work(session: Session) -> None:
        row = session.get_one(User, user.id, with_for_update=True)
        people.end_sessions(row)
        act.record(session, sessions.actor(), "session.end_all", row.name, now)

    write(here().engine, work)
    sessions.end()
    return flask.redirect(flask.url_for("console.show_sign_in"))
