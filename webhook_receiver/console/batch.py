"""One bulk job in the console: its progress, why some of it stands still, its results, and what may be done to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any
from uuid import UUID

import flask
from flask.typing import ResponseReturnValue
from pydantic import BeforeValidator, Field
from sqlalchemy.orm import Session

from models import counter, spending
from models.base import read, write
from models.batch import Batch
from models.batch_list import MOST, Progress, reasons
from models.requester import names_of
from models.state import State
from models.user import Role
from webhook_receiver import results
from webhook_receiver.console import confirming, words
from webhook_receiver.console.confirming import Deed
from webhook_receiver.console.lists import Narrowed, blank_is_none, narrowed
from webhook_receiver.console.pages import action, page
from webhook_receiver.console.sessions import actor
from webhook_receiver.context import here
from webhook_receiver.problems import not_found
from worker import batch_steering
from worker.explain.explanation import Risk
from worker.steering import NotNow

MOST_NUMBERS = 2**31 - 1

LONGEST_CODE = 40
"""Characters of a name that somebody is asked to type."""

SAFE: Mapping[str, tuple[Callable[[Session, UUID, str], Batch], str]] = {
    "pause": (batch_steering.pause, "The batch is paused: what is ordered goes on to its end."),
    "resume": (batch_steering.resume, "The batch goes on."),
}
"""What one click does."""


class LimitWanted(Narrowed):
    """The form's field; empty means any number."""

    max_numbers: Annotated[int | None, Field(ge=0, le=MOST_NUMBERS), BeforeValidator(blank_is_none)] = None


@page("/batches/<uuid:batch_id>")
def show_batch(batch_id: UUID) -> ResponseReturnValue:
    now = here().clock.now()

    def work(session: Session) -> dict[str, Any]:
        progress = _progress(session, batch_id)
        of_it = spending.of_batch(batch_id)
        return {
            "progress": progress,
            "row": progress.batch,
            "requester": names_of(session, [progress.batch.requester_id])[progress.batch.requester_id],
            "reasons": reasons(session, progress.batch, now),
            "taken": spending.used(session, [of_it], now).get(of_it, 0),
        }

    found = read(here().engine, work)
    return flask.render_template("console/batch.html", now=now, states=list(State), most=MOST, **found)


@page("/batches/<uuid:batch_id>/results.csv")
def get_batch_csv(batch_id: UUID) -> ResponseReturnValue:
    _found(batch_id)
    return results.csv_file(here().engine, batch_id)


@page("/batches/<uuid:batch_id>/results.ndjson")
def get_batch_ndjson(batch_id: UUID) -> ResponseReturnValue:
    _found(batch_id)
    return results.ndjson_file(here().engine, batch_id)


@action("/batches/<uuid:batch_id>/<any(pause, resume):verb>")
def steer_batch(batch_id: UUID, verb: str) -> ResponseReturnValue:
    """Pause it, or let it go on."""
    act, told = SAFE[verb]
    who = actor()
    try:
        write(here().engine, lambda session: act(session, batch_id, who))
    except LookupError:
        raise not_found() from None
    except NotNow as error:
        told = f"Not now: {error}."
    flask.flash(told)
    return _back(batch_id)


@page("/batches/<uuid:batch_id>/cancel", Role.OPERATOR)
def ask_cancel_batch(batch_id: UUID) -> ResponseReturnValue:
    return confirming.ask(_cancelling(_found(batch_id)))


@action("/batches/<uuid:batch_id>/cancel")
def do_cancel_batch(batch_id: UUID) -> ResponseReturnValue:
    deed, said, who = _cancelling(_found(batch_id)), flask.request.form, actor()
    if (missing := confirming.fault(deed, said)) is not None:
        return confirming.ask(deed, missing, said)
    why = confirming.reason(said)
    try:
        write(here().engine, lambda session: batch_steering.cancel(session, batch_id, who, why))
    except NotNow as error:
        return confirming.ask(deed, f"Not now: {error}.", said)
    flask.flash("The batch is cancelled; what is not ordered yet ends, some thousands a second.")
    return _back(batch_id)


