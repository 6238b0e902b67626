"""Changing a number that we hold, or giving it up: which request that makes, and when it makes none."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models import act
from models.base import new_id, read, write
from models.intake import Taken, known_keys
from models.number import Number
from models.request import Kind, Request
from models.state import OPEN, State
from worker import steering
from worker.intake import Intake, Invalid
from worker.intake.body import faults_of_change
from worker.steering import NotNow


class NotHeld(Exception):
    """The number is not ours any more, or not for long; the message says why."""


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks for something to become of a number, when, and under which idempotency key."""

    intake: Intake
    engine: Engine
    key: str | None
    actor: str
    now: datetime
    why: str | None = None  # for the audit


def change(asking: Asking, number: Number, wishes: Mapping[str, Any]) -> Taken:
    """Ask for an update of this number. `wishes` is a `NumberChange` in JSON's types. Commits.

    Raises NotHeld, also where a release has been sent; Invalid; Conflict.
    """
    if not _asked_before(asking, number):
        _require_held(number)
        release = _open_release(asking.engine, number)
        if release is not None and release.state is not State.QUEUED:
            raise NotHeld(f"{number.number} is being given up by request {release.id}, which is {release.state}")
    if faults := faults_of_change(wishes):
        raise Invalid(faults)
    return _take(asking, number, Kind.UPDATE, wishes)


def give_up(asking: Asking, number: Number, *, at_once: bool) -> Taken:
    """Ask for the release of this number; where one is open already, that is the answer. Commits.

    `at_once` sends it without the delay in which it can be cancelled, also one that was asked for before.
    Raises NotHeld, Conflict, Invalid.
    """
    taken = _release(asking, number, at_once=at_once)
    if at_once and not taken.is_new:
        with suppress(NotNow):  # it is on its way
            write(asking.engine, lambda session: _hasten(session, taken, asking))
    return taken


def _release(asking: Asking, number: Number, *, at_once: bool) -> Taken:
    if not _asked_before(asking, number):
        _require_held(number)
        if (release := _open_release(asking.engine, number)) is not None:
            return Taken(release.id, is_new=False)
    return _take(asking, number, Kind.RELEASE, {}, release_now=at_once)


def _asked_before(asking: Asking, number: Number) -> bool:
    """Whether the key was used: then it is asked what became of that, whatever has become of the number since."""
    key = asking.key
    return key is not None and bool(
        read(asking.engine, lambda session: known_keys(session, number.requester_id, [key]))
    )


def _require_held(number: Number) -> None:
    if number.released_at is not None:
        by = "" if number.released_by is None else f", by request {number.released_by}"
        raise NotHeld(f"{number.number} was given up at {number.released_at:%Y-%m-%d %H:%M:%S} UTC{by}")


def _open_release(engine: Engine, number: Number) -> Request | None:
    """The newest, where there are several: they came at the same moment, or as requests of their own."""
    statement = sa.select(Request).where(
        Request.number == number.number,
        Request.requester_id == number.requester_id,
        Request.upstream == number.upstream,
        Request.kind == Kind.RELEASE,
        Request.state.in_(OPEN),
    )
    return read(engine, lambda session: session.scalar(statement.order_by(Request.id.desc()).limit(1)))


def _take(asking: Asking, number: Number, kind: Kind, wishes: Mapping[str, Any], *, release_now: bool = False) -> Taken:
    body = {**wishes, "upstream": number.upstream, "kind": kind.value, "number": number.number}
    act_id, name = new_id(), "number.change" if kind is Kind.UPDATE else "number.release"

    def note(session: Session, taken: Taken) -> None:
        told = {"upstream": number.upstream, "request": str(taken.id)}
        act.record_once(session, act_id, asking.actor, name, number.number, asking.now, asking.why, told)

    return asking.intake.take_one(
        number.requester_id, body, asking.key, asking.now, asking.actor, release_now=release_now, note=note
    )


def _hasten(session: Session, release: Taken, asking: Asking) -> None:
    row = session.get(Request, release.id)
    if row is not None and row.state is State.QUEUED:
        steering.hasten(session, row.id, asking.actor, asking.now, asking.why)
