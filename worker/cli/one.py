"""`trunkline request`: one request, as JSON."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from models.base import read, utc_now
from models.request import Request, view
from models.requester import DEFAULT_REQUESTER
from worker.cli.actor import actor
from worker.cli.database import database, requester_named
from worker.cli.liveness import hint, why_idle
from worker.cli.output import say, say_json, say_table, warn
from worker.cli.run import BAD_INPUT, Refusal, command, settings, wants_json
from worker.fault import Fault
from worker.intake import Conflict, Intake, Invalid
from worker.strict_json import Unreadable, parse


@command("request", answers=True)
@click.argument("body", metavar="JSON")
@click.option("--requester", default=DEFAULT_REQUESTER, show_default=True, help="for whom")
@click.option("--idempotency-key", "key", help="asking again with the same key takes it once")
def request(*, body: str, requester: str, key: str | None) -> None:
    """Take one request: its JSON, @FILE, or - for standard input."""
    configured = settings()
    asked = _parse(_text(body))
    with database(configured) as engine:
        owner = requester_named(engine, requester)
        try:
            taken = Intake(engine, configured).take_one(owner.id, asked, key, utc_now(), actor())
        except Invalid as error:
            _refuse(error.faults)
        except Conflict:
            raise Refusal("this idempotency key was used before, with another body; nothing was taken") from None
        row = read(engine, lambda session: session.get_one(Request, taken.id))
        idle = why_idle(engine, configured)
    hint(configured, [row.upstream])
    if wants_json():
        say_json(view(row))
        return
    say(f"Request {row.id} is {row.state}." if taken.is_new else f"Taken before: request {row.id}, now {row.state}.")
    if idle is not None:
        say(idle)


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
