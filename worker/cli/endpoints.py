"""`trunkline endpoints`: where results go, and the secrets that sign them."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import click
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from models import act
from models.base import read, write
from models.clock import time_of
from models.delivery import Delivery, DeliveryState
from models.endpoint import LONGEST_GRACE, OLD_SECRET_SIGNS_FOR, Endpoint, EventType, view
from models.requester import DEFAULT_REQUESTER, Requester, find_or_make, new_signing_secret
from worker import endpoint_steering as steering
from worker.cli import completing
from worker.cli.actor import actor
from worker.cli.database import database
from worker.cli.output import say, say_json, say_table, warn
from worker.cli.run import FAILURES, Refusal, command, settings, wants_json
from worker.endpoint_steering import Wanted
from worker.intake.examine import wrong_destination
from worker.settings import Settings

PICKED_UP_WITHIN = timedelta(seconds=10)
"""A worker that is not busy takes up a test within a second; beyond its time to answer, that is how long we wait."""

LOOK_EVERY = timedelta(milliseconds=100)

COLUMNS = ("id", "name", "requester", "url", "types", "health", "disabled_at", "disabled_reason", "description")

for_whom = click.option("--requester", default=DEFAULT_REQUESTER, show_default=True, help="whose")


@click.group("endpoints")
def endpoints() -> None:
    """Register endpoints, and manage them and their secrets."""


@command("create", group=endpoints, answers=True)
@click.option("--url", required=True)
@click.option("--types", help="comma-separated event types; without it, all")
@click.option("--name", help="without it, the URL's host")
@click.option("--description", help="for people")
@for_whom
def create(*, url: str, types: str | None, name: str | None, description: str | None, requester: str) -> None:
    """Register an endpoint and show its secret, this once.

    \b
    Example: trunkline endpoints create --url https://crm.example/hook --name crm
    """
    configured = settings()
    _require_good(url, configured)
    called, wanted = name or steering.host(url), Wanted(url, name, _types(types), description)

    def work(session: Session) -> Endpoint:
        return steering.create(session, find_or_make(session, requester, time_of(session)), wanted, actor())

    with database(configured) as engine:
        try:
            endpoint = write(engine, work)
        except IntegrityError:
            raise _name_taken(requester, called) from None
    _show_secret(endpoint, f"Endpoint {called} ({endpoint.id}): results are signed with this secret, shown this once.")


def _require_good(url: str, configured: Settings) -> None:
    """Raises Refusal where nothing may be sent there."""
    allow_private = configured.environment.allow_private_destinations
    if (fault := wrong_destination(url, allow_private=allow_private)) is not None:
        raise Refusal(f"--url: {fault}")


def _name_taken(requester: str, name: str | None) -> Refusal:
    return Refusal(f"{requester} has an endpoint called {name!r}: give this one another --name")


def _types(text: str | None) -> frozenset[EventType]:
    names = [name.strip() for name in (text or "").split(",") if name.strip()]
    if unknown := sorted(set(names) - set(EventType)):
        raise Refusal(f"--types: {', '.join(unknown)}: not one of {', '.join(EventType)}")
    return frozenset(EventType(name) for name in names) or frozenset(EventType)


def _show_secret(endpoint: Endpoint, sentence: str) -> None:
    if wants_json():
        say_json({"id": str(endpoint.id), "secret": endpoint.secret})
    else:
        say(endpoint.secret or "")
        warn(sentence)


@command("list", group=endpoints, answers=True)
@click.option("--requester", help="of this one only")
def list_(requester: str | None) -> None:
    """List endpoints, without their secrets.

    \b
    Example: trunkline endpoints list
    """
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


@command("update", group=endpoints, answers=True)
@click.argument("endpoint", metavar="NAME_OR_ID", shell_complete=completing.endpoints)
@click.option("--url")
@click.option("--types", help="comma-separated event types")
@click.option("--name")
@click.option("--description", help="for people; '' takes it away")
@for_whom
def update(
    *, endpoint: str, url: str | None, types: str | None, name: str | None, description: str | None, requester: str
) -> None:
    """Change an endpoint's URL, types, name or description; its secret stays.

    \b
    Example: trunkline endpoints update crm --url https://crm.example/new
    """
    if {url, types, name, description} == {None}:
        raise Refusal("nothing to change: give --url, --types, --name or --description")
    if url is not None:
        _require_good(url, settings())
    wanted = Wanted(url or None, name or None, None if types is None else _types(types), description)

    def change(session: Session, found: Endpoint) -> None:
        steering.change(session, found, wanted, actor())

    try:
        _tell(_change(endpoint, requester, change), "is changed")
    except IntegrityError:
        raise _name_taken(requester, name) from None


@command("rotate", group=endpoints, answers=True)
@click.argument("endpoint", metavar="NAME_OR_ID", shell_complete=completing.endpoints)
@click.option(
    "--grace",
    type=click.IntRange(0, LONGEST_GRACE // timedelta(seconds=1)),
    default=OLD_SECRET_SIGNS_FOR // timedelta(seconds=1),
    show_default=True,
    help="seconds in which the old one signs too",
)
@for_whom
def rotate_(*, endpoint: str, grace: int, requester: str) -> None:
    """Give an endpoint a new secret; the old one signs beside it for 24 hours, or --grace.

    \b
    Example: trunkline endpoints rotate crm
    """
    signs_for = timedelta(seconds=grace)

    def change(session: Session, found: Endpoint) -> None:
        steering.rotate(session, found, signs_for, actor())

    found = _change(endpoint, requester, change)
    hours = f"{signs_for / timedelta(hours=1):g}"
    _show_secret(found, f"Endpoint {found.name}: this is the new secret; the old one signs too for {hours} hours.")


@command("test", group=endpoints, answers=True)
@click.argument("endpoint", metavar="NAME_OR_ID", shell_complete=completing.endpoints)
@for_whom
def test(*, endpoint: str, requester: str) -> None:
    """Send an endpoint a signed test event, as results are sent, and say what it answered.

    Whatever types it takes. A worker must be running. The exit status is 1 where it did not arrive.

    \b
    Example: trunkline endpoints test crm
    """
    configured = settings()
    patience = timedelta(seconds=configured.environment.delivery_timeout) + PICKED_UP_WITHIN

    def file(session: Session) -> UUID:
        found = find_endpoint(session, endpoint, requester)
        if found.disabled_at is not None:
            raise Refusal(f"{found.name} is disabled ({found.disabled_reason}): enable it first; nothing was sent")
        return steering.test(session, found, actor()).id

    with database(configured) as engine:
        row, took = _await(engine, write(engine, file), patience)
    _tell_test(row, took)


def _await(engine: Engine, id_: UUID, patience: timedelta) -> tuple[Delivery, timedelta]:
    """The delivery after its first try, or as it is when our patience ends; and how long that took."""
    start = time.monotonic()
    while True:
        row = read(engine, lambda session: session.get_one(Delivery, id_))
        took = timedelta(seconds=time.monotonic() - start)
        if row.state is not DeliveryState.PENDING or row.last_error is not None or took > patience:
            return row, took
        time.sleep(LOOK_EVERY.total_seconds())


def _tell_test(row: Delivery, took: timedelta) -> None:
    """Ends the command with status 1 where it did not arrive."""
    is_tried = row.state is not DeliveryState.PENDING or row.last_error is not None
    error = row.last_error if is_tried else "no worker has taken it up: is one running?"
    if row.delivered_at is not None:
        took = row.delivered_at - row.created_at
    has_arrived = row.state is DeliveryState.DELIVERED
    told = {"delivery": str(row.id), "state": str(row.state), "status": row.last_status, "error": error}
    if wants_json():
        say_json(told | {"latency_ms": round(took / timedelta(milliseconds=1))})
    elif has_arrived:
        say(f"It arrived after {took.total_seconds():.1f} s: answered {row.last_status}.")
    else:
        say(f"It did not arrive: {error} (after {took.total_seconds():.1f} s).")
    if not has_arrived:
        click.get_current_context().exit(FAILURES)


@command("disable", group=endpoints, answers=True)
@click.argument("endpoint", metavar="NAME_OR_ID", shell_complete=completing.endpoints)
@click.option("--reason", help="for whoever wonders later")
@for_whom
def disable(*, endpoint: str, reason: str | None, requester: str) -> None:
    """Send an endpoint nothing more, until it is enabled.

    \b
    Example: trunkline endpoints disable crm
    """

    def change(session: Session, found: Endpoint) -> None:
        steering.disable(session, found, actor(), reason)

    _tell(_change(endpoint, requester, change), "is disabled")


@command("enable", group=endpoints, answers=True)
@click.argument("endpoint", metavar="NAME_OR_ID", shell_complete=completing.endpoints)
@for_whom
def enable(*, endpoint: str, requester: str) -> None:
    """Let an endpoint take results again.

    \b
    Example: trunkline endpoints enable crm
    """

    def change(session: Session, found: Endpoint) -> None:
        steering.enable(session, found, actor())

    _tell(_change(endpoint, requester, change), "is enabled")


def _tell(endpoint: Endpoint, what: str) -> None:
    if wants_json():
        say_json(view(endpoint))
    else:
        say(f"Endpoint {endpoint.name} ({endpoint.id}) {what}.")


def _change(reference: str, requester: str, change: Callable[[Session, Endpoint], None]) -> Endpoint:
    """Change the endpoint of that id, or of that name of that requester, and commit it. Raises Refusal."""

    def work(session: Session) -> Endpoint:
        found = find_endpoint(session, reference, requester, is_locked=True)
        change(session, found)
        session.flush()
        return found

    with database(settings()) as engine:
        return write(engine, work)


def find_endpoint(session: Session, reference: str, requester: str, *, is_locked: bool = False) -> Endpoint:
    """The endpoint of that id, or of that name of that requester. Raises Refusal."""
    statement = _named(reference, requester)
    found = session.scalar(statement.with_for_update(of=Endpoint) if is_locked else statement)
    if found is None:
        raise Refusal(f"no endpoint of {requester} has this name or id: {reference!r}")
    return found


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
    """Show the requester's default secret: it signs results that go to a `notify_url`.

    \b
    Example: trunkline endpoints secret --requester default
    """

    def work(session: Session) -> str:
        owner = find_or_make(session, requester, time_of(session))
        if anew:
            owner.secret = new_signing_secret()
            act.record(session, actor(), "requester.rotate", requester, time_of(session))
        if owner.secret is None:
            raise Refusal(f"the secret of {requester} opens with no key in TRUNKLINE_SECRET_KEY: add the key it had")
        return owner.secret

    with database(settings()) as engine:
        text = write(engine, work)
    if wants_json():
        say_json({"requester": requester, "secret": text})
    else:
        say(text)
