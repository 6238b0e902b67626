"""`trunkline upstream`: whether anything is ordered there, the switch, and what stands at the upstream itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import click
from sqlalchemy.orm import Session

from models import counter, inventory, spending
from models import upstream as switches
from models.base import read, rfc3339, write
from models.clock import time_of
from models.number import Number
from models.state import OPEN, State
from worker import inquiry, upstream_steering
from worker.cli.actor import actor
from worker.cli.asking import asking
from worker.cli.database import database
from worker.cli.liveness import hint
from worker.cli.output import say, say_json, say_table, warn
from worker.cli.run import command, settings, wants_json
from worker.limits import Limits
from worker.settings import Settings
from worker.signing import Tokens, Uris
from worker.upstream_settings import UPSTREAMS
from worker.upstreams import DIALECTS
from worker.upstreams.base import OwnedNumber

one_of_ours = click.argument("name", type=click.Choice(sorted(DIALECTS)))


def one_or_all(function: Callable[..., None]) -> Callable[..., None]:
    """An upstream, or `--all`."""
    function = click.option("--all", "is_all", is_flag=True, help="the switch of all upstreams")(function)
    return click.argument("name", type=click.Choice(sorted(DIALECTS)), required=False)(function)


WHOLE_LIST_WITHIN = timedelta(minutes=5)
"""For all pages of what an upstream says is ours."""

ENTERED = {"telmetrics": ("calls", "messages"), "messagemedia": ("messages",)}
"""What is told to addresses in the vendor's portal. AVANSER gets its own with each order."""


@click.group("upstream")
def upstream() -> None:
    """See, pause and resume upstreams."""


@command("status", group=upstream, answers=True)
def status() -> None:
    """Show for each upstream whether it is set up, whether it is paused and why, how much of its limits is used, and
    what is open there.

    \b
    Example: trunkline upstream status
    """
    configured = settings()
    with database(configured) as engine:
        shown = read(engine, lambda session: _status(session, configured))
    limits = Limits(configured.redis_url)
    for one in shown:
        one["share"] = limits.congestion(one["name"]).share
    if wants_json():
        say_json({"data": shown})
        return
    rows = [
        (
            one["name"],
            "set up" if not one["missing"] else f"not set: {', '.join(one['missing'])}",
            one["paused"] and _told(one["paused"]),
            "all" if one["share"] == 1 else f"{one['share']:.0%}: it refused calls (429), or grew slow",
            "; ".join(f"{limit['what']}: {limit['taken']:,} of {limit['limit']:,}" for limit in one["limits"]),
            ", ".join(f"{n:,} {state}" for state, n in one["counts"].items() if n and State(state) in OPEN),
        )
        for one in shown
    ]
    say_table(("upstream", "settings", "paused", "used of its limits", "numbers taken", "open"), rows)


def _status(session: Session, configured: Settings) -> list[dict[str, Any]]:
    counts = counter.by_upstream(session)
    pauses = {pause.upstream: pause for pause in switches.pauses(session)}
    limits = configured.ceilings
    used = spending.used(session, limits, time_of(session)) if limits else {}
    return [
        {
            "name": name,
            "missing": configured.missing_for(name),
            "paused": _pause(pauses.get(switches.ALL) or pauses.get(name)),
            "limits": [_limit(subject, limits[subject], used) for subject in limits if _is_about(subject, name)],
            "counts": {state.value: counts.get((name, state), 0) for state in State},
        }
        for name in sorted(DIALECTS)
    ]


def _is_about(subject: str, name: str) -> bool:
    return subject == spending.EVERYWHERE or subject.split(":")[1] == name


def _limit(subject: str, limit: int, used: Mapping[str, int]) -> dict[str, Any]:
    return {"what": spending.describe(subject), "limit": limit, "taken": used.get(subject, 0)}


def _told(pause: dict[str, Any]) -> str:
    return f"{'with all others, ' if pause['all'] else ''}{pause['reason']} by {pause['by']}: {pause['detail']}"


def _pause(pause: switches.Pause | None) -> dict[str, Any] | None:
    if pause is None:
        return None
    told = {"reason": pause.reason, "detail": pause.detail, "by": pause.actor, "at": rfc3339(pause.paused_at)}
    return told | {"all": pause.upstream == switches.ALL}


@command("pause", group=upstream, answers=True)
@one_or_all
@click.option("--note", "--reason", "note", default="Paused by hand.", help="why, for whoever finds it paused")
def pause(*, name: str | None, is_all: bool, note: str) -> None:
    """Order nothing more there, or with --all anywhere, from a second after this returns. What was ordered is still
    looked up and completed; what waits stays queued.

    \b
    Example: trunkline upstream pause --all --reason "the price list is wrong"
    """
    which = _which(name, is_all)

    def work(session: Session) -> bool:
        return upstream_steering.pause(session, which, note, actor())

    with database(settings()) as engine:
        is_new = write(engine, work)
    _tell(which, is_new, "paused", "paused before; the first reason stays")


