"""`trunkline keys`: who may call the API."""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from uuid import UUID

import click
import sqlalchemy as sa
from sqlalchemy.orm import Session

from models import act, counter
from models.base import read, rfc3339, write
from models.clock import time_of
from models.requester import (
    DEFAULT_REQUESTER,
    ApiKey,
    Requester,
    Scope,
    create_key,
    find_or_make,
    limit_key,
    revoke_key,
)
from models.resealing import reseal
from models.state import OPEN
from worker.cli.actor import actor
from worker.cli.database import database
from worker.cli.output import say, say_json, say_table, warn
from worker.cli.run import FAILURES, Refusal, command, settings, wants_json

PER_DAY = click.IntRange(0, 2**31 - 1)

COLUMNS = (
    "id", "name", "requester", "scopes", "state", "numbers_per_day", "rate", "created_at", "expires_at", "last_used_at",
    "revoked_at",
)  # fmt: skip

LONGEST_LIFE = timedelta(days=100 * 365)


@click.group("keys")
def keys() -> None:
    """Make, list and revoke API keys; and change the secret key."""


@command("create", group=keys, answers=True)
@click.option("--name", required=True, help="what the key is for")
@click.option(
    "--scopes", default="submit,read", show_default=True, help="comma-separated: submit, read, operate, admin"
)
@click.option(
    "--requester", default=DEFAULT_REQUESTER, show_default=True, help="for whom it acts; made where it is new"
)
@click.option(
    "--numbers-per-day", type=PER_DAY, help="the most that may be bought with it in a day of UTC; else any number"
)
@click.option(
    "--expires",
    metavar="DAYS|TIME",
    help="when it ends: in so many days (90d), or at a date or time (2027-01-31, 2027-01-31T12:00:00Z); default: never",
)
@click.option(
    "--rate",
    metavar="N",
    type=click.IntRange(0, 1_000_000),
    help="requests a minute that it may make; 0: any number; default: TRUNKLINE_RATE_LIMIT",
)
def create(
    *, name: str, scopes: str, requester: str, numbers_per_day: int | None, expires: str | None, rate: int | None
) -> None:
    """Make a key and show it, this once. To change over, a requester may have as many keys as it likes.

    \b
    Examples:
      trunkline keys create --name crm --scopes submit,read
      trunkline keys create --name crm --scopes submit,read --expires 90d --json
    """
    wanted = _scopes(scopes)

    def work(session: Session) -> tuple[ApiKey, str]:
        now = time_of(session)
        owner = find_or_make(session, requester, now)
        expires_at = None if expires is None else _end(expires, now)
        most = {"numbers_per_day": numbers_per_day, "requests_a_minute": rate}
        made = create_key(session, owner, name, wanted, now, expires_at=expires_at, **most)
        told = {"name": name, "requester": requester, "scopes": made[0].scopes, "expires_at": rfc3339(expires_at)}
        act.record(session, actor(), "key.create", made[0].id, now, data=told | most)
        return made

    with database(settings()) as engine:
        key, text = write(engine, work)
    if wants_json():
        say_json({"id": str(key.id), "key": text})
    else:
        say(text)
        until = "" if key.expires_at is None else f" until {rfc3339(key.expires_at)}"
        warn(f"Key {key.id} of {requester} may {', '.join(key.scopes)}{until}. It is not shown again.")


def _end(text: str, now: datetime) -> datetime:
    """The moment that `90d`, a date (its beginning, in UTC) or a time with its zone means. Raises Refusal."""
    wrong = f"--expires: {text!r} is neither a number of days, such as 90d, nor a date or a time with its zone"
    if days := re.fullmatch(r"([0-9]{1,6})d", text):
        moment = now + min(timedelta(days=int(days[1])), LONGEST_LIFE)
    else:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise Refusal(wrong) from None
        if moment.tzinfo is None:
            if len(text) > len("2027-01-31"):
                raise Refusal(wrong)
            moment = moment.replace(tzinfo=UTC)
    if moment <= now:
        raise Refusal(f"--expires: {text} is not in the future")
    return moment.astimezone(UTC)


