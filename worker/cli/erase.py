"""`trunkline erase`: take a person's number out of everything that we keep."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click
from sqlalchemy.orm import Session

from models import act, personal
from models.base import write
from models.clock import time_of
from models.personal import Erased
from worker.cli.actor import actor
from worker.cli.database import database
from worker.cli.output import say, say_json
from worker.cli.references import caller_forms, masked_caller
from worker.cli.run import Refusal, command, settings, wants_json


@command("erase", answers=True)
@click.option("--caller", required=True, help="the number of who called or wrote, in any format")
@click.option("--yes", is_flag=True, help="do not ask first")
def erase(*, caller: str, yes: bool) -> None:
    """Erase a caller's number, and what was written from it. Irreversible.

    That there was a call, when and for how long, stays, without who called. So does that results told of it. Numbers
    of ours are not callers: see `trunkline numbers`.

    \b
    Example: trunkline erase --caller "0412 345 678"
    """
    people = caller_forms(caller)
    _confirm(people, is_sure=yes)
    with database(settings()) as engine:
        total = Erased()
        while (found := write(engine, lambda session: _erase(session, people))) != Erased():
            total += found
        total += Erased(inbox=write(engine, lambda session: _erase_received(session, people)))
    if wants_json():
        say_json(asdict(total))
    else:
        counts = ", ".join(f"{count} {kind}" for kind, count in asdict(total).items())
        say(f"Erased from {counts}." if total != Erased() else f"Nothing here came from {' or '.join(people)}.")


def _erase(session: Session, people: list[str]) -> Erased:
    return _noted(session, people, personal.erase(session, people))


def _erase_received(session: Session, people: list[str]) -> int:
    return _noted(session, people, Erased(inbox=personal.erase_received(session, people))).inbox


def _noted(session: Session, people: list[str], erased: Erased) -> Erased:
    """Written down without the number: that would keep what was to be erased. One act for each portion."""
    if erased != Erased():
        act.record(session, actor(), "caller.erase", masked_caller(people), time_of(session), data=asdict(erased))
    return erased


def _confirm(people: list[str], *, is_sure: bool) -> None:
    if is_sure:
        return
    if not sys.stdin.isatty():
        raise Refusal(f"add --yes to erase all that came from {' or '.join(people)}; nothing was changed")
    click.confirm(f"Erase all that came from {' or '.join(people)}?", abort=True, err=True)