@command("resume", group=upstream, answers=True)
@one_or_all
@click.option("--note", "--reason", "note", help="why, for the audit")
def resume(*, name: str | None, is_all: bool, note: str | None) -> None:
    """Order there again. Each switch is lifted by itself: --all leaves paused what was paused by name, and where all
    are paused, to resume one orders nothing.

    \b
    Examples:
      trunkline upstream resume avanser
      trunkline upstream resume --all
    """
    which, configured = _which(name, is_all), settings()

    def work(session: Session) -> tuple[bool, list[switches.Pause]]:
        return upstream_steering.resume(session, which, actor(), note), switches.pauses(session)

    with database(configured) as engine:
        was_paused, left = write(engine, work)
    hint(configured, sorted(DIALECTS) if is_all else [which])
    _tell(which, was_paused, "resumed", "not paused")
    for other in left:
        if is_all or other.upstream == switches.ALL:
            warn(f"{_named(other.upstream)} still paused: {other.detail}")


def _which(name: str | None, is_all: bool) -> str:
    if is_all == (name is not None):
        raise click.UsageError(f"say which: one of {', '.join(sorted(DIALECTS))}, or --all")
    return name or switches.ALL


def _named(which: str) -> str:
    return "All upstreams are" if which == switches.ALL else f"{which} is"


def _tell(which: str, has_changed: bool, done: str, not_done: str) -> None:
    if wants_json():
        say_json({"name": None if which == switches.ALL else which, "changed": has_changed})
    else:
        before = "All upstreams were" if which == switches.ALL else f"{which} was"
        say(f"{_named(which)} {done}." if has_changed else f"{before} {not_done}.")


@command("urls", group=upstream, answers=True)
@click.argument("name", type=click.Choice(sorted(UPSTREAMS)), required=False)
def urls(name: str | None) -> None:
    """Show the addresses to enter in a vendor's portal, so that calls and messages are told to us.

    Telmetrics needs them for calls and messages, MessageMedia for messages; AVANSER gets its own with each order. They
    begin with TRUNKLINE_PUBLIC_URL, are as good as a password, and stay good until their TRUNKLINE_SECRET_KEY is gone.

    \b
    Example: trunkline upstream urls telmetrics
    """
    configured = settings()
    uris = Uris(configured.public_url, Tokens(configured.secret_keys))
    shown = [
        {"upstream": one, "for": what, "url": url, "is_needed": what in ENTERED.get(one, ())}
        for one in ([name] if name else sorted(UPSTREAMS))
        for what, url in uris.of_portal(one).items()
    ]
    if wants_json():
        say_json({"data": shown})
        return
    rows = [(one["upstream"], one["for"], one["url"], _why(one)) for one in shown]
    say_table(("upstream", "for", "url", "what to do"), rows)


def _why(address: dict[str, Any]) -> str:
    if address["is_needed"]:
        return "enter it in the portal"
    return "nothing: none come" if address["upstream"] in ENTERED else "nothing: each order carries its own"


@command("numbers", group=upstream, answers=True)
@one_of_ours
def numbers(name: str) -> None:
    """List what the upstream itself says is ours, beside what stands in our books.

    A number of an order that is not completed yet stands at the upstream alone for a while.

    \b
    Example: trunkline upstream numbers avanser
    """
    configured = settings()
    with database(configured) as engine:
        with asking(name):
            theirs = inquiry.owned(name, configured, WHOLE_LIST_WITHIN)
        ours = read(engine, lambda session: inventory.held_at_upstream(session, name))
    shown = _beside_each_other(ours, theirs)
    if wants_json():
        say_json({"data": shown})
        return
    columns = ("number", "held", "upstream_reference", "name", "custom_id", "request")
    say_table(columns, [[one[column] for column in columns] for one in shown])


def _beside_each_other(ours: Sequence[Number], theirs: Sequence[OwnedNumber]) -> list[dict[str, Any]]:
    """A row for each number: `held` is `both`, `upstream` where it stands there alone, `trunkline` where here alone."""
    here, there = {row.number: row for row in ours}, {row.number: row for row in theirs}
    return [_compared(number, here.get(number), there.get(number)) for number in sorted({*here, *there})]


def _compared(number: str, ours: Number | None, theirs: OwnedNumber | None) -> dict[str, Any]:
    request = ours.request_id if ours is not None else theirs and theirs.order
    known = [row for row in (theirs, ours) if row is not None]
    return {
        "number": number,
        "held": "both" if ours and theirs else "trunkline" if ours else "upstream",
        "upstream_reference": theirs.reference if theirs is not None else ours and ours.upstream_reference,
        "name": theirs.name if theirs is not None else None,
        "custom_id": next((row.custom_id for row in known if row.custom_id is not None), None),
        "request": None if request is None else str(request),
    }
