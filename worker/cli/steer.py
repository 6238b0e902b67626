"""`trunkline cancel`, `retry` and `resolve`: what a person may do to a request."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeGuard

import click
from sqlalchemy.orm import Session

from models.base import read, write
from models.clock import time_of
from models.request import Request, view
from worker import steering
from worker.cli.actor import actor
from worker.cli.database import database
from worker.cli.filtering import Meant, filtered
from worker.cli.liveness import hint
from worker.cli.output import say, say_json, warn
from worker.cli.references import the_request
from worker.cli.run import FAILURES, Refusal, command, settings, wants_json
from worker.cli.sweeping import act_on_all
from worker.explain import gather
from worker.explain.actions import meaning
from worker.explain.explanation import Risk
from worker.steering import Act, NotNow, Outcome
from worker.sweeping import MOST_A_SECOND, RATE
from worker.upstreams import DIALECTS
from worker.upstreams.e164 import NotANumber, to_e164

ACT_OF = {Outcome.COMPLETED: Act.COMPLETED, Outcome.FAILED: Act.FAILED, Outcome.RETRY: Act.ORDER_AGAIN}


class NotAllowed(Refusal):
    """The request's state does not allow it."""

    exit_code = FAILURES


def on_one_or_all(function: Callable[..., None]) -> Callable[..., None]:
    """A REF or filters, and what else both ways of steering take."""
    for option in reversed(
        (
            click.argument("ref", required=False),
            filtered,
            click.option("--q", metavar="REF", help="a filter: has this id, number, custom_id or reference"),
            click.option("--note", help="why, for the history; needed with filters"),
            click.option("--rate", type=click.IntRange(1, MOST_A_SECOND), default=RATE, help="with filters: a second"),
            click.option("--dry-run", is_flag=True, help="show what would be done, and what it may cost; do nothing"),
            click.option("--yes", is_flag=True, help="with filters: do not ask, whatever it costs"),
        )
    ):
        function = option(function)
    return function


@command("cancel", answers=True)
@on_one_or_all
def cancel(*, ref: str | None, meant: Meant, note: str | None, rate: int, dry_run: bool, yes: bool) -> None:
    """Withdraw a request that is not ordered yet, or is held; or all such requests that filters match.

    What was ordered upstream, if anything, stays there. With filters it shows first how many are meant and what it may
    cost, has you type the count where it cannot be undone, goes on at --rate a second, and lists each that was refused.

    \b
    Examples:
      trunkline cancel dealer-17
      trunkline cancel --batch dealers.csv --state held --dry-run
      trunkline cancel --reason out_of_stock --older-than 2d --note "the campaign is off"

    \b
    Exit status: 0 done, or nothing matched; 1 refused, all or some; 2 bad usage.
    """

    def work(session: Session, row: Request) -> Request:
        return steering.cancel(session, row.id, actor(), time_of(session), note)

    if is_about_one(ref, meant):
        _steer_one(ref, Act.CANCEL, work, dry_run=dry_run)
    else:
        act_on_all(meant, Act.CANCEL, note, rate, dry_run=dry_run, is_sure=yes)


@command("retry", answers=True)
@on_one_or_all
def retry(*, ref: str | None, meant: Meant, note: str | None, rate: int, dry_run: bool, yes: bool) -> None:
    """Have a request looked at now, or all that filters match. What may have been ordered is looked up first, so it is
    safe almost everywhere; --dry-run says where not.

    \b
    Examples:
      trunkline retry "0412 345 678"
      trunkline retry --state held --reason callback_missing --dry-run
      trunkline retry --upstream avanser --state queued --note "avanser is back" --rate 20

    \b
    Exit status: 0 done, or nothing matched; 1 refused, all or some; 2 bad usage.
    """

    def work(session: Session, row: Request) -> Request:
        return steering.retry(session, row.id, actor(), time_of(session), note)

    if is_about_one(ref, meant):
        _steer_one(ref, Act.RETRY, work, dry_run=dry_run)
    else:
        act_on_all(meant, Act.RETRY, note, rate, dry_run=dry_run, is_sure=yes)


