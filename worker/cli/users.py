"""`trunkline users`: who may sign in to the console."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click
from sqlalchemy.orm import Session

from models import act
from models import user as people
from models.base import read, rfc3339, write
from models.clock import time_of
from models.user import NameTaken, Role, User
from worker.cli.actor import actor
from worker.cli.database import database
from worker.cli.output import say, say_json, say_table
from worker.cli.run import Refusal, command, settings, wants_json
from worker.passwords import BadPassword, hashed, new_password

ROLES = click.Choice([str(role) for role in Role])


@click.group("users")
def users() -> None:
    """Make, list and close the accounts of people who sign in to the console."""


@command("create", group=users, answers=True)
@click.argument("name", metavar="USER")
@click.option("--role", type=ROLES, default=Role.VIEWER.value, show_default=True)
@click.option("--password-stdin", is_flag=True, help="read the password from standard input")
@click.option("--no-password", is_flag=True, help="signs in through a proxy alone")
def create(*, name: str, role: str, password_stdin: bool, no_password: bool) -> None:
    """Make a user. On a terminal the password is asked for; elsewhere one is made, and shown once.

    A viewer sees everything; an operator also acts on requests, batches, upstreams and results; an admin also makes
    endpoints and users.

    \b
    Example: trunkline users create ann --role admin
    """
    password, is_made = (None, False) if no_password else _password(name, from_stdin=password_stdin)

    def work(session: Session) -> User:
        made = people.create(session, name, Role(role), password and hashed(password, name), time_of(session))
        act.record(session, actor(), "user.create", made.name, time_of(session), data={"role": role})
        return made

    if not people.normal(name):
        raise Refusal("USER: is empty")
    with database(settings()) as engine:
        try:
            made = write(engine, work)
        except NameTaken:
            raise Refusal(f"there is a user {people.normal(name)!r} already") from None
        except BadPassword as error:
            raise Refusal(str(error)) from None
    if wants_json():
        say_json(_view(made) | ({"password": password} if is_made else {}))
    else:
        say(f"User {made.name}, {made.role}." + (f" Password, shown once: {password}" if is_made else ""))


@command("password", group=users, answers=True)
@click.argument("name", metavar="USER")
@click.option("--password-stdin", is_flag=True, help="read the password from standard input")
def password_(*, name: str, password_stdin: bool) -> None:
    """Give a user another password. Every session of the user ends.

    \b
    Example: trunkline users password ann
    """
    password, is_made = _password(name, from_stdin=password_stdin)
    try:
        stored = hashed(password, name)
    except BadPassword as error:
        raise Refusal(str(error)) from None
    changed = _change(name, "user.password", lambda row, _: people.change_password(row, stored))
    if wants_json():
        say_json(_view(changed) | ({"password": password} if is_made else {}))
    else:
        say(f"User {changed.name} has another password" + (f", shown once: {password}" if is_made else "."))


@command("role", group=users, answers=True)
@click.argument("name", metavar="USER")
@click.argument("role", type=ROLES)
def role_(*, name: str, role: str) -> None:
    """Give a user another role, from the next click on.

    \b
    Example: trunkline users role ann operator
    """
    _tell(_change(name, "user.role", lambda row, _: people.change_role(row, Role(role)), role=role))


@command("disable", group=users, answers=True)
@click.argument("name", metavar="USER")
def disable(name: str) -> None:
    """Let a user in no more. Every session ends at once.

    \b
    Example: trunkline users disable ann
    """
    _tell(_change(name, "user.disable", lambda row, session: people.disable(row, time_of(session))))


@command("enable", group=users, answers=True)
@click.argument("name", metavar="USER")
def enable(name: str) -> None:
    """Let a user in again.

    \b
    Example: trunkline users enable ann
    """
    _tell(_change(name, "user.enable", lambda row, _: people.enable(row)))


@command("list", group=users, answers=True)
def list_() -> None:
    """List the users.

    \b
    Example: trunkline users list
    """
    with database(settings()) as engine:
        rows = [_view(row) for row in read(engine, people.every)]
    if wants_json():
        say_json({"data": rows})
        return
    columns = ("name", "role", "created_at", "signed_in_at", "disabled_at")
    say_table(columns, [[row[column] for column in columns] for row in rows])


def _password(name: str, *, from_stdin: bool) -> tuple[str, bool]:
    """The password, and whether it was made here."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\n"), False
    if sys.stdin.isatty() and not wants_json():
        return click.prompt(f"Password for {name}", hide_input=True, confirmation_prompt=True), False
    return new_password(), True


def _change(name: str, what: str, change: Callable[[User, Session], None], **data: Any) -> User:
    def work(session: Session) -> User:
        row = people.find(session, name)
        if row is None:
            raise Refusal(f"there is no user {people.normal(name)!r}; see trunkline users list")
        change(row, session)
        act.record(session, actor(), what, row.name, time_of(session), data=data)
        return row

    with database(settings()) as engine:
        return write(engine, work)


def _tell(row: User) -> None:
    if wants_json():
        say_json(_view(row))
    else:
        say(f"User {row.name}, {row.role}{', disabled' if row.disabled_at else ''}.")


def _view(row: User) -> dict[str, Any]:
    return {
        "name": row.name,
        "role": str(row.role),
        "created_at": rfc3339(row.created_at),
        "signed_in_at": rfc3339(row.signed_in_at),
        "disabled_at": rfc3339(row.disabled_at),
    }