def _state(key: ApiKey, now: datetime) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= now else "open"


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
    """List keys, each with whether it is open and when it was last used, to the minute. Its text is stored nowhere.

    \b
    Example: trunkline keys list
    """
    statement = sa.select(ApiKey, Requester.name).join(Requester, Requester.id == ApiKey.requester_id)
    if requester is not None:
        statement = statement.where(Requester.name == requester)
    with database(settings()) as engine:
        rows, now = read(
            engine, lambda session: (session.execute(statement.order_by(ApiKey.id)).all(), time_of(session))
        )
    shown = [
        {
            "id": str(key.id),
            "name": key.name,
            "requester": owner,
            "scopes": key.scopes,
            "numbers_per_day": key.numbers_per_day,
            "state": _state(key, now),
            "created_at": rfc3339(key.created_at),
            "expires_at": rfc3339(key.expires_at),
            "last_used_at": rfc3339(key.last_used_at),
            "revoked_at": rfc3339(key.revoked_at),
            "rate": key.requests_a_minute,
        }
        for key, owner in rows
    ]
    if wants_json():
        say_json({"data": shown})
        return
    cells = [one | {"scopes": ",".join(key.scopes)} for one, (key, _) in zip(shown, rows, strict=True)]
    say_table(COLUMNS, [[one[column] for column in COLUMNS] for one in cells])


@command("limit", group=keys, answers=True)
@click.argument("key_id", type=click.UUID, metavar="ID")
@click.option("--numbers-per-day", type=PER_DAY, help="the most that may be bought with it in a day of UTC")
@click.option("--unlimited", is_flag=True, help="any number")
def limit(key_id: UUID, *, numbers_per_day: int | None, unlimited: bool) -> None:
    """Say how many numbers may be bought with a key in a day. Raised, what waits goes on by itself.

    \b
    Example: trunkline keys limit 01a2018b-24aa-765b-b118-cca72b45a14d --numbers-per-day 50
    """
    if unlimited == (numbers_per_day is not None):
        raise click.UsageError("say --numbers-per-day N, or --unlimited")

    def work(session: Session) -> bool:
        is_there = limit_key(session, key_id, numbers_per_day)
        if is_there:
            told = {"numbers_per_day": numbers_per_day}
            act.record(session, actor(), "key.limit", key_id, time_of(session), data=told)
        return is_there

    with database(settings()) as engine:
        if not write(engine, work):
            raise Refusal(f"no key has the id {key_id}")
    if wants_json():
        say_json({"id": str(key_id), "numbers_per_day": numbers_per_day})
    else:
        say(f"Key {key_id} may buy {'any number of' if unlimited else format(numbers_per_day, ',')} numbers a day.")


@command("revoke", group=keys, answers=True)
@click.argument("key_id", type=click.UUID, metavar="ID")
def revoke(key_id: UUID) -> None:
    """Close a key, at once.

    \b
    Example: trunkline keys revoke 01a2018b-24aa-765b-b118-cca72b45a14d
    """

    def work(session: Session) -> bool:
        was_open = revoke_key(session, key_id, time_of(session))
        if was_open:
            act.record(session, actor(), "key.revoke", key_id, time_of(session))
        return was_open

    with database(settings()) as engine:
        if not write(engine, work):
            raise Refusal(f"no key that is open has the id {key_id}")
    if wants_json():
        say_json({"id": str(key_id), "revoked": True})
    else:
        say(f"Key {key_id} is closed.")


@command("rotate", group=keys, answers=True)
def rotate() -> None:
    """Seal every secret in the database under the first key of TRUNKLINE_SECRET_KEY. Safe, and can be repeated.

    \b
    To change the secret key:
      1. put a new key in front: TRUNKLINE_SECRET_KEY=new,old; restart all processes
      2. trunkline keys rotate
      3. keep the old one behind it while telcos may still use addresses that it signed: callbacks until the requests
         that were open have ended, calls and messages until those numbers are given up or updated

    \b
    Example: trunkline keys rotate
    """
    configured = settings()
    with database(configured) as engine:
        counts = reseal(engine, configured.keyring)
        # After it: it goes in portions, and to do it again, where this was not written, is harmless.
        write(engine, lambda s: act.record(s, actor(), "secret_key.rotate", "secrets", time_of(s), data=asdict(counts)))
        open_ = read(engine, lambda session: sum(n for state, n in counter.of_all(session).items() if state in OPEN))
    if wants_json():
        say_json({**asdict(counts), "open_requests": open_})
    else:
        say(f"{counts.sealed} secrets were sealed anew under the first key; {counts.current} were before.")
        say(f"{open_} requests are open: callbacks may still come to addresses that an older key signed.")
    if counts.unopened:
        raise Unopened(
            f"{counts.unopened} secrets open with none of the keys in TRUNKLINE_SECRET_KEY: add the key that they had,"
            " or give those endpoints new ones (trunkline endpoints rotate, trunkline endpoints secret --rotate)"
        )


class Unopened(Refusal):
    """Some secrets stay as they are."""

    exit_code = FAILURES
