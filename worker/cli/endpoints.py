"""`trunkline endpoints`: where results go, and the secrets that sign them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import UUID

import click
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from models.base import read, write
from models.clock import time_of
from models.endpoint import Endpoint, EventType, rotate, view
from models.endpoint import create as create_endpoint
from models.requester import DEFAULT_REQUESTER, Requester, find_or_make, new_signing_secret
from worker.cli.actor import actor
from worker.cli.database import database
from worker.cli.output import say, say_json, say_table, warn
from worker.cli.run import Refusal, command, settings, wants_json
from worker.intake.examine import wrong_destination

OLD_SECRET_SIGNS_FOR = timedelta(hours=24)
"""After a rotation both secrets sign, so that the receiver may change over at its leisure."""

COLUMNS = ("id", "name", "requester", "url", "types", "disabled_at", "disabled_reason")

for_whom = click.option("--requester", default=DEFAULT_REQUESTER, show_default=True, help="whose")


@click.group("endpoints")
def endpoints() -> None:
    """Register endpoints, and manage them and their secrets."""


@command("create", group=endpoints, answers=True)
@click.option("--url", required=True)
@click.option("--types", help="comma-separated event types; without it, all")
@click.option("--name", help="without it, the URL's host")
@for_whom
def create(*, url: str, types: str | None, name: str | None, requester: str) -> None:
    """Register an endpoint and show its secret, this once."""
    configured = settings()
    allow_private = configured.environment.allow_private_destinations
    if (fault := wrong_destination(url, allow_private=allow_private)) is not None:
        raise Refusal(f"--url: {fault}")
    called, wanted = name or str(urlsplit(url).hostname), _types(types)

    def work(session: Session) -> Endpoint:
        now = time_of(session)
        return create_endpoint(session, find_or_make(session, requester, now), called, url, wanted, now)

    with database(configured) as engine:
        try:
            endpoint = write(engine, work)
        except IntegrityError:
            raise Refusal(f"{requester} has an endpoint called {called!r}: give this one another --name") from None
    _show_secret(endpoint, f"Endpoint {called} ({endpoint.id}): results are signed with this secret, shown this once.")


def _types(text: str | None) -> frozenset[EventType]:
    names = [name.strip() for name in (text or "").split(",") if name.strip()]
    if unknown := sorted(set(names) - set(EventType)):
        raise Refusal(f"--types: {', '.join(unknown)}: not one of {', '.join(EventType)}")
    return frozenset(EventType(name) for name in names) or frozenset(EventType)


def _show_secret(endpoint: Endpoint, sentence: str) -> None:
    if wants_json():
        say_json({"id": str(endpoint.id), "secret": endpoint.secret})
    else:
        say(endpoint.secret)
        warn(sentence)


@command("list", group=endpoints, answers=True)
@click.option("--requester", help="of this one only")
def list_(requester: str | None) -> None:
    """List endpoints, without their secrets."""
    statement = sa.select(Endpoint, Requester.name).join(Requester, Requester.id == Endpoint.requester_id)
    if requester is not None:
        statement = statement.where(Requester.name == requester)
    with database(settings()) as engine:
        rows = read(engine, lambda session: session.execute(statement.order_by(Endpoint.id)).all())
    shown = [view(endpoint) | {"requester": owner} for endpoint, owner in rows]
    if wants_json():
        say_json({"data": shown})
        return
    say_table(COLUMNS, [[" ".join(one["types"]) if c == "types" else one[c] for c in COLUMNS] for one in shown])


@command("rotate", group=endpoints, answers=True)
@click.argument("endpoint", metavar="NAME_OR_ID")
@for_whom
def rotate_(*, endpoint: str, requester: str) -> None:
    """Give an endpoint a new secret; the old one signs beside it for 24 hours."""

    def change(session: Session, found: Endpoint) -> None:
        rotate(session, found, time_of(session) + OLD_SECRET_SIGNS_FOR)

    found = _change(endpoint, requester, change)
    _show_secret(found, f"Endpoint {found.name}: this is the new secret; the old one signs too for 24 hours.")


@command("disable", group=endpoints, answers=True)
@click.argument("endpoint", metavar="NAME_OR_ID")
@click.option("--reason", help="for whoever wonders later")
@for_whom
def disable(*, endpoint: str, reason: str | None, requester: str) -> None:
    """Send an endpoint nothing more, until it is enabled."""

    def change(session: Session, found: Endpoint) -> None:
        found.disabled_at = found.disabled_at or time_of(session)
        found.disabled_reason = reason or f"disabled by {actor()}"

    _tell(_change(endpoint, requester, change), "is disabled")


@command("enable", group=endpoints, answers=True)
@click.argument("endpoint", metavar="NAME_OR_ID")
@for_whom
def enable(*, endpoint: str, requester: str) -> None:
    """Let an endpoint take results again."""

    def change(_: Session, found: Endpoint) -> None:
        found.disabled_at = found.disabled_reason = None

    _tell(_change(endpoint, requester, change), "is enabled")


def _tell(endpoint: Endpoint, what: str) -> None:
    if wants_json():
        say_json(view(endpoint))
    else:
        say(f"Endpoint {endpoint.name} ({endpoint.id}) {what}.")


def _change(reference: str, requester: str, change: Callable[[Session, Endpoint], None]) -> Endpoint:
    """Change the endpoint of that id, or of that name of that requester, and commit it. Raises Refusal."""

    def work(session: Session) -> Endpoint:
        found = session.scalar(_named(reference, requester).with_for_update(of=Endpoint))
        if found is None:
            raise Refusal(f"no endpoint of {requester} has this name or id: {reference!r}")
        change(session, found)
        session.flush()
        return found

    with database(settings()) as engine:
        return write(engine, work)


def _named(reference: str, requester: str) -> sa.Select[Endpoint]:
    try:
        return sa.select(Endpoint).where(Endpoint.id == UUID(reference))
    except ValueError:
        owned = sa.select(Endpoint).join(Requester, Requester.id == Endpoint.requester_id)
        return owned.where(Requester.name == requester, Endpoint.name == reference)


@command("secret", group=endpoints, answers=True)
@click.option("--rotate", "anew", is_flag=True, help="make a new one; the old one stops at once")
@for_whom
def secret(*, anew: bool, requester: str) -> None:
    """Show the requester's default secret: it signs results that go to a `notify_url`."""

    def work(session: Session) -> str:
        owner = find_or_make(session, requester, time_of(session))
        if anew:
            owner.secret = new_signing_secret()
            session.flush()
        return owner.secret

    with database(settings()) as engine:
        text = write(engine, work)
    if wants_json():
        say_json({"requester": requester, "secret": text})
    else:
        say(text)
