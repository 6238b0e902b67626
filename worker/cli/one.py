"""`trunkline request`: one request, as JSON."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click
from sqlalchemy.engine import Engine

from models.base import read
from models.clock import make_clock
from models.intake import Taken
from models.request import Request, view
from models.requester import DEFAULT_REQUESTER
from worker.cli.actor import actor
from worker.cli.database import database, requester_named
from worker.cli.liveness import hint, why_idle
from worker.cli.output import say, say_json, say_table, warn
from worker.cli.run import BAD_INPUT, Refusal, command, settings, wants_json
from worker.fault import Fault
from worker.intake import Conflict, Intake, Invalid
from worker.settings import Settings
from worker.strict_json import Unreadable, parse


@command("request", answers=True)
@click.argument("body", metavar="JSON")
@click.option("--requester", default=DEFAULT_REQUESTER, show_default=True, help="for whom")
@click.option("--idempotency-key", "key", help="asking again with the same key takes it once")
def request(*, body: str, requester: str, key: str | None) -> None:
    """Take one request: its JSON, @FILE, or - for standard input.

    \b
    Examples:
      trunkline request @one.json
      trunkline request - --json
    """
    configured = settings()
    asked = read_object(body)
    with database(configured) as engine:
        owner, intake = requester_named(engine, requester), Intake(engine, configured)
        answer_taken(
            configured, engine, lambda: intake.take_one(owner.id, asked, key, make_clock(engine).now(), actor())
        )


def answer_taken(configured: Settings, engine: Engine, take: Callable[[], Taken]) -> Request:
    """Take a request, tell the workers, and show it. Raises Refusal; ends the program where what is asked is wrong."""
    try:
        taken = take()
    except Invalid as error:
        _refuse(error.faults)
    except Conflict:
        raise Refusal("this idempotency key was used before, with another body; nothing was taken") from None
    row = read(engine, lambda session: session.get_one(Request, taken.id))
    hint(configured, [row.upstream])
    if wants_json():
        say_json(view(row))
        return row
    say(f"Request {row.id} is {row.state}." if taken.is_new else f"Taken before: request {row.id}, now {row.state}.")
    if (idle := why_idle(engine, configured)) is not None:
        say(idle)
    return row


def read_object(argument: str) -> dict[str, Any]:
    """The JSON object that an argument is, or whose file it names (@FILE, or - for standard input). Raises Refusal;
    ends the program where it holds what no database keeps."""
    return _parse(_text(argument))


def _text(body: str) -> bytes:
    if body == "-":
        return sys.stdin.buffer.read()
    if not body.startswith("@"):
        return body.encode(errors="surrogateescape")
    try:
        return Path(body[1:]).read_bytes()
    except OSError as error:
        raise Refusal(f"{body[1:]}: {error.strerror}") from None


def _parse(raw: bytes) -> dict[str, Any]:
    try:
        value, faults = parse(raw)
    except Unreadable as error:
        raise Refusal(str(error)) from None
    if faults:
        _refuse(faults)
    if not isinstance(value, dict):
        raise Refusal("a request is a JSON object: {…}")
    return value


def _refuse(faults: list[Fault]) -> NoReturn:
    if wants_json():
        errors = [{"pointer": fault.pointer, "detail": fault.detail} for fault in faults]
        say_json({"error": "the request is wrong", "errors": errors})
    else:
        say_table(("where", "what is wrong"), [(fault.pointer or "/", fault.detail) for fault in faults])
        warn("Nothing was taken.")
    sys.exit(BAD_INPUT)
