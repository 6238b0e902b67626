"""`trunkline users`: the accounts of those who sign in to the console."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from models import user as people
from models.act import Act
from models.base import read
from tests.integration.cli import Cli, cli, environment
from worker.passwords import SHORTEST, BadPassword, hashed, is_right

__all__ = ["cli", "environment"]


def stored(cli: Cli, name: str) -> people.User:
    found = read(cli.engine, lambda session: people.find(session, name))
    assert found is not None
    return found


def test_the_first_admin_is_made_with_a_password_that_is_shown_once(cli: Cli) -> None:
    made = cli.json("users", "create", "Ann", "--role", "admin")
    assert (made["name"], made["role"]) == ("ann", "admin")
    assert is_right(stored(cli, "ann").password, made["password"])
    assert made["password"] not in cli.run("users", "list", "--json").output


def test_a_password_can_come_by_standard_input(cli: Cli) -> None:
    cli.run("users", "create", "ann", "--password-stdin", stdin="a horse of correct battery\n")
    assert is_right(stored(cli, "ann").password, "a horse of correct battery")


def test_who_signs_in_elsewhere_needs_no_password(cli: Cli) -> None:
    cli.run("users", "create", "ann", "--no-password")
    assert stored(cli, "ann").password is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("users", "create", "ANN"), "there is a user 'ann' already"),
        (("users", "create", " "), "USER: is empty"),
        (("users", "disable", "bob"), "there is no user 'bob'"),
        (("users", "role", "bob", "admin"), "there is no user 'bob'"),
    ],
)
def test_what_cannot_be_is_refused_in_words(cli: Cli, words: tuple[str, ...], said: str) -> None:
    cli.run("users", "create", "ann")
    refused = cli.run(*words, status=2)
    assert said in refused.stderr


def test_another_password_ends_the_sessions_and_a_disabled_user_stays_out(cli: Cli) -> None:
    cli.run("users", "create", "ann")
    cli.run("users", "password", "ann")
    cli.run("users", "disable", "ann")
    row = stored(cli, "ann")
    assert row.generation == 2
    assert row.disabled_at is not None
    cli.run("users", "enable", "ann")
    assert stored(cli, "ann").disabled_at is None


def test_every_change_of_an_account_stands_in_the_audit(cli: Cli) -> None:
    cli.run("users", "create", "ann")
    cli.run("users", "role", "ann", "operator")
    acts = read(cli.engine, lambda session: session.execute(sa.select(Act.act, Act.subject).order_by(Act.id)).all())
    assert [tuple(row) for row in acts] == [("user.create", "ann"), ("user.role", "ann")]


@pytest.mark.parametrize("password", ["short", "x" * (SHORTEST - 1), "x" * 257, "my name is Ann, hello"])
def test_a_password_that_is_easily_guessed_is_refused(password: str) -> None:
    with pytest.raises(BadPassword):
        hashed(password, "ann")


def test_what_was_never_a_hash_is_no_password() -> None:
    assert not is_right(None, "a horse of correct battery")
    assert not is_right("nonsense", "a horse of correct battery")
