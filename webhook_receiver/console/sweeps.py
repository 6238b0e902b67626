"""Sweeps in the console: one act on all requests that a filter matches, previewed, confirmed, followed to the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from http import HTTPStatus
from typing import Any
from uuid import UUID

import flask
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from models import sweep
from models.base import read, write
from models.sweep import OutcomeKind, Sweep
from models.user import Role
from webhook_receiver.console.lists import PAGE, Narrowed, NoRequester, RequestsNarrowed, narrowed
from webhook_receiver.console.pages import action, page
from webhook_receiver.console.sessions import actor
from webhook_receiver.context import here
from webhook_receiver.problems import Problem, not_found
from worker import previewing, sweeping
from worker.explain.explanation import Risk
from worker.previewing import Preview
from worker.steering import Act, NotNow
from worker.sweeping import MOST_A_SECOND, RATE, NothingMatches


class SweepNarrowed(RequestsNarrowed):
    """The requests that are meant, and what is to be done to them."""

    act: Act


@page("/sweeps", title="Sweeps")
def show_sweeps() -> ResponseReturnValue:
    wanted, faults = narrowed(Narrowed)
    rows = read(here().engine, lambda session: sweep.newest(session, PAGE + 1, wanted.cursor))
    next_cursor = rows[PAGE - 1].id if len(rows) > PAGE else None
    return flask.render_template(
        "console/sweeps.html", rows=rows[:PAGE], counts=sweep.counts, next_cursor=next_cursor, faults=faults
    )


@page("/sweeps/new", Role.OPERATOR)
def preview_sweep() -> ResponseReturnValue:
    """What would be done, to how many, at what cost."""
    return _preview({})


@action("/sweeps/new")
def order_sweep() -> ResponseReturnValue:
    """Order what was previewed, where it was meant; else say why not."""
    said = flask.request.form
    wanted, seen = _seen()
    try:
        seen = replace(seen, newest=UUID(said["newest"]), at=datetime.fromisoformat(said["at"]))
        rate = int(said.get("rate", RATE))
    except (KeyError, ValueError):
        return _preview(said, "The form was not whole; look at the preview once more.")
    typed = said.get("typed", "").replace(",", "").strip()
    if seen.risk is not Risk.SAFE and typed != str(seen.matching):
        return _preview(said, f"Type {seen.matching} into the field, which is how many match.")
    try:
        ordered = write(
            here().engine,
            lambda session: sweeping.order(session, seen, said.get("why", ""), actor(), here().clock.now(), rate),
        )
    except NothingMatches:
        return _preview(said, "No request matches any more.")
    except ValueError as error:
        return _preview(said, f"{str(error).capitalize()}.")
    flask.flash(f"Ordered: {wanted.act.value.replace('_', ' ')}, to {seen.count} requests.")
    return flask.redirect(flask.url_for("console.show_sweep", sweep_id=ordered.id))


def _seen() -> tuple[SweepNarrowed, Preview]:
    """What is meant, looked at now. Raises Problem, 422, where nothing of it can be done."""
    if flask.request.values.get("act") not in set(Act):
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", "Say what is to be done, by one of the acts.")
    wanted, faults = narrowed(SweepNarrowed)
    if faults:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", " ".join(faults))
    if not set(wanted.parameters) - {"act"}:
        detail = "Narrow the list first: no act is done to all requests there are."
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", detail)
    now = here().clock.now()

    def work(session: Session) -> Preview:
        return previewing.preview(session, wanted.owner(session), wanted.filters_at(now), wanted.act, now)

    try:
        return wanted, read(here().engine, work)
    except NoRequester as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", str(error)) from None


def _preview(said: Mapping[str, str], trouble: str | None = None) -> ResponseReturnValue:
    wanted, seen = _seen()
    shown = flask.render_template(
        "console/sweep_new.html",
        wanted=wanted,
        seen=seen,
        told=list(previewing.told(seen)),
        rate=RATE,
        most=MOST_A_SECOND,
        said=said,
        trouble=trouble,
        kept={name: value for name, value in wanted.parameters.items() if name != "act"},
    )
    return shown, HTTPStatus.OK if trouble is None else HTTPStatus.CONFLICT


@page("/sweeps/<uuid:sweep_id>")
def show_sweep(sweep_id: UUID) -> ResponseReturnValue:
    wanted, faults = narrowed(Narrowed)

    def work(session: Session) -> dict[str, Any]:
        row = session.get(Sweep, sweep_id)
        if row is None:
            raise not_found()
        not_done = (OutcomeKind.REFUSED, OutcomeKind.GONE)
        outcomes = sweep.outcomes(session, sweep_id, not_done, wanted.cursor, PAGE + 1)
        next_cursor = outcomes[PAGE - 1].request_id if len(outcomes) > PAGE else None
        return {"row": row, "outcomes": outcomes[:PAGE], "next_cursor": next_cursor}

    found = read(here().engine, work)
    counts = sweep.counts(found["row"])
    return flask.render_template("console/sweep.html", counts=counts, faults=faults, **found)


@action("/sweeps/<uuid:sweep_id>/<verb>")
def steer_sweep(sweep_id: UUID, verb: str) -> ResponseReturnValue:
    """Pause it, resume it, or end it where it is."""
    if verb not in sweeping.ACTS:
        raise not_found()
    now, who = here().clock.now(), actor()
    try:
        row = write(here().engine, lambda session: sweeping.ACTS[verb](session, sweep_id, who, now))
    except LookupError:
        raise not_found() from None
    except NotNow as error:
        raise Problem(HTTPStatus.CONFLICT, "not_now", f"Not now: {error}.") from None
    flask.flash(f"The sweep is {row.state}.")
    return flask.redirect(flask.url_for("console.show_sweep", sweep_id=sweep_id))
