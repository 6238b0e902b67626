"""Batches: the list with how far each is, one with its counts and results, and what a person may do to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from http import HTTPStatus
from typing import Any
from uuid import UUID

import flask
import sqlalchemy as sa
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from models import counter
from models.base import read, write
from models.batch import Batch, BatchState
from models.requester import Requester
from models.state import FINAL, State
from models.user import Role
from webhook_receiver import results
from webhook_receiver.batches import MOST_NUMBERS
from webhook_receiver.console import confirming
from webhook_receiver.console.confirming import Deed
from webhook_receiver.console.lists import PAGE, Narrowed, narrowed
from webhook_receiver.console.pages import action, page
from webhook_receiver.console.sessions import actor
from webhook_receiver.context import here
from webhook_receiver.problems import Problem, not_found
from worker import batch_steering, hints
from worker.explain.explanation import Risk
from worker.steering import NotNow

Counts = Mapping[State, int]

FORMATS = {"csv": (results.as_csv, "text/csv; charset=utf-8"), "ndjson": (results.as_ndjson, "application/x-ndjson")}


@page("/batches", title="Batches")
def show_batches() -> ResponseReturnValue:
    wanted, faults = narrowed(Narrowed)
    newest = sa.select(Batch, Requester.name).join(Requester, Requester.id == Batch.requester_id)
    if wanted.cursor is not None:
        newest = newest.where(Batch.id < wanted.cursor)

    def work(session: Session) -> tuple[Any, dict[UUID, dict[State, int]]]:
        rows = session.execute(newest.order_by(Batch.id.desc()).limit(PAGE + 1)).all()
        return rows, counter.of_batches(session, [row.id for row, _ in rows])

    rows, counts = read(here().engine, work)
    next_cursor = rows[PAGE - 1][0].id if len(rows) > PAGE else None
    return flask.render_template(
        "console/batches.html",
        rows=rows[:PAGE],
        counts=counts,
        ended=ended,
        faults=faults,
        next_cursor=next_cursor,
        states=list(State),
    )


def ended(counts: Counts) -> int:
    return sum(counts.get(state, 0) for state in FINAL)


@page("/batches/<uuid:batch_id>")
def show_batch(batch_id: UUID) -> ResponseReturnValue:
    def work(session: Session) -> dict[str, Any]:
        row = _find(session, batch_id)
        owner = session.get_one(Requester, row.requester_id).name
        return {"row": row, "requester": owner, "counts": counter.of_batch(session, batch_id)}

    found = read(here().engine, work)
    left = _time_left(found["row"], found["counts"])
    return flask.render_template(
        "console/batch.html", states=list(State), ended=ended(found["counts"]), left=left, **found
    )


def _time_left(row: Batch, counts: Counts) -> timedelta | None:
    """At the pace that it has had so far; None where none can be told."""
    if row.state is not BatchState.RUNNING or row.finished_at is not None or not ended(counts):
        return None
    lasted = here().clock.now() - row.created_at
    waits = row.total - ended(counts) - counts.get(State.HELD, 0)
    return lasted / ended(counts) * waits if waits > 0 else None


@page("/batches/<uuid:batch_id>/results.<format_>")
def batch_results(batch_id: UUID, format_: str) -> ResponseReturnValue:
    """What became of each request, in input order, as a file."""
    read(here().engine, lambda session: _find(session, batch_id))
    if format_ not in FORMATS:
        raise not_found()
    write_down, media_type = FORMATS[format_]
    headers = {"Content-Disposition": f"attachment; filename=batch-{batch_id}.{format_}"}
    return flask.Response(write_down(here().engine, batch_id), content_type=media_type, headers=headers)


@action("/batches/<uuid:batch_id>/pause")
def pause_batch(batch_id: UUID) -> ResponseReturnValue:
    """At once: what is ordered goes on, and it can be resumed."""
    return _done(batch_id, lambda session: batch_steering.pause(session, batch_id, actor()))


@page("/batches/<uuid:batch_id>/resume", Role.OPERATOR)
def confirm_batch_resume(batch_id: UUID) -> ResponseReturnValue:
    return confirming.ask(_resuming(batch_id))


@action("/batches/<uuid:batch_id>/resume")
def resume_batch(batch_id: UUID) -> ResponseReturnValue:
    why = confirming.reason(flask.request.form)
    return _if_meant(_resuming(batch_id), lambda session: batch_steering.resume(session, batch_id, actor(), why))


@page("/batches/<uuid:batch_id>/cancel", Role.OPERATOR)
def confirm_batch_cancel(batch_id: UUID) -> ResponseReturnValue:
    return confirming.ask(_cancelling(batch_id))


@action("/batches/<uuid:batch_id>/cancel")
def cancel_batch(batch_id: UUID) -> ResponseReturnValue:
    why = confirming.reason(flask.request.form)
    return _if_meant(_cancelling(batch_id), lambda session: batch_steering.cancel(session, batch_id, actor(), why))


@action("/batches/<uuid:batch_id>/limit")
def limit_batch(batch_id: UUID) -> ResponseReturnValue:
    """Say how many numbers may be bought for it; an empty field lifts the limit. Raised, it spends."""
    said = flask.request.form.get("max_numbers", "").replace(",", "").strip()
    most = int(said) if said.isdecimal() else None
    if said and (most is None or not 1 <= most <= MOST_NUMBERS):
        detail = f"Limit: a whole number from 1 to {MOST_NUMBERS:,}, or nothing for no limit."
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", detail)
    deed = _limiting(batch_id, most)
    return _if_meant(
        deed,
        lambda session: batch_steering.limit(session, batch_id, most, actor(), confirming.reason(flask.request.form)),
    )


def _resuming(batch_id: UUID) -> Deed:
    row, counts = read(here().engine, lambda session: (_find(session, batch_id), counter.of_batch(session, batch_id)))
    effect = f"Lets it go on: up to {counts[State.QUEUED]:,} more numbers are ordered."
    return _deed(row, "Resume the batch", Risk.SPENDS_MONEY, effect, "resume")


def _cancelling(batch_id: UUID) -> Deed:
    row, counts = read(here().engine, lambda session: (_find(session, batch_id), counter.of_batch(session, batch_id)))
    effect = f"Ends the {counts[State.QUEUED]:,} that are not ordered yet. What is ordered goes on to its end."
    return _deed(row, "Cancel the batch", Risk.IRREVERSIBLE, effect, "cancel")


def _limiting(batch_id: UUID, most: int | None) -> Deed:
    row = read(here().engine, lambda session: _find(session, batch_id))
    is_less = most is not None and (row.max_numbers is None or most <= row.max_numbers)
    effect = "Any number may be bought for it." if most is None else f"At most {most:,} are bought for it in all."
    deed = _deed(row, "Limit the batch", Risk.SAFE if is_less else Risk.SPENDS_MONEY, effect, "limit")
    return replace(deed, hidden={"max_numbers": "" if most is None else str(most)})


def _deed(row: Batch, title: str, risk: Risk, effect: str, verb: str) -> Deed:
    return Deed(
        title=title,
        risk=risk,
        effect=effect,
        code=row.name,
        address=flask.url_for(f"console.{verb}_batch", batch_id=row.id),
        about=f"{row.name}, {row.total:,} requests, {row.state}",
        back=flask.url_for("console.show_batch", batch_id=row.id),
        command=f"trunkline batch {verb} {row.id}",
    )


def _if_meant(deed: Deed, work: Callable[[Session], Batch]) -> ResponseReturnValue:
    said = flask.request.form
    if (trouble := confirming.fault(deed, said)) is not None:
        return confirming.ask(deed, trouble, said)
    return _done(UUID(deed.back.rpartition("/")[2]), work)


def _done(batch_id: UUID, work: Callable[[Session], Batch]) -> ResponseReturnValue:
    def change(session: Session) -> list[str]:
        _find(session, batch_id)
        work(session)
        return counter.waiting_in(session, batch_id)

    try:
        waiting = write(here().engine, change)
    except NotNow as error:
        raise Problem(HTTPStatus.CONFLICT, "not_now", f"Not now: {error}.") from None
    for name in waiting:
        hints.upstream(name)
    row = read(here().engine, lambda session: _find(session, batch_id))
    limit = "any number of" if row.max_numbers is None else f"at most {row.max_numbers:,}"
    flask.flash(f"{row.name} is {row.state}; {limit} numbers may be bought for it.")
    return flask.redirect(flask.url_for("console.show_batch", batch_id=batch_id))


def _find(session: Session, batch_id: UUID) -> Batch:
    """Raises Problem, 404."""
    row = session.get(Batch, batch_id)
    if row is None:
        raise not_found()
    return row