@page("/batches/<uuid:batch_id>/limit", Role.OPERATOR)
def ask_limit_batch(batch_id: UUID) -> ResponseReturnValue:
    wanted, faults = narrowed(LimitWanted)
    if faults:
        flask.flash(f"Not changed. max_numbers must be a whole number from 0 to {MOST_NUMBERS:,}, or empty.")
        return _back(batch_id)
    return confirming.ask(_limiting(_found(batch_id), wanted.max_numbers))


@action("/batches/<uuid:batch_id>/limit")
def do_limit_batch(batch_id: UUID) -> ResponseReturnValue:
    wanted, faults = narrowed(LimitWanted)
    if faults:
        return ask_limit_batch(batch_id)
    deed, said, who = _limiting(_found(batch_id), wanted.max_numbers), flask.request.form, actor()
    if (missing := confirming.fault(deed, said)) is not None:
        return confirming.ask(deed, missing, said)
    limit, why = wanted.max_numbers, confirming.reason(said)
    write(here().engine, lambda session: batch_steering.limit(session, batch_id, limit, who, why))
    flask.flash(f"The batch may take {_amount(limit)}.")
    return _back(batch_id)


def code_of(batch: Batch) -> str:
    """What is typed to confirm: its name, where that can be typed as it is shown."""
    is_plain = batch.name == " ".join(batch.name.split()) and len(batch.name) <= LONGEST_CODE
    return batch.name if is_plain and batch.name.isprintable() else words.short(batch.id)


def _found(batch_id: UUID) -> Progress:
    return read(here().engine, lambda session: _progress(session, batch_id))


def _progress(session: Session, batch_id: UUID) -> Progress:
    """Raises Problem, 404."""
    batch = session.get(Batch, batch_id)
    if batch is None:
        raise not_found()
    return Progress(batch, counter.of_batch(session, batch_id))


def _cancelling(found: Progress) -> Deed:
    queued = f"{found.counts.get(State.QUEUED, 0):,} of {found.batch.total:,} requests are not ordered yet"
    return _deed(
        found.batch,
        "Cancel the batch",
        Risk.IRREVERSIBLE,
        f"{queued}, and end as cancelled. What is ordered goes on to its end; what is held stays held.",
        "do_cancel_batch",
        f"trunkline batch cancel {found.batch.id}",
    )


def _limiting(found: Progress, limit: int | None) -> Deed:
    """More room spends; less only keeps from spending."""
    batch, before = found.batch, found.batch.max_numbers
    is_more = before is not None and (limit is None or limit > before)
    effect = f"It may take {_amount(limit)} in all, until now {_amount(before)}."
    effect += " What waits for room goes on by itself." if is_more else " What is bought stays bought."
    option = "--unlimited" if limit is None else f"--max-numbers {limit}"
    return _deed(
        batch,
        "Change the limit",
        Risk.SPENDS_MONEY if is_more else Risk.SAFE,
        effect,
        "do_limit_batch",
        f"trunkline batch limit {batch.id} {option}",
        {"max_numbers": "" if limit is None else str(limit)},
    )


def _deed(
    batch: Batch,
    title: str,
    risk: Risk,
    effect: str,
    view: str,
    command: str,
    hidden: Mapping[str, str] | None = None,
) -> Deed:
    return Deed(
        title=title,
        risk=risk,
        effect=effect,
        code=code_of(batch),
        address=words.link(view, batch_id=batch.id),
        about=f"{batch.name}, {batch.state}",
        back=words.link("show_batch", batch_id=batch.id),
        command=command,
        hidden=hidden or {},
    )


def _amount(limit: int | None) -> str:
    return "any number of numbers" if limit is None else f"{limit:,} number{'s' if limit != 1 else ''}"


def _back(batch_id: UUID) -> ResponseReturnValue:
    return flask.redirect(words.link("show_batch", batch_id=batch_id))
