"""What a seed draws: how many requests and workers, what the vendor, the broker and the requester do, who dies when."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TypeVar

from tests.simulation.world import Plan

T = TypeVar("T")

LAST_POINT = 90
"""Most runs have fewer points than this, so a crash that is drawn up to here mostly comes about."""

STAYS = (1, 30, 110, 170, 175, 400)
"""Seconds that a process stands still, about: a blink, a time-out, a lease; a lease and the settling time, when another
has just ordered again; and longer than all of it."""


class Style(StrEnum):
    """How the vendor sells."""

    CALLS_BACK = "calls_back"  # acknowledges, and says later how it ended
    AT_ONCE = "at_once"  # the answer is the end
    PICKED = "picked"  # at once, and by the number's own id, which the order names


class Order(StrEnum):
    """What becomes of one order that is sent."""

    GOOD = "good"
    ACK_LOST = "ack_lost"  # taken at once; the answer never comes
    ERROR_AFTER = "error_after"  # taken; answered with a 5xx
    LANDS_LATE = "lands_late"  # times out, and is taken within the settling time
    VANISHES = "vanishes"  # times out, and is never taken
    ERROR_BEFORE = "error_before"  # a 5xx, and not taken
    REFUSED = "refused"  # the connection is: provably not taken
    SLOW_DOWN = "slow_down"  # 429
    NO_STOCK = "no_stock"
    REJECTED = "rejected"
    WRONG_ACCOUNT = "wrong_account"


class Callback(StrEnum):
    """How the vendor says how an order ended."""

    GOOD = "good"
    EARLY = "early"  # before the acknowledgement
    LATE = "late"  # after we have looked
    TWICE = "twice"
    NEVER = "never"
    FAILS = "fails"  # it says that the order failed, and nothing is owed
    STAYS_OPEN = "stays_open"  # never, and the list does not show its end either


class Intruder(StrEnum):
    """What else comes to the receiver."""

    FORGED = "forged"  # a token that we never made
    OTHER_PURPOSE = "other_purpose"  # a good token in the wrong address
    UNREADABLE = "unreadable"  # a good token, and rubbish
    CONTRADICTS = "contradicts"  # the vendor itself, which says "failed" of what it has completed


class Reply(StrEnum):
    """What the requester does with a result."""

    TAKES = "takes"
    TAKES_SILENTLY = "takes_silently"  # keeps it, and the answer is lost
    FAILS = "fails"
    HANGS = "hangs"


class Person(StrEnum):
    """What a person does at a moment of their own choosing."""

    RETRY = "retry"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class Scenario:
    """All that is decided before the run begins. The lists are used up one after the other, then all is well."""

    requests: int = 1
    workers: int = 1
    style: Style = Style.CALLS_BACK
    orders: Sequence[Order] = ()
    list_lag: timedelta = timedelta()  # from when an order is taken until the list shows it; within the settling time
    looks_fail: int = 0
    callbacks: Sequence[Callback] = ()
    intruders: Sequence[Intruder] = ()
    replies: Sequence[Reply] = ()
    persons: Sequence[tuple[Person, timedelta]] = ()
    hints_lost: float = 0.0  # shares
    hints_doubled: float = 0.0
    hints_late: float = 0.0
    lag: timedelta = timedelta()  # of the workers' clocks, at most
    whole_relay: bool = True  # the relay's own queries; else only what comes of them, which is quicker
    plan: Plan = field(default_factory=Plan)

    @property
    def has_prompt_hints(self) -> bool:
        """Whether nothing keeps work from being done as soon as it is committed."""
        must_wait = not {Order.SLOW_DOWN, Order.WRONG_ACCOUNT}.isdisjoint(self.orders)
        return self.plan.is_quiet and not (self.hints_lost or self.hints_late or self.lag or must_wait)


def draw(seed: int, settling: timedelta, *, frozen: bool = False) -> Scenario:
    """The scenario of a seed. `frozen`: somebody stands still for long, which is judged apart."""
    chance = random.Random(seed)
    requests = chance.choice((1, 1, 1, 2, 2, 3))
    is_calm = chance.random() < 0.15
    return Scenario(
        requests=requests,
        workers=chance.choice((1, 2, 2, 3)),
        style=chance.choice((Style.CALLS_BACK, Style.CALLS_BACK, Style.AT_ONCE, Style.PICKED)),
        orders=[] if is_calm else _some(chance, list(Order), Order.GOOD, requests + 2, 0.55),
        list_lag=chance.choice((timedelta(), timedelta(), settling * chance.random() * 0.9)),
        looks_fail=chance.choice((0, 0, 0, 1, 3)),
        callbacks=[] if is_calm else _some(chance, list(Callback), Callback.GOOD, requests + 1, 0.6),
        intruders=_some(chance, list(Intruder), None, 2, 0.1),
        replies=[] if is_calm else _some(chance, list(Reply), Reply.TAKES, 3, 0.3),
        persons=_persons(chance),
        hints_lost=chance.choice((0, 0, 0, 0.3, 1.0)),
        hints_doubled=chance.choice((0, 0, 0.5)),
        hints_late=chance.choice((0, 0, 0.5)),
        lag=timedelta(seconds=chance.choice((0, 0, 0.5))),
        whole_relay=chance.random() < 0.2,
        plan=_plan(chance, frozen=frozen),
    )


def _some(chance: random.Random, kinds: list[T], good: T | None, most: int, share: float) -> list[T]:
    drawn = [chance.choice(kinds) if chance.random() < share else good for _ in range(most)]
    return [one for one in drawn if one is not None]


def _persons(chance: random.Random) -> list[tuple[Person, timedelta]]:
    if chance.random() > 0.15:
        return []
    return [(chance.choice(list(Person)), timedelta(seconds=chance.choice((0.02, 1, 40, 100, 400)) * chance.random()))]


def _plan(chance: random.Random, *, frozen: bool) -> Plan:
    if frozen:
        stays = timedelta(seconds=chance.choice(STAYS) * (0.9 + 0.3 * chance.random()))
        return Plan(freezes={chance.randint(1, LAST_POINT // 2): stays})
    crashes = chance.choice((0, 0, 1, 1, 2))
    return Plan(crashes=frozenset(chance.randint(1, LAST_POINT) for _ in range(crashes)))