@command("resolve", answers=True)
@on_one_or_all
@click.option("--completed", is_flag=True, help="it is done, with this --number")
@click.option("--failed", is_flag=True, help="nothing was bought, or it was given back by hand")
@click.option("--retry", "again", is_flag=True, help="order it again: twice, where the first order did land")
@click.option("--outcome", type=click.Choice([str(outcome) for outcome in Outcome]), help="the same as one word")
@click.option("--number", help="that it is about, in any format; of one request only")
def resolve(
    *,
    ref: str | None,
    meant: Meant,
    completed: bool,
    failed: bool,
    again: bool,
    outcome: str | None,
    number: str | None,
    note: str | None,
    rate: int,
    dry_run: bool,
    yes: bool,
) -> None:
    """Settle a held request by hand, after a look at the upstream's portal; or all held ones that filters match.

    \b
    Examples:
      trunkline resolve dealer-17 --completed --number 0280740801 --note "seen in the portal"
      trunkline resolve --state held --upstream telmetrics --failed --dry-run
      trunkline resolve --state held --batch dealers.csv --retry --note "none of them is in the portal" --yes

    \b
    Exit status: 0 done, or nothing matched; 1 refused, all or some; 2 bad usage.
    """
    said = {Outcome.COMPLETED: completed, Outcome.FAILED: failed, Outcome.RETRY: again}
    all_said = [one for one, is_chosen in said.items() if is_chosen] + ([Outcome(outcome)] if outcome else [])
    if len(all_said) != 1:
        raise Refusal("say one of --completed, --failed, --retry")
    chosen = all_said[0]

    def work(session: Session, row: Request) -> Request:
        known = None if number is None else _e164(number, row.upstream)
        return steering.resolve(session, row.id, chosen, known, note, actor(), time_of(session))

    if is_about_one(ref, meant):
        _steer_one(ref, ACT_OF[chosen], work, dry_run=dry_run)
    elif number is not None:
        raise Refusal("--number: it is of one request; say its REF, and no filters")
    else:
        act_on_all(meant, ACT_OF[chosen], note, rate, dry_run=dry_run, is_sure=yes)


def is_about_one(ref: str | None, meant: Meant) -> TypeGuard[str]:
    """Whether a REF was said. Raises Refusal where filters were as well."""
    if ref is not None and not meant.is_any:
        raise Refusal("say a REF or filters, not both; --q REF is the filter")
    return ref is not None


def _e164(number: str, upstream: str) -> str:
    try:
        return to_e164(number, DIALECTS[upstream].home)
    except NotANumber as error:
        raise Refusal(f"--number: {error}") from None


def _steer_one(reference: str, act: Act, do: Callable[[Session, Request], Request], *, dry_run: bool) -> None:
    configured = settings()
    with database(configured) as engine:
        try:
            if dry_run:
                _say_what_it_does(reference, act, read(engine, lambda session: _meaning(session, reference, act)))
                return
            row = write(engine, lambda session: do(session, the_request(session, reference)))
        except NotNow as error:
            raise NotAllowed(f"{reference}: {error}") from None
    hint(configured, [row.upstream])
    if wants_json():
        say_json(view(row))
    else:
        say(f"Request {row.id} is {row.state}." + (f" {row.detail}" if row.detail else ""))


def _meaning(session: Session, reference: str, act: Act) -> tuple[Risk, str]:
    """What it may cost, and what it brings about. Raises NotNow, Refusal."""
    row, now = the_request(session, reference), time_of(session)
    steering.decide(act, row, None, actor(), now)
    return meaning(act, gather(session, row, settings(), now))


def _say_what_it_does(reference: str, act: Act, known: tuple[Risk, str]) -> None:
    risk, effect = known
    if wants_json():
        say_json({"ref": reference, "act": act.value, "risk": risk.value, "effect": effect})
    else:
        say(f"{risk.words.capitalize()}. {effect}")
        warn("This was a look alone: nothing was done.")
