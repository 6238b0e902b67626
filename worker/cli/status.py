"""`trunkline status`: how everything stands, on one screen, and what of it wants a person."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from sqlalchemy.engine import Engine

from models.base import read
from models.clock import time_of
from models.state import OPEN, State
from worker.cli import checks
from worker.cli.database import database
from worker.cli.output import say, say_json, say_table
from worker.cli.run import FAILURES, UNREACHABLE, command, settings, wants_json
from worker.explain.explanation import clock, span
from worker.limits import Limits
from worker.overview import Overview, UpstreamNow, gather, view
from worker.settings import Settings
from worker.wants import Gravity, Want, find

GRAVITY = {Gravity.STANDS: "NOW", Gravity.WAITS: "soon", Gravity.LOOK: "later"}

ORDER = (State.QUEUED, State.SUBMITTING, State.ACCEPTED, State.HELD, State.COMPLETED, State.FAILED, State.CANCELLED)


@command("status", answers=True)
def status() -> None:
    """Show how everything stands, on one screen: first what wants a person, gravest first, each with the command that
    shows more; then upstreams, requests by state, what is held and why, results on their way, endpoints in trouble.

    Counts of what is rare stop at 10,000. `share` is how much of an upstream's limits is used since it grew slow or
    refused calls, `calls` are those in flight, `oldest` is how long the oldest has been due, `per min` what ended, over
    the last ten minutes.

    \b
    Examples:
      trunkline status
      trunkline status --json

    \b
    Exit status: 0 nobody is wanted, or to look some time is enough; 1 a person is wanted; 3 the database or the broker
    could not be reached.
    """
    configured = settings()
    with database(configured) as engine:
        overview = look(engine, configured)
    wanted = find(overview)
    if wants_json():
        told = [{"gravity": want.gravity.name.lower(), "what": want.what, "look": want.look} for want in wanted]
        say_json(view(overview) | {"wants": told})
    else:
        _show(overview, wanted)
    sys.exit(_status(overview, wanted))


def look(engine: Engine, configured: Settings) -> Overview:
    """How everything stands now, the broker included."""
    check = checks.broker(configured)
    fault = f"{check.detail}: {check.remedy}" if check.status == UNREACHABLE else None
    limits = Limits(configured.redis_url)
    return read(engine, lambda session: gather(session, configured, limits, time_of(session), fault))


def _status(overview: Overview, wanted: tuple[Want, ...]) -> int:
    if overview.broker is not None:
        return UNREACHABLE
    return FAILURES if any(want.gravity is not Gravity.LOOK for want in wanted) else 0


def _show(overview: Overview, wanted: tuple[Want, ...]) -> None:
    works = "workers, relay and broker live" if overview.silence is None else "NOBODY WORKS"
    say(f"{clock(overview.at)}: {works}.")
    _chapter("What wants a person")
    for one in wanted:
        say(f"{GRAVITY[one.gravity]:<5}  {one.what}\n       {one.look}")  # on a line of its own: it is copied
    if not wanted:
        say("Nothing.")
    _chapter("Upstreams")
    columns = ("upstream", "orders", "share", "calls", "due", "oldest", "unknown", "per min", "failed")
    say_table(columns, [_upstream(overview, one) for one in overview.upstreams], folding=0)
    _chapter("Requests")
    say_table(("upstream", *ORDER), list(_counts(overview)), folding=0)
    if overview.held:
        _chapter("Held")
        held = sorted(overview.held.items(), key=lambda one: -one[1])
        say_table(("upstream", "reason", "requests"), [(*which, f"{count:,}") for which, count in held], folding=0)
    _chapter("Results and what upstreams sent")
    for sentence in _results(overview):
        say(sentence)


def _chapter(title: str) -> None:
    say(f"\n{title}")


def _upstream(overview: Overview, one: UpstreamNow) -> tuple[object, ...]:
    return (
        one.name,
        orders(one),
        f"{one.share:.0%}",
        f"{'?' if one.in_flight is None else one.in_flight} of {one.most_in_flight}",
        f"{one.due:,}",
        "" if one.oldest_due is None or one.oldest_due > overview.at else span(overview.at - one.oldest_due),
        f"{one.unknown:,}",
        f"{one.rate.a_minute:,.0f}",
        "" if one.rate.failed_share is None else f"{one.rate.failed_share:.0%}",
    )


def orders(one: UpstreamNow) -> str:
    """Whether anything is ordered there, in a word."""
    if one.missing:
        return "not set up"
    return "yes" if one.pause is None else "paused"


def _counts(overview: Overview) -> Iterator[tuple[object, ...]]:
    for one in overview.upstreams:
        yield (one.name, *(f"{one.counts[state]:,}" for state in ORDER))
    yield ("all", *(f"{overview.counts[state]:,}" for state in ORDER))
    oldest = (overview.oldest.get(state) if state in OPEN else None for state in ORDER)
    yield ("the oldest", *("" if at is None else span(overview.at - at) for at in oldest))


def _results(overview: Overview) -> Iterator[str]:
    oldest = overview.oldest_delivery
    waits = "" if oldest is None else f", the oldest for {span(overview.at - oldest)}"
    yield f"{overview.deliveries_due:,} results due to be sent{waits}; {overview.deliveries_failed:,} were given up."
    for one in overview.endpoints:
        yield f"Endpoint {one.name}: {one.health}, for {span(overview.at - one.failing_since)}: {one.error}"
    yield f"{overview.inbox_due:,} callbacks due to be read; {overview.not_understood:,} were not understood."
