"""What wants a person: each thing that stands on the overview and will not mend itself, the gravest first, with the
command that shows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import IntEnum

from models.outage import Health
from models.state import Reason
from models.upstream import ALL
from worker.explain.explanation import span
from worker.overview import Overview, UpstreamNow

BEHIND = timedelta(minutes=2)
"""That what is due may wait while workers are busy, before somebody should look."""


class Gravity(IntEnum):
    STANDS = 0  # nothing works, or money is being lost
    WAITS = 1  # part of the work waits for a person
    LOOK = 2  # nothing is lost by looking at it tomorrow


@dataclass(frozen=True, slots=True)
class Want:
    """`look` is the one command that shows more; `about` is where the console shows it: a page and its filters."""

    gravity: Gravity
    what: str
    look: str
    page: str
    filters: Mapping[str, str] = field(default_factory=dict)


def find(overview: Overview) -> tuple[Want, ...]:
    found = [
        *_about_the_whole(overview),
        *(want for one in overview.upstreams for want in _about_an_upstream(overview, one)),
        *_about_held(overview),
        *_about_results(overview),
    ]
    return tuple(sorted(found, key=lambda want: want.gravity))


def _about_the_whole(overview: Overview) -> Iterator[Want]:
    if overview.broker is not None:
        yield Want(Gravity.STANDS, f"The broker: {overview.broker}", "trunkline doctor", "overview")
    if overview.silence is not None:
        yield Want(Gravity.STANDS, overview.silence, "trunkline doctor", "overview")
    if overview.contradicted:
        told = f"{_many(overview.contradicted, 'request')} ended, and then the upstream said otherwise:"
        told += " a number may be paid for that nobody holds."
        yield Want(Gravity.STANDS, told, "trunkline list --contradicted", "requests", {"contradicted": "true"})
    if overview.dead_letters:
        told = f"{_many(overview.dead_letters, 'request')} on the queue could not be taken; kept, with the reason."
        yield Want(Gravity.WAITS, told, "trunkline dead-letters list", "dead_letters")
    if overview.not_understood:
        told = f"{_many(overview.not_understood, 'callback')} could not be understood; kept, and nothing is lost."
        yield Want(Gravity.LOOK, told, "trunkline inbox", "inbox")


def _about_an_upstream(overview: Overview, one: UpstreamNow) -> Iterator[Want]:
    of_it = {"upstream": one.name}
    if one.pause is not None and (one.pause.upstream != ALL or one is overview.upstreams[0]):
        name = "All upstreams are" if one.pause.upstream == ALL else f"{one.name} is"
        told = f"{name} paused by {one.pause.actor} ({one.pause.reason}): {one.pause.detail}"
        yield Want(Gravity.WAITS, told, "trunkline upstream status", "upstreams")
    if one.unknown:
        told = f"Whether {_many(one.unknown, 'order')} at {one.name} landed is not known; it is being looked up."
        look = f"trunkline list --upstream {one.name} --reason outcome_unknown"
        yield Want(Gravity.LOOK, told, look, "requests", of_it | {"reason": Reason.OUTCOME_UNKNOWN.value})
    if one.oldest_due is not None and one.pause is None and overview.at - one.oldest_due > BEHIND:
        waited = span(overview.at - one.oldest_due)
        told = f"The work at {one.name} is behind: {_many(one.due, 'request')} due, the oldest for {waited}."
        yield Want(Gravity.LOOK, told, "trunkline upstream status", "upstreams")
    if one.out_of_stock:
        told = f"{_many(one.out_of_stock, 'request')} at {one.name} wait for stock."
        look = f"trunkline list --upstream {one.name} --reason out_of_stock"
        yield Want(Gravity.LOOK, told, look, "requests", of_it | {"reason": Reason.OUT_OF_STOCK.value})


def _about_held(overview: Overview) -> Iterator[Want]:
    for (upstream, reason), count in sorted(overview.held.items()):
        told = f"{_many(count, 'request')} at {upstream} held for a person to decide ({reason})."
        look = f"trunkline list --state held --upstream {upstream} --reason {reason}"
        where = {"state": "held", "upstream": upstream, "reason": reason}
        yield Want(Gravity.WAITS, told, look, "requests", where)


def _about_results(overview: Overview) -> Iterator[Want]:
    for one in overview.endpoints:
        if one.health in (Health.OPEN, Health.PAUSED):
            since = span(overview.at - one.failing_since)
            told = f"The endpoint {one.name} has not taken results for {since}: {one.error}. It is probed by itself."
            gravity = Gravity.WAITS if one.health is Health.PAUSED else Gravity.LOOK
            yield Want(gravity, told, "trunkline endpoints list", "endpoints")
    if overview.deliveries_failed:
        told = f"{_many(overview.deliveries_failed, 'result')} did not arrive, and nothing tries again by itself."
        yield Want(Gravity.LOOK, told, "trunkline replay --help", "deliveries", {"state": "failed"})
    if overview.oldest_delivery is not None and overview.at - overview.oldest_delivery > BEHIND:
        waited = span(overview.at - overview.oldest_delivery)
        told = f"{_many(overview.deliveries_due, 'result')} due to be sent, the oldest for {waited}."
        yield Want(Gravity.LOOK, told, "trunkline doctor", "deliveries", {"state": "pending"})


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("s" if count != 1 else "")
