"""What a person does to one endpoint: try it, switch it off and on, rotate its secret, send it what it missed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from uuid import UUID

import flask
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from models.base import read, rfc3339, write
from models.endpoint import OLD_SECRET_SIGNS_FOR, Endpoint
from models.replaying import PER_SECOND, Range, last_due_at
from models.user import Role
from webhook_receiver.console import confirming, words
from webhook_receiver.console.confirming import Deed
from webhook_receiver.console.endpoints import the_endpoint
from webhook_receiver.console.pages import action, page
from webhook_receiver.console.secret import shown_once
from webhook_receiver.console.sessions import actor
from webhook_receiver.context import here
from webhook_receiver.problems import Problem
from worker import endpoint_steering as steering
from worker import hints
from worker.explain.explanation import Risk, span
from worker.replaying import TooMany, count_replay, replay


@action("/endpoints/<uuid:endpoint_id>/test")
def do_test_endpoint(endpoint_id: UUID) -> ResponseReturnValue:
    filed = write(here().engine, lambda session: steering.test(session, _in_use(session, endpoint_id), actor()).id)
    hints.deliveries()
    flask.flash("A test event is on its way: this page shows what came of it.")
    return flask.redirect(words.link("show_delivery", delivery_id=filed))


@action("/endpoints/<uuid:endpoint_id>/disable")
def do_disable_endpoint(endpoint_id: UUID) -> ResponseReturnValue:
    why = confirming.reason(flask.request.form)

    def work(session: Session) -> Endpoint:
        row = the_endpoint(session, endpoint_id, is_locked=True)
        steering.disable(session, row, actor(), why)
        return row

    row = write(here().engine, work)
    return _done(endpoint_id, f"{row.name} is disabled: nothing is sent there until it is enabled.")


@action("/endpoints/<uuid:endpoint_id>/enable")
def do_enable_endpoint(endpoint_id: UUID) -> ResponseReturnValue:
    why = confirming.reason(flask.request.form)

    def work(session: Session) -> Endpoint:
        row = the_endpoint(session, endpoint_id, is_locked=True)
        steering.enable(session, row, actor(), why)
        return row

    row = write(here().engine, work)
    hints.deliveries()
    return _done(endpoint_id, f"{row.name} is enabled. What it missed meanwhile is sent when you replay it.")


@page("/endpoints/<uuid:endpoint_id>/rotate", Role.ADMIN)
def ask_rotate_endpoint(endpoint_id: UUID) -> ResponseReturnValue:
    return confirming.ask(_rotation(read(here().engine, lambda session: the_endpoint(session, endpoint_id))))


@action("/endpoints/<uuid:endpoint_id>/rotate", Role.ADMIN)
def do_rotate_endpoint(endpoint_id: UUID) -> ResponseReturnValue:
    deed = _rotation(read(here().engine, lambda session: the_endpoint(session, endpoint_id)))
    said = flask.request.form
    if (missing := confirming.fault(deed, said)) is not None:
        return confirming.ask(deed, missing, said)

    def work(session: Session) -> str:
        row = the_endpoint(session, endpoint_id, is_locked=True)
        return steering.rotate(session, row, OLD_SECRET_SIGNS_FOR, actor(), confirming.reason(said))

    secret = write(here().engine, work)
    told = f"Results are signed with this secret, and for {span(OLD_SECRET_SIGNS_FOR)} with the old one too."
    return shown_once(f"The new secret of {deed.code}", told, secret, deed.back, "To the endpoint")


def _rotation(row: Endpoint) -> Deed:
    return Deed(
        title="Rotate the secret",
        risk=Risk.IRREVERSIBLE,
        effect=f"Makes a new secret and shows it once. The old one signs too for {span(OLD_SECRET_SIGNS_FOR)}; "
        "after that a receiver that has not the new one refuses every result.",
        code=row.name,
        address=words.link("do_rotate_endpoint", endpoint_id=row.id),
        about=row.name,
        back=words.link("show_endpoint", endpoint_id=row.id),
        command=f"trunkline endpoints rotate {row.id}",
    )


@page("/endpoints/<uuid:endpoint_id>/replay", Role.OPERATOR)
def ask_replay_endpoint(endpoint_id: UUID) -> ResponseReturnValue:
    """How many results it would be, before any is sent."""
    said = flask.request.args
    a_day_ago = str(rfc3339(here().clock.now() - timedelta(days=1)))
    wanted = _range(endpoint_id, said.get("since") or a_day_ago, said.get("state", "failed"))
    try:
        found = count_replay(here().engine, wanted)
    except TooMany as error:
        raise Problem(HTTPStatus.CONFLICT, "too_many", f"That is {error}.") from None
    return confirming.ask(_replaying(wanted, found))


@action("/endpoints/<uuid:endpoint_id>/replay")
def do_replay_endpoint(endpoint_id: UUID) -> ResponseReturnValue:
    said, start = flask.request.form, here().clock.now()
    wanted = _range(endpoint_id, said.get("since", ""), said.get("state", "failed"))
    try:
        sent = replay(here().engine, wanted, start, actor(), confirming.reason(said))
    except TooMany as error:
        raise Problem(HTTPStatus.CONFLICT, "too_many", f"That is {error}.") from None
    hints.deliveries()
    until = last_due_at(start, sent)
    again = "result is" if sent == 1 else "results are"
    told = f"{sent:,} {again} sent again, the last at {until:%H:%M:%S} UTC." if until else "It missed nothing."
    return _done(endpoint_id, told)


def _replaying(wanted: Range, found: int) -> Deed:
    row, state = wanted.endpoint, "all" if wanted.also_delivered else "failed"
    arrived = "also what arrived" if wanted.also_delivered else "that did not arrive, or was never sent there"
    return Deed(
        title="Send again",
        risk=Risk.SAFE,
        effect=f"{found:,} {'result goes' if found == 1 else 'results go'} to {row.url}: "
        f"all since {rfc3339(wanted.since)} {arrived}. "
        f"They go out {PER_SECOND} a second, each under its own webhook-id.",
        code=row.name,
        address=words.link("do_replay_endpoint", endpoint_id=row.id),
        about=row.name,
        back=words.link("show_endpoint", endpoint_id=row.id),
        command=f"trunkline replay --endpoint {row.id} --since {rfc3339(wanted.since)}"
        + (" --all" if wanted.also_delivered else ""),
        hidden={"since": str(rfc3339(wanted.since)), "state": state},
    )


def _range(endpoint_id: UUID, since: str, state: str) -> Range:
    """What is asked for. Raises Problem."""
    row, now = read(here().engine, lambda session: _in_use(session, endpoint_id)), here().clock.now()
    try:
        moment = datetime.fromisoformat(since.strip())
    except ValueError:
        wrong = f"Since: {since!r} is no time. Write it as 2026-11-22T04:10 (UTC)."
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", wrong) from None
    moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    if moment >= now:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", "Since: must be before now, in UTC.")
    return Range(row, moment, now, state == "all")


def _in_use(session: Session, endpoint_id: UUID) -> Endpoint:
    """Raises Problem: 404, or 409 where it is disabled."""
    row = the_endpoint(session, endpoint_id)
    if row.disabled_at is not None:
        told = f"The endpoint is disabled ({row.disabled_reason}): enable it first. Nothing was sent."
        raise Problem(HTTPStatus.CONFLICT, "endpoint_disabled", told)
    return row


def _done(endpoint_id: UUID, told: str) -> ResponseReturnValue:
    flask.flash(told)
    return flask.redirect(words.link("show_endpoint", endpoint_id=endpoint_id))
