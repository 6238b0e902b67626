"""`trunkline cancel`, `retry` and `resolve`: what a person may do to a request."""

from __future__ import annotations

from collections.abc import Callable

import click
from sqlalchemy.orm import Session

from models.base import write
from models.clock import time_of
from models.request import Request, view
from worker import steering
from worker.cli.actor import actor
from worker.cli.database import database
from worker.cli.liveness import hint
from worker.cli.output import say, say_json
from worker.cli.references import the_request
from worker.cli.run import FAILURES, Refusal, command, settings, wants_json
from worker.steering import NotNow, Outcome
from worker.upstreams import DIALECTS
from worker.upstreams.e164 import NotANumber, to_e164


class NotAllowed(Refusal):
    """The request's state does not allow it."""

    exit_code = FAILURES


@command("cancel", answers=True)
@click.argument("ref")
def cancel(ref: str) -> None:
    """Withdraw a request that is not ordered yet, or is held."""
    _steer(ref, lambda session, row: steering.cancel(session, row.id, actor(), time_of(session)))


@command("retry", answers=True)
@click.argument("ref")
def retry(ref: str) -> None:
    """Have a request looked at now. Safe: what may have been ordered is looked up first."""
    _steer(ref, lambda session, row: steering.retry(session, row.id, actor(), time_of(session)))


@command("resolve", answers=True)
@click.argument("ref")
@click.option("--completed", is_flag=True, help="it is done, with this --number")
@click.option("--failed", is_flag=True, help="nothing was bought, or it was given back by hand")
@click.option("--retry", "again", is_flag=True, help="order it again: twice, where the first order did land")
@click.option("--outcome", type=click.Choice([str(outcome) for outcome in Outcome]), help="the same as one word")
@click.option("--number", help="that it is about, in any format")
@click.option("--note", help="why, for the history")
def resolve(
    *, ref: str, completed: bool, failed: bool, again: bool, outcome: str | None, number: str | None, note: str | None
) -> None:
    """Settle a held request by hand, after a look at the upstream's portal.

    \b
    Example: trunkline resolve dealer-17 --completed --number 0280740801 --note "seen in the portal"
    """
    said = {Outcome.COMPLETED: completed, Outcome.FAILED: failed, Outcome.RETRY: again}
    chosen = [one for one, is_chosen in said.items() if is_chosen] + ([Outcome(outcome)] if outcome else [])
    if len(chosen) != 1:
        raise Refusal("say one of --completed, --failed, --retry")

    def work(session: Session, row: Request) -> Request:
        known = None if number is None else _e164(number, row.upstream)
        return steering.resolve(session, row.id, chosen[0], known, note, actor(), time_of(session))

    _steer(ref, work)


def _e164(number: str, upstream: str) -> str:
    try:
        return to_e164(number, DIALECTS[upstream].home)
    except NotANumber as error:
        raise Refusal(f"--number: {error}") from None


def _steer(reference: str, act: Callable[[Session, Request], Request]) -> None:
    configured = settings()

    def work(session: Session) -> Request:
        return act(session, the_request(session, reference))

    with database(configured) as engine:
        try:
            row = write(engine, work)
        except NotNow as error:
            raise NotAllowed(f"{reference}: {error}") from None
    hint(configured, [row.upstream])
    if wants_json():
        say_json(view(row))
    else:
        say(f"Request {row.id} is {row.state}." + (f" {row.detail}" if row.detail else ""))
