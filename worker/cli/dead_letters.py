"""`trunkline dead-letters`: messages on the queue that could not be taken, and what to do about them."""

from __future__ import annotations

import sys
from dataclasses import replace
from uuid import UUID

import click
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models import act, dead_letter
from models.base import read, write
from models.clock import make_clock, time_of
from models.dead_letter import DeadLetter, Settlement, is_open, view
from models.intake import Taken
from models.listing import LONGEST_PAGE, BadCursor, page_of
from worker import enqueued
from worker.cli.actor import actor
from worker.cli.database import database
from worker.cli.liveness import hint
from worker.cli.output import say, say_fields, say_json, say_table, warn
from worker.cli.run import FAILURES, Refusal, command, settings, wants_json
from worker.enqueued import Message, NotTaken
from worker.upstreams import DIALECTS

COLUMNS = ("id", "created_at", "reason", "requester", "idempotency_key", "detail")


@click.group("dead-letters")
def dead_letters() -> None:
    """Requests that backends put on the queue and that could not be taken. Each is kept until you deal with it."""


@command("list", answers=True, group=dead_letters)
@click.option("--all", "every", is_flag=True, help="those that somebody has dealt with as well")
@click.option("--limit", type=click.IntRange(1, LONGEST_PAGE), default=50, show_default=True)
@click.option("--cursor", help="the next page, as the one before it named it")
def list_(*, every: bool, limit: int, cursor: str | None) -> None:
    """List them, the last first.

    \b
    Example: trunkline dead-letters list
    """
    conditions = [sa.true()] if every else [is_open()]
    with database(settings()) as engine:
        try:
            rows, next_cursor = read(engine, lambda session: page_of(session, DeadLetter, conditions, limit, cursor))
        except BadCursor as error:
            raise Refusal(str(error)) from None
    found = [view(row) for row in rows]
    if wants_json():
        say_json({"data": found, "next_cursor": next_cursor})
        return
    say_table(COLUMNS, [[row[column] for column in COLUMNS] for row in found])
    if next_cursor is not None:
        warn(f"There are more: --cursor {next_cursor}")


@command("show", answers=True, group=dead_letters)
@click.argument("id_", metavar="ID", type=click.UUID)
def show(*, id_: UUID) -> None:
    """Show one of them whole.

    \b
    Example: trunkline dead-letters show 01a2018b-24aa-765b-b118-cca72b45a14d
    """
    with database(settings()) as engine:
        row = view(_one(engine, id_))
    say_json(row) if wants_json() else say_fields(row)


@command("replay", answers=True, group=dead_letters)
@click.argument("id_", metavar="ID", type=click.UUID)
@click.option("--body", metavar="FILE", help="the request as it should have been, as JSON; -: standard input")
@click.option("--idempotency-key", help="where the message had none, or one that was used before")
@click.option("--requester", help="for whom, where the message named another")
def replay(*, id_: UUID, body: str | None, idempotency_key: str | None, requester: str | None) -> None:
    """Take its request after all, by the same rules as any other; it may spend money.

    \b
    Exit status: 0 it was taken, 1 it still cannot be: it stays as it is.

    \b
    Examples: trunkline dead-letters replay 01a2018b-24aa-765b-b118-cca72b45a14d
              trunkline dead-letters replay 01a2018b-24aa-765b-b118-cca72b45a14d --body mended.json
    """
    configured = settings()
    with database(configured) as engine:
        row = _one(engine, id_)
        if row.settled_at is not None:
            raise Refusal(f"it was {row.settlement} by {row.settled_by} already")
        if body is None and not row.is_whole:
            raise Refusal("only its beginning was kept, since it is too long: give the request with --body")
        message = Message(row.body, row.requester, row.idempotency_key)
        if body is not None:
            message = replace(message, body=_content(body))
        message = replace(
            message,
            requester=requester or message.requester,
            idempotency_key=idempotency_key or message.idempotency_key,
        )
        who = actor()

        def settle(session: Session, taken: Taken) -> None:
            now = time_of(session)
            if dead_letter.settle(session, id_, Settlement.REPLAYED, who, now, taken.id):
                act.record(session, who, "dead_letter.replay", id_, now, data={"request": str(taken.id)})

        try:
            taken = enqueued.take(engine, configured, make_clock(engine), message, who, settle)
        except NotTaken as why:
            _tell(
                {"id": str(id_), "done": False, "reason": why.reason, "detail": why.detail}, f"Not taken: {why.detail}"
            )
            sys.exit(FAILURES)
        if not taken.is_new:
            write(engine, lambda session: settle(session, taken))
    hint(configured, DIALECTS)
    _tell({"id": str(id_), "done": True, "request": str(taken.id)}, f"Taken as request {taken.id}.")


@command("discard", answers=True, group=dead_letters)
@click.argument("id_", metavar="ID", type=click.UUID)
@click.option("--reason", required=True, help="why, for the audit")
def discard(*, id_: UUID, reason: str) -> None:
    """Never take it. It stays in the list of --all.

    \b
    Example: trunkline dead-letters discard 01a2018b-24aa-765b-b118-cca72b45a14d --reason "a test of ours"
    """

    def work(session: Session) -> bool:
        now, who = time_of(session), actor()
        is_done = dead_letter.settle(session, id_, Settlement.DISCARDED, who, now)
        if is_done:
            act.record(session, who, "dead_letter.discard", id_, now, reason)
        return is_done

    with database(settings()) as engine:
        row = _one(engine, id_)
        if not write(engine, work):
            raise Refusal(f"it was {row.settlement} by {row.settled_by} already")
    _tell({"id": str(id_), "done": True}, "Discarded.")


def _one(engine: Engine, id_: UUID) -> DeadLetter:
    row = read(engine, lambda session: session.get(DeadLetter, id_))
    if row is None:
        raise Refusal(f"there is no dead letter {id_}: see trunkline dead-letters list --all")
    return row


def _content(path: str) -> str:
    try:
        with click.open_file(path, "rb") as file:
            content: bytes = file.read()
            return content.decode("utf-8", "replace")
    except OSError as error:
        raise Refusal(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from None


def _tell(row: dict[str, object], words: str) -> None:
    say_json(row) if wants_json() else say(words)
