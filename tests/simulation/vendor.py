"""A model vendor with a ledger of orders: what it takes is bought, whatever its answer says or whoever hears it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, ClassVar
from uuid import UUID

from models.request import Kind
from models.state import Reason
from tests.simulation.scenario import Callback, Order, Scenario, Style
from tests.simulation.world import MICROSECONDS, Process, World
from worker.fault import Fault
from worker.upstreams import base
from worker.upstreams.base import Candidate, Dialect, Incoming, OwnedNumber, StockRow, Upstream

NAME = "avanser"
"""Settings and a queue of this name exist; the vendor is not asked."""

OUT_OF_STOCK_FOR = timedelta(minutes=3)
TELLS_WITHIN = timedelta(seconds=20)
CALLS_AGAIN_AFTER = timedelta(seconds=30)
MOST_CALLS = 5


@dataclass(slots=True)
class Sale:
    """One order in the ledger."""

    request_id: UUID
    number: str
    callback_uri: str
    listed_from: int  # microseconds
    ends_at: int | None  # when it is completed, or failed; None: never
    failed: bool = False
    froze: timedelta = timedelta()  # how long its sender had stood still between deciding and sending


class Vendor:
    """The vendor's side: it knows nothing of rows, workers and leases."""

    def __init__(self, world: World, scenario: Scenario, settling: timedelta) -> None:
        self._world, self._scenario, self._settling = world, scenario, settling
        self.sales: list[Sale] = []
        self.call_back: Callable[[str, bytes, Callable[[bool], None]], None] | None = None
        self._orders, self._callbacks = list(scenario.orders), list(scenario.callbacks)
        self._looks_fail = scenario.looks_fail
        self._empty_until = self._away_until = 0

    def will(self, *fates: Order | Callback) -> None:
        """What it does with the orders that come next, and how it says how they ended."""
        self._orders += [fate for fate in fates if isinstance(fate, Order)]
        self._callbacks += [fate for fate in fates if isinstance(fate, Callback)]

    def goes_away(self, time: timedelta) -> None:
        """An outage: for so long it takes nothing, shows nothing, and says nothing."""
        self._away_until = max(self._away_until, self._world.now + _micro(time))

    def says_again(self, sale: Sale) -> None:
        """A callback that was sent before comes once more."""
        self._call(sale, MOST_CALLS)

    def order(self, order: base.Order, number: str | None, froze: timedelta, within: timedelta) -> _Answer:
        """What the vendor does with an order that has reached it, or would have."""
        if self._world.now < self._away_until:
            return _raises(base.Unavailable("connection refused"))
        fate = self._orders.pop(0) if self._orders else Order.GOOD
        if fate is Order.GOOD and self._world.now < self._empty_until:
            fate = Order.NO_STOCK
        self._world.say("vendor", f"order for {self._world.name(order.request_id)}: {fate}")
        match fate:
            case Order.REFUSED:
                return _raises(base.Unavailable("connection refused"))
            case Order.SLOW_DOWN:
                slower = base.Unavailable("429", reason=Reason.OVER_LIMIT, retry_after=timedelta(seconds=7))
                return _raises(slower)
            case Order.WRONG_ACCOUNT:
                return _raises(base.WrongAccount("another account answers"))
            case Order.NO_STOCK:
                self._empty_until = max(self._empty_until, self._world.now + _micro(OUT_OF_STOCK_FOR))
                return _answers(base.Rejected(Reason.OUT_OF_STOCK, "nothing left"))
            case Order.REJECTED:
                return _answers(base.Rejected(detail="no such thing"))
            case Order.ERROR_BEFORE:
                return _raises(base.OutcomeUnknown("500"))
            case Order.VANISHES:
                return _raises(base.OutcomeUnknown("no answer"), after=within)
        return self._take(order, number, froze, within, fate)

    def _take(self, order: base.Order, number: str | None, froze: timedelta, within: timedelta, fate: Order) -> _Answer:
        chance = self._world.random.random()
        if fate is Order.LANDS_LATE:
            lands = within + (self._settling - self._scenario.list_lag) * chance * 0.9
            self._world.after(lands, lambda: self._lands_late(order, number, froze))
            return _raises(base.OutcomeUnknown("no answer"), after=within)
        sale = self._land(order, number, froze)
        if sale is None:
            return _answers(base.Rejected(detail="taken"))
        match fate:
            case Order.ACK_LOST:
                return _raises(base.OutcomeUnknown("no answer"), after=within)
            case Order.ERROR_AFTER:
                return _raises(base.OutcomeUnknown("502"))
            case _:
                return _answers(self._state_of(sale), after=timedelta(seconds=2 * chance))

    def _lands_late(self, order: base.Order, number: str | None, froze: timedelta) -> None:
        self._land(order, number, froze)

    def _land(self, order: base.Order, number: str | None, froze: timedelta) -> Sale | None:
        """It is bought, from here on, unless the number is sold: then it is the buyer's own, or nothing."""
        world = self._world
        sold = next((sale for sale in self.sales if sale.number == number), None)
        if sold is not None:
            return sold if sold.request_id == order.request_id else None
        number = number or f"+6128074{len(self.sales):04}"
        listed_from = world.now + _micro(self._scenario.list_lag)
        sale = Sale(order.request_id, number, order.callback_uri, listed_from, world.now)
        sale.froze = froze
        self.sales.append(sale)
        world.say("vendor", f"sells {sale.number} to {world.name(order.request_id)}")
        if self._scenario.style is Style.CALLS_BACK:
            self._plan_callback(sale)
        return sale

    def _plan_callback(self, sale: Sale) -> None:
        how = self._callbacks.pop(0) if self._callbacks else Callback.GOOD
        world, chance = self._world, self._world.random.random()
        delay = timedelta(hours=1) * chance if how is Callback.LATE else TELLS_WITHIN * (1 + chance)
        delay = timedelta(milliseconds=1) if how is Callback.EARLY else delay
        sale.failed = how is Callback.FAILS
        sale.ends_at = None if how is Callback.STAYS_OPEN else world.now + _micro(delay)
        world.say("vendor", f"callback of {sale.number}: {how}")
        if how in (Callback.STAYS_OPEN, Callback.NEVER):
            return
        for place in range(2 if how is Callback.TWICE else 1):
            world.after(delay * (1 + place * chance), partial(self._call, sale, 1))

    def _call(self, sale: Sale, calls: int) -> None:
        def told(is_kept: bool) -> None:
            if not is_kept and calls < MOST_CALLS:
                self._world.after(CALLS_AGAIN_AFTER, partial(self._call, sale, calls + 1))

        if self._world.now < self._away_until:
            told(False)
            return
        said = {"status": "failed" if sale.failed else "completed", "number": sale.number}
        assert self.call_back is not None
        self.call_back(sale.callback_uri, json.dumps(said).encode(), told)

    def look_up(self, request_id: UUID) -> base.Answer:
        """What its list shows, by our key. Raises Unavailable."""
        if self._looks_fail or self._world.now < self._away_until:
            self._looks_fail = max(0, self._looks_fail - 1)
            raise base.Unavailable("the list cannot be had")
        shown = [sale for sale in self.sales if sale.request_id == request_id and sale.listed_from <= self._world.now]
        good = [sale for sale in shown if not sale.failed]
        if not shown:
            return base.NotFound()
        return self._state_of((good or shown)[0])

    def _state_of(self, sale: Sale) -> base.Answer:
        if sale.ends_at is None or sale.ends_at > self._world.now:
            return base.Accepted(sale.number, sale.number)
        if sale.failed:
            return base.Rejected(detail="it failed")
        return base.Completed(sale.number, sale.number)

    def stock(self) -> list[str]:
        """Numbers that can be bought now."""
        if self._world.now < self._empty_until:
            return []
        sold = {sale.number for sale in self.sales}
        return [number for place in range(8) if (number := f"+6140000{place:04}") not in sold]


