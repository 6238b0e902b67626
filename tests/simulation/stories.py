"""Named scenarios without chance in them, each walked through with a crash, or a long pause, at every single point."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from itertools import combinations

from tests.simulation.product import settings
from tests.simulation.scenario import Callback, Intruder, Order, Reply, Scenario, Style
from tests.simulation.vendor import NAME
from tests.simulation.world import Plan

LAG = timedelta(seconds=40)
"""Until the list shows an order: shorter than the settling time."""

_TWO_WORKERS = Scenario(workers=2, whole_relay=False)

STORIES: Mapping[str, Scenario] = {
    "a number is ordered and called back": _TWO_WORKERS,
    "the callback comes before the acknowledgement": replace(_TWO_WORKERS, callbacks=[Callback.EARLY]),
    "the callback comes twice": replace(_TWO_WORKERS, callbacks=[Callback.TWICE], hints_doubled=1.0),
    "the callback never comes": replace(_TWO_WORKERS, callbacks=[Callback.NEVER]),
    "the order fails later": replace(_TWO_WORKERS, callbacks=[Callback.FAILS]),
    "the acknowledgement is lost": replace(_TWO_WORKERS, orders=[Order.ACK_LOST], list_lag=LAG),
    "the order lands late": replace(_TWO_WORKERS, orders=[Order.LANDS_LATE], list_lag=LAG / 2),
    "the order vanishes": replace(_TWO_WORKERS, orders=[Order.VANISHES], list_lag=LAG),
    "the vendor answers at once": replace(_TWO_WORKERS, style=Style.AT_ONCE, list_lag=LAG),
    "the answer at once is lost": replace(_TWO_WORKERS, style=Style.AT_ONCE, orders=[Order.ACK_LOST], list_lag=LAG),
    "a picked number is ordered": replace(_TWO_WORKERS, style=Style.PICKED, list_lag=LAG),
    "a picked number's answer is lost": replace(
        _TWO_WORKERS, style=Style.PICKED, orders=[Order.ACK_LOST], list_lag=LAG
    ),
    "a picked number's order vanishes": replace(_TWO_WORKERS, style=Style.PICKED, orders=[Order.VANISHES]),
    "stock comes back": replace(_TWO_WORKERS, orders=[Order.NO_STOCK]),
    "the vendor refuses twice": replace(_TWO_WORKERS, orders=[Order.REFUSED, Order.SLOW_DOWN]),
    "the order after a refusal is not answered": replace(
        _TWO_WORKERS, style=Style.AT_ONCE, orders=[Order.REFUSED, Order.ACK_LOST]
    ),
    "two numbers at once": replace(_TWO_WORKERS, requests=2, style=Style.AT_ONCE, orders=[Order.ERROR_AFTER]),
    "the requester is unreliable": replace(
        _TWO_WORKERS, style=Style.AT_ONCE, replies=[Reply.TAKES_SILENTLY, Reply.FAILS]
    ),
    "somebody forges callbacks": replace(_TWO_WORKERS, intruders=list(Intruder)),
    "the relay does it all": replace(_TWO_WORKERS, workers=1, style=Style.AT_ONCE, hints_lost=1.0, whole_relay=True),
}


def crashed(points: int) -> Iterator[Plan]:
    """A crash at each point."""
    yield from (Plan(crashes=frozenset({point})) for point in range(1, points + 1))


def crashed_twice(points: int) -> Iterator[Plan]:
    """A crash at each pair of points; the second is counted on in the life after the first."""
    yield from (Plan(crashes=frozenset(pair)) for pair in combinations(range(1, points + 1), 2))


def frozen(points: int) -> Iterator[Plan]:
    """At each point: standing still for less than is left of a lease, until another has just ordered again, and for
    longer than all of it."""
    own = settings().upstreams[NAME]
    taken_over = own.lease + own.settles_within
    for stays in (own.slack * 2, taken_over + timedelta(seconds=10), taken_over + own.settles_within):
        yield from (Plan(freezes={point: stays}) for point in range(1, points + 1))
