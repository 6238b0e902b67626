"""A recent look at AVANSER's stock: on whose account it answers, and from which pool a number comes.

Looked at before an order is sent, so that an answer from an account that is not ours is seen before money is spent;
and because an acknowledgement names the number but not its pool. One look serves all orders with the same criteria:
it is used for a minute, until half of its numbers are gone, or until a number is given that it does not show. Orders
that come while the stock is being asked wait for the same answer. It is no condition: what else goes wrong with it
is passed over, and not tried again for a minute, so that a failing search does not slow every order.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from worker.upstreams.avanser.mobile import wants_closest
from worker.upstreams.avanser.spec import HOME, ByCoordinates, ByLocation, ByNumber, ByPrefix, BySzu, Provision
from worker.upstreams.base import Misconfigured, Unavailable, WrongAccount
from worker.upstreams.e164 import NotANumber, to_digits, to_e164

FRESH_FOR = timedelta(seconds=60)

SOONEST, LEAST_PAUSE = timedelta(milliseconds=100), 10
"""Between two looks at the same stock, however fast it is used up; and how many times as long as the last one took."""

SHARE, LONGEST = 0.25, timedelta(seconds=5)
"""Of an order's deadline, and at most: what a look may take of it."""

MOST_LISTINGS, MOST_NUMBERS = 256, 100_000
"""Remembered at once, of all criteria together: about 10 MB."""

Rows = Mapping[str, Mapping[str, Any]]
Ask = Callable[[Mapping[str, str], timedelta], Awaitable[Rows]]
"""Asks the stock. Raises Unavailable, Misconfigured, WrongAccount."""

Criteria = Mapping[str, str]
_Key = tuple[tuple[str, str], ...]

LONGEST_POOL = 64
"""Characters of a pool's name; `private` and `public` are known."""


def criteria(spec: Provision) -> dict[str, str]:
    """The stock search for what the spec asks for.

    Of a wanted number only country and class are asked for: AVANSER gives the closest where it is not in stock.
    """
    wanted = spec.service_number
    asked = {"country": wanted.country}
    if wanted.type is not None:
        asked["type"] = wanted.type
    match wanted:
        case BySzu():
            asked["szu"] = wanted.szu
        case ByLocation():
            asked["location"] = wanted.location
        case ByCoordinates():
            asked |= {"latitude": str(wanted.latitude), "longitude": str(wanted.longitude)}
        case ByPrefix():
            asked["prefix"] = wanted.prefix
    return asked


def likely(spec: Provision) -> dict[str, str]:
    """The stock search that most likely shows the number that will be given.

    For a wanted number these are the hundred around it, which one look serves; for the closest to an answer point,
    which can be any, as `criteria`.
    """
    wanted = spec.service_number
    if not isinstance(wanted, ByNumber) or wants_closest(spec):
        return criteria(spec)
    return criteria(spec) | {"prefix": to_digits(to_e164(wanted.number, wanted.country))[:-2]}


@dataclass(slots=True)
class _Listing:
    """What one search showed. Numbers are in AVANSER's digits."""

    at: float  # monotonic seconds
    pools: Mapping[str, str] = field(default_factory=dict)
    before: Mapping[str, str] = field(default_factory=dict)  # of the look before, for the orders still in flight
    took: float = 0.0  # seconds
    has_failed: bool = False
    given: int = 0  # of its numbers, since then
    is_missing_some: bool = False

    @property
    def good_for(self) -> float:
        """Seconds, as far as is known by now."""
        is_used_up = self.is_missing_some or self.given * 2 > len(self.pools)
        if self.has_failed or not is_used_up:
            return FRESH_FOR.total_seconds()
        return min(max(SOONEST.total_seconds(), LEAST_PAUSE * self.took), FRESH_FOR.total_seconds())


class Stock:
    """The recent looks at the stock of one account. Lives on one event loop."""

    def __init__(self, ask: Ask, clock: Callable[[], float] = time.monotonic) -> None:
        self._ask, self._clock = ask, clock
        self._listings: OrderedDict[_Key, _Listing] = OrderedDict()
        self._looks: dict[_Key, asyncio.Task[Misconfigured | WrongAccount | None]] = {}

    async def look(self, asked: Criteria, deadline: timedelta) -> None:
        """Returns when a recent look is at hand, or when a quarter of an order's `deadline` is gone without one.

        Raises WrongAccount and Misconfigured.
        """
        key = tuple(sorted(asked.items()))
        if self._is_fresh(key):
            return
        within = min(deadline * SHARE, LONGEST)
        look = self._looks.get(key)
        if look is None:
            look = self._looks[key] = asyncio.create_task(self._look(key, within))
            look.add_done_callback(lambda _: self._looks.pop(key, None))
        done, _ = await asyncio.wait({look}, timeout=within.total_seconds())
        failure = look.result() if done else None
        if failure is not None:
            raise type(failure)(str(failure))  # one for each who waited: an exception is raised once

    def pool_of(self, asked: Criteria, number: str) -> str | None:
        """The pool of a number (E.164) that was given to an order with these criteria, where the look showed it."""
        listing = self._listings.get(tuple(sorted(asked.items())))
        if listing is None:
            return None
        digits = to_digits(number)
        if digits in listing.pools:
            listing.given += 1
            return listing.pools[digits]
        listing.is_missing_some |= digits not in listing.before
        return listing.before.get(digits)

    async def close(self) -> None:
        for look in list(self._looks.values()):
            look.cancel()
            with suppress(asyncio.CancelledError):
                await look

    def _is_fresh(self, key: _Key) -> bool:
        listing = self._listings.get(key)
        if listing is None:
            return False
        self._listings.move_to_end(key)
        return self._clock() - listing.at < listing.good_for

    async def _look(self, key: _Key, within: timedelta) -> Misconfigured | WrongAccount | None:
        """The failure that stops the order, if it is one of those."""
        last, began = self._listings.get(key), self._clock()
        shown = last.pools if last else {}
        try:
            rows = await self._ask(dict(key), within)
        except (WrongAccount, Misconfigured) as failure:
            self._listings.pop(key, None)
            return failure
        except Unavailable:
            self._remember(key, _Listing(self._clock(), shown, has_failed=True))
            return None
        now = self._clock()
        self._remember(key, _Listing(now, _pools(rows), before=shown, took=now - began))
        return None

    def _remember(self, key: _Key, listing: _Listing) -> None:
        self._listings[key] = listing
        self._listings.move_to_end(key)
        held = sum(len(one.pools) + len(one.before) for one in self._listings.values())
        while len(self._listings) > MOST_LISTINGS or (held > MOST_NUMBERS and len(self._listings) > 1):
            _, oldest = self._listings.popitem(last=False)
            held -= len(oldest.pools) + len(oldest.before)


def _pools(rows: Rows) -> dict[str, str]:
    """By number in AVANSER's digits; the few names of pools are kept once."""
    names: dict[str, str] = {}
    pools = {}
    for number, row in rows.items():
        if row.get("pool") and (digits := _digits(number)):
            name = str(row["pool"])[:LONGEST_POOL]
            pools[digits] = names.setdefault(name, name)
    return pools


def _digits(number: str) -> str | None:
    """Read as a phone number only where it is not in AVANSER's digits already: there may be thousands, and that takes
    0.04 ms each."""
    if number.isascii() and number.isdecimal() and not number.startswith("0"):
        return number
    try:
        return to_digits(to_e164(number, HOME))
    except NotANumber:
        return None
