"""`trunkline keys`: who may call the API."""

from __future__ import annotations

from uuid import UUID

import click
import sqlalchemy as sa
from sqlalchemy.orm import Session

from models.base import read, rfc3339, write
from models.clock import time_of
from models.requester import DEFAULT_REQUESTER, ApiKey, Requester, Scope, create_key, find_or_make, revoke_key
from worker.cli.database import database
from worker.cli.output import say, say_json, say_table, warn
from worker.cli.run import Refusal, command, settings, wants_json

COLUMNS = ("id", "name", "requester", "scopes", "created_at", "revoked_at")


@click.group("keys")
def keys() -> None:
    """Make, list and revoke API keys."""


@command("create", group=keys, answers=True)
@click.option("--name", required=True, help="what the key is for")
@click.option(
    "--scopes", default="submit,read", show_default=True, help="comma-separated: submit, read, operate, admin"
)
@click.option(
    "--requester", default=DEFAULT_REQUESTER, show_default=True, help="for whom it acts; made where it is new"
)
def create(*, name: str, scopes: str, requester: str) -> None:
    """Make a key and show it, this once."""
    wanted = _scopes(scopes)

    def work(session: Session) -> tuple[ApiKey, str]:
        now = time_of(session)
        return create_key(session, find_or_make(session, requester, now), name, wanted, now)

    with database(settings()) as engine:
        key, text = write(engine, work)
    if wants_json():
        say_json({"id": str(key.id), "key": text})
    else:
        say(text)
        warn(f"Key {key.id} of {requester} may {', '.join(key.scopes)}. It is not shown again.")


def _scopes(text: str) -> list[Scope]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := sorted(set(names) - set(Scope)):
        raise Refusal(f"--scopes: {', '.join(unknown)}: not one of {', '.join(Scope)}")
    if not names:
        raise Refusal("--scopes: a key without a scope can do nothing")
    return [Scope(name) for name in dict.fromkeys(names)]


@command("list", group=keys, answers=True)
@click.option("--requester", help="of this one only")
def list_(requester: str | None) -> None:
    """List keys; a key's secret text is stored nowhere."""
    statement = sa.select(ApiKey, Requester.name).join(Requester, Requester.id == ApiKey.requester_id)
    if requester is not None:
        statement = statement.where(Requester.name == requester)
    with database(settings()) as engine:
        rows = read(engine, lambda session: session.execute(statement.order_by(ApiKey.id)).all())
    shown = [
        {
            "id": str(key.id),
            "name": key.name,
            "requester": owner,
            "scopes": key.scopes,
            "created_at": rfc3339(key.created_at),
            "revoked_at": rfc3339(key.revoked_at),
        }
        for key, owner in rows
    ]
    if wants_json():
        say_json({"data": shown})
        return
    cells = [one | {"scopes": ",".join(key.scopes)} for one, (key, _) in zip(shown, rows, strict=True)]
    say_table(COLUMNS, [[one[column] for column in COLUMNS] for one in cells])


@command("revoke", group=keys, answers=True)
@click.argument("key_id", type=click.UUID, metavar="ID")
def revoke(key_id: UUID) -> None:
    """Close a key, at once."""
    with database(settings()) as engine:
        if not write(engine, lambda session: revoke_key(session, key_id, time_of(session))):
            raise Refusal(f"no key that is open has the id {key_id}")
    if wants_json():
        say_json({"id": str(key_id), "revoked": True})
    else:
        say(f"Key {key_id} is closed.")