@dataclass(frozen=True, slots=True)
class _Answer:
    said: base.Answer | Exception
    after: timedelta


def _raises(failure: Exception, after: timedelta = timedelta(milliseconds=30)) -> _Answer:
    return _Answer(failure, after)


def _answers(answer: base.Answer, after: timedelta = timedelta(milliseconds=30)) -> _Answer:
    return _Answer(answer, after)


def _micro(time: timedelta) -> int:
    return round(time.total_seconds() * MICROSECONDS)


class Client(Upstream):
    """Our side, in one process: it sends, waits, and hears. Each of these is a point."""

    name: ClassVar[str] = NAME

    def __init__(
        self, process: Process, vendor: Vendor, style: Style, check: Callable[[base.Order, timedelta], None]
    ) -> None:
        """`check` looks, at the moment of sending, whether our books are in order."""
        self._process, self._vendor, self._style, self._check = process, vendor, style, check

    async def submit(self, order: base.Order, deadline: timedelta) -> base.Answer:
        number = await self._pick(order) if self._style is Style.PICKED else None
        if self._style is Style.PICKED and number is None:
            return base.Rejected(Reason.OUT_OF_STOCK, "nothing left")
        who = self._process.world.name(order.request_id)
        froze = self._process.point(f"orders {who}")
        self._check(order, froze)
        answer = self._vendor.order(order, number, froze, deadline)
        self._process.point(f"has ordered {who}")
        await asyncio.sleep(answer.after.total_seconds())
        self._process.point(f"hears of {who}: {type(answer.said).__name__}")
        if isinstance(answer.said, Exception):
            raise answer.said
        return answer.said

    async def _pick(self, order: base.Order) -> str | None:
        if order.number is not None:
            return order.number
        await asyncio.sleep(0.02)
        picked = await order.pick([Candidate(number, number) for number in self._vendor.stock()])
        return None if picked is None else picked.number

    async def look_up(self, order: base.Order, deadline: timedelta) -> base.Answer:
        self._process.point(f"looks for {self._process.world.name(order.request_id)}")
        await asyncio.sleep(0.01)
        answer = self._vendor.look_up(order.request_id)
        await asyncio.sleep(0.01)
        self._process.point(f"is shown {type(answer).__name__}")
        return answer

    async def stock(self, query: Mapping[str, str], deadline: timedelta) -> list[StockRow]:
        await asyncio.sleep(0.02)
        return [StockRow(number, "AU", None, None) for number in self._vendor.stock()]

    async def owned(self, deadline: timedelta) -> list[OwnedNumber]:
        return []

    async def check_access(self, deadline: timedelta) -> None:
        """Lets everybody in."""

    async def close(self) -> None:
        """Has nothing to close."""


class ModelDialect(Dialect):
    """The vendor's words: what it calls back with, and that all orders wait for the same stock."""

    name: ClassVar[str] = NAME
    home: ClassVar[str] = "AU"

    def check(self, kind: Kind, spec: Mapping[str, Any]) -> list[Fault]:
        return []

    def stock_query(self, spec: Mapping[str, Any]) -> Mapping[str, str] | None:
        return {"country": "AU"}

    def read_completion(self, incoming: Incoming) -> base.Answer:
        try:
            said = json.loads(incoming.body)
        except ValueError:
            raise base.Unreadable("no JSON") from None
        if said["status"] == "failed":
            return base.Rejected(detail="it failed")
        return base.Completed(said["number"], said["number"])
