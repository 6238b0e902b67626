"""Users: who may sign in, and as what. For admins."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from uuid import UUID

import flask
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from models import act
from models import user as people
from models.base import read, write
from models.user import LastAdmin, NameTaken, Role, User
from webhook_receiver.console.pages import action, page
from webhook_receiver.console.secret import shown_once
from webhook_receiver.console.sessions import actor
from webhook_receiver.context import here
from webhook_receiver.problems import Problem, not_found
from worker.passwords import hashed, new_password

LONGEST_NAME = 200


@page("/users", Role.ADMIN, title="Users")
def show_users() -> ResponseReturnValue:
    return _list()


def _list(trouble: str | None = None) -> ResponseReturnValue:
    rows = read(here().engine, people.every)
    page_ = flask.render_template(
        "console/users.html", rows=rows, roles=list(Role), trouble=trouble, said=flask.request.form
    )
    return page_, HTTPStatus.OK if trouble is None else HTTPStatus.CONFLICT


@action("/users/new", Role.ADMIN)
def do_make_user() -> ResponseReturnValue:
    said = flask.request.form
    name = people.normal(said.get("name", ""))
    if not name or len(name) > LONGEST_NAME:
        return _list(f"Name: give one, of at most {LONGEST_NAME} characters.")
    role, password, by = _role(said.get("role", "")), new_password(), actor()
    stored = None if said.get("by_proxy") else hashed(password, name)

    def work(session: Session) -> None:
        now = here().clock.now()
        people.create(session, name, role, stored, now)
        act.record(session, by, "user.create", name, now, data={"role": role.value})

    try:
        write(here().engine, work)
    except NameTaken:
        return _list(f"Name: there is a user {name!r} already.")
    if stored is None:
        return _done(f"{name} is made, and signs in through the proxy.")
    return _shown(name, password, f"{name} is made, as {role}.")


@action("/users/<uuid:user_id>/password", Role.ADMIN)
def do_give_password(user_id: UUID) -> ResponseReturnValue:
    name, password = read(here().engine, lambda session: _the_user(session, user_id).name), new_password()
    stored = hashed(password, name)
    _change(user_id, "user.password", lambda _, row: people.change_password(row, stored))
    return _shown(name, password, f"{name} has another password, and has to sign in with it.")


@action("/users/<uuid:user_id>/role", Role.ADMIN)
def do_change_role(user_id: UUID) -> ResponseReturnValue:
    role = _role(flask.request.form.get("role", ""))

    def change(session: Session, row: User) -> None:
        if role is not Role.ADMIN:
            people.require_another_admin(session, row)
        people.change_role(row, role)

    return _changed(user_id, "user.role", change, f"is {role} now, from the next click on", role=role.value)


@action("/users/<uuid:user_id>/disable", Role.ADMIN)
def do_disable_user(user_id: UUID) -> ResponseReturnValue:
    def change(session: Session, row: User) -> None:
        people.require_another_admin(session, row)
        people.disable(row, here().clock.now())

    return _changed(user_id, "user.disable", change, "may sign in no more, and is out with the next click")


@action("/users/<uuid:user_id>/enable", Role.ADMIN)
def do_enable_user(user_id: UUID) -> ResponseReturnValue:
    return _changed(user_id, "user.enable", lambda _, row: people.enable(row), "may sign in again")


Change = Callable[[Session, User], None]


def _changed(user_id: UUID, name: str, change: Change, told: str, **data: Any) -> ResponseReturnValue:
    try:
        row = _change(user_id, name, change, **data)
    except LastAdmin as error:
        return _list(f"{error} is the last admin who may sign in: make another one first.")
    return _done(f"{row.name} {told}.")


def _change(user_id: UUID, name: str, change: Change, **data: Any) -> User:
    by = actor()

    def work(session: Session) -> User:
        row = _the_user(session, user_id, is_locked=True)
        change(session, row)
        act.record(session, by, name, row.name, here().clock.now(), data=data)
        return row

    return write(here().engine, work)


def _the_user(session: Session, user_id: UUID, *, is_locked: bool = False) -> User:
    """Raises Problem, 404."""
    row = session.get(User, user_id, with_for_update=is_locked)
    if row is None:
        raise not_found()
    return row


def _role(text: str) -> Role:
    """Raises Problem."""
    if text not in set(Role):
        told = f"Role: {text!r} is none; it is one of {', '.join(Role)}."
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", told)
    return Role(text)


def _shown(name: str, password: str, told: str) -> ResponseReturnValue:
    return shown_once(f"The password of {name}", told, password, flask.url_for("console.show_users"), "To the users")


def _done(told: str) -> ResponseReturnValue:
    flask.flash(told)
    return flask.redirect(flask.url_for("console.show_users"))
