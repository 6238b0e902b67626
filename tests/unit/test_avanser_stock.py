"""The recent look at AVANSER's stock: when it is taken, whom it serves, and what it remembers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from datetime import timedelta
from typing import Any

import pytest

from worker.upstreams import DIALECTS
from worker.upstreams.avanser import stock as avanser_stock
from worker.upstreams.avanser.spec import Provision
from worker.upstreams.avanser.stock import Stock, criteria, likely
from worker.upstreams.base import Misconfigured, StockRow, Unavailable, WrongAccount

LONG = timedelta(seconds=30)
SYDNEY = {"country": "AU", "szu": "sydney"}
TRANSFER = {"type": "transfer", "answer_point": "61401603859"}


class Shop:
    """Answers each search with the rows or the failure of the moment, and counts; time stands still unless moved."""

    def __init__(self, *numbers: str, pool: str = "private") -> None:
        self.failure: Exception | None = None
        self.open = asyncio.Event()
        self.open.set()
        self.searches: list[tuple[dict[str, str], timedelta]] = []
        self.now = 1_000.0
        self.takes = 0.0
        self.stock(*numbers, pool=pool)

    def stock(self, *numbers: str, pool: str = "private") -> None:
        self.rows: dict[str, dict[str, Any]] = {number: {"type": "GEO", "pool": pool} for number in numbers}

    async def ask(self, asked: Mapping[str, str], within: timedelta) -> Mapping[str, Mapping[str, Any]]:
        self.searches.append((dict(asked), within))
        await self.open.wait()
        self.now += self.takes
        if self.failure is not None:
            raise self.failure
        return self.rows

    def clock(self) -> float:
        return self.now


def run(story: Callable[[Shop, Stock], Coroutine[Any, Any, None]], *numbers: str) -> None:
    async def whole() -> None:
        shop = Shop(*numbers)
        stock = Stock(shop.ask, shop.clock)
        try:
            await story(shop, stock)
        finally:
            shop.open.set()
            await stock.close()

    asyncio.run(whole())


def test_one_look_serves_all_orders_with_the_same_criteria_for_a_minute() -> None:
    async def story(shop: Shop, stock: Stock) -> None:
        for _ in range(3):
            await stock.look(SYDNEY, LONG)
            await stock.look({"szu": "sydney", "country": "AU"}, LONG)
        assert [asked for asked, _ in shop.searches] == [SYDNEY]
        await stock.look({"country": "AU", "szu": "hobart"}, LONG)
        assert len(shop.searches) == 2
        shop.now += 59
        await stock.look(SYDNEY, LONG)
        assert len(shop.searches) == 2
        shop.now += 1
        await stock.look(SYDNEY, LONG)
        assert len(shop.searches) == 3

    run(story, "61280740801", "61280740802")


def test_orders_that_come_while_stock_is_being_asked_wait_for_that_answer() -> None:
    async def story(shop: Shop, stock: Stock) -> None:
        shop.open.clear()
        waiting = [asyncio.create_task(stock.look(SYDNEY, LONG)) for _ in range(50)]
        await asyncio.sleep(0)
        assert not any(one.done() for one in waiting)
        shop.open.set()
        await asyncio.gather(*waiting)
        assert len(shop.searches) == 1
        assert stock.pool_of(SYDNEY, "+61280740801") == "private"

    run(story, "61280740801", "61280740802")


def test_an_order_that_is_given_up_takes_the_look_from_no_other() -> None:
    async def story(shop: Shop, stock: Stock) -> None:
        shop.open.clear()
        first, second = (asyncio.create_task(stock.look(SYDNEY, LONG)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        shop.open.set()
        await second
        assert stock.pool_of(SYDNEY, "+61280740801") == "private"

    run(story, "61280740801")


@pytest.mark.parametrize(
    ("deadline", "within"), [(LONG, timedelta(seconds=5)), (timedelta(seconds=8), timedelta(seconds=2))]
)
def test_a_look_may_take_a_quarter_of_the_deadline_and_five_seconds_at_most(
    deadline: timedelta, within: timedelta
) -> None:
    async def story(shop: Shop, stock: Stock) -> None:
        await stock.look(SYDNEY, deadline)
        assert shop.searches == [(SYDNEY, within)]

    run(story)


def test_an_order_goes_on_without_a_look_that_takes_too_long() -> None:
    async def story(shop: Shop, stock: Stock) -> None:
        shop.open.clear()
        await stock.look(SYDNEY, timedelta(seconds=0.04))
        assert stock.pool_of(SYDNEY, "+61280740801") is None

    run(story, "61280740801")


def test_a_failure_is_passed_over_and_not_tried_again_for_a_minute() -> None:
    async def story(shop: Shop, stock: Stock) -> None:
        shop.failure = Unavailable("slow down")
        await stock.look(SYDNEY, LONG)
        for _ in range(3):
            assert stock.pool_of(SYDNEY, "+61280740801") is None
            shop.now += 19
            await stock.look(SYDNEY, LONG)
        assert len(shop.searches) == 1
        shop.failure, shop.now = None, shop.now + 19
        await stock.look(SYDNEY, LONG)
        assert stock.pool_of(SYDNEY, "+61280740801") == "private"

    run(story, "61280740801")


def test_a_failure_does_not_make_what_was_seen_before_untrue() -> None:
    async def story(shop: Shop, stock: Stock) -> None:
        await stock.look(SYDNEY, LONG)
        shop.failure, shop.now = Unavailable("slow down"), shop.now + 60
        await stock.look(SYDNEY, LONG)
        assert len(shop.searches) == 2
        assert stock.pool_of(SYDNEY, "+61280740801") == "private"

    run(story, "61280740801")


@pytest.mark.parametrize("failure", [WrongAccount("8xxx"), Misconfigured("401")])
def test_another_account_and_refused_credentials_stop_every_order_that_waits_and_are_asked_about_again(
    failure: Exception,
) -> None:
    async def story(shop: Shop, stock: Stock) -> None:
        shop.failure = failure
        stopped = await asyncio.gather(*[stock.look(SYDNEY, LONG) for _ in range(5)], return_exceptions=True)
        assert [(type(one), str(one)) for one in stopped] == [(type(failure), str(failure))] * 5
        assert len(shop.searches) == 1
        with pytest.raises(type(failure)):
            await stock.look(SYDNEY, LONG)
        shop.failure = None
        await stock.look(SYDNEY, LONG)
        assert len(shop.searches) == 3

    run(story)


def test_a_number_that_the_look_does_not_show_makes_the_next_order_look_again_but_not_at_once() -> None:
    async def story(shop: Shop, stock: Stock) -> None:
        await stock.look(SYDNEY, LONG)
        shop.stock("61281000000", pool="public")
        assert stock.pool_of(SYDNEY, "+61281000000") is None
        await stock.look(SYDNEY, LONG)
        assert len(shop.searches) == 1
        shop.now += 1
        await stock.look(SYDNEY, LONG)
        assert len(shop.searches) == 2
        assert stock.pool_of(SYDNEY, "+61281000000") == "public"

    run(story, "61280740801")


def test_stock_is_looked_at_again_before_all_that_was_seen_is_gone_and_numbers_in_flight_keep_their_pool() -> None:
    async def story(shop: Shop, stock: Stock) -> None:
        await stock.look(SYDNEY, LONG)
        for number in ("+61280740800", "+61280740801"):
            assert stock.pool_of(SYDNEY, number) == "private"
        shop.now += 1
        await stock.look(SYDNEY, LONG)
        assert len(shop.searches) == 1, "half of them are left"
        assert stock.pool_of(SYDNEY, "+61280740802") == "private"
        shop.stock(*(str(61281000000 + place) for place in range(4)), pool="public")
        await stock.look(SYDNEY, LONG)
        assert len(shop.searches) == 2
        assert stock.pool_of(SYDNEY, "+61280740803") == "private", "ordered before the second look"
        shop.now += 1
        await stock.look(SYDNEY, LONG)
        assert len(shop.searches) == 2, "which says nothing against the second look"
        assert stock.pool_of(SYDNEY, "+61281000000") == "public"

    run(story, *(str(61280740800 + place) for place in range(4)))


def test_a_slow_search_that_never_shows_what_is_given_is_asked_for_a_tenth_of_the_time() -> None:
    async def story(shop: Shop, stock: Stock) -> None:
        shop.takes = 4
        await stock.look(SYDNEY, LONG)
        assert stock.pool_of(SYDNEY, "+61281000000") is None
        shop.now += 39
        await stock.look(SYDNEY, LONG)
        assert len(shop.searches) == 1
        shop.now += 1
        await stock.look(SYDNEY, LONG)
        assert len(shop.searches) == 2

    run(story)


def test_numbers_are_known_in_whatever_form_they_are_listed_and_rows_that_tell_nothing_are_left_out() -> None:
    async def story(shop: Shop, stock: Stock) -> None:
        shop.rows = {
            "0280740801": {"pool": "private"},
            "+61-0280740802": {"pool": "x" * 99},
            "soon": {"pool": "private"},
            "61280740803": {"pool": None},
        }
        await stock.look(SYDNEY, LONG)
        assert stock.pool_of(SYDNEY, "+61280740801") == "private"
        assert stock.pool_of(SYDNEY, "+61280740802") == "x" * 64
        assert stock.pool_of(SYDNEY, "+61280740803") is None

    run(story)


def test_memory_is_bounded_by_criteria_and_by_numbers_the_longest_unused_going_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(avanser_stock, "MOST_LISTINGS", 3)
    monkeypatch.setattr(avanser_stock, "MOST_NUMBERS", 10)

    async def story(shop: Shop, stock: Stock) -> None:
        for city in "abc":
            await stock.look({"szu": city}, LONG)
        await stock.look({"szu": "a"}, LONG)
        await stock.look({"szu": "d"}, LONG)
        assert len(shop.searches) == 4
        await stock.look({"szu": "a"}, LONG)
        assert len(shop.searches) == 4
        await stock.look({"szu": "b"}, LONG)
        assert len(shop.searches) == 5
        shop.stock(*(str(61281000000 + place) for place in range(9)))
        await stock.look({"szu": "e"}, LONG)
        await stock.look({"szu": "b"}, LONG)
        assert len(shop.searches) == 6, "nine numbers and one are not too many"
        await stock.look({"szu": "a"}, LONG)
        assert len(shop.searches) == 7, "nine and two were"

    run(story, "61280740801")


# What is asked.


def spec(wanted: dict[str, Any], **more: Any) -> Provision:
    return Provision.model_validate({"service_number": {"country": "AU", **wanted}, "service": TRANSFER, **more})


SEARCHES: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"search_type": "szu", "szu": "sydney"}, {"szu": "sydney"}),
    ({"search_type": "szu", "szu": "sydney", "type": "GEO"}, {"szu": "sydney", "type": "GEO"}),
    ({"search_type": "location", "location": "NSW: Sydney"}, {"location": "NSW: Sydney"}),
    (
        {"search_type": "coordinates", "latitude": -33.87, "longitude": 151.21},
        {"latitude": "-33.87", "longitude": "151.21"},
    ),
    ({"search_type": "prefix", "prefix": "6128"}, {"prefix": "6128"}),
    ({"search_type": "type", "type": "MOBILE"}, {"type": "MOBILE"}),
    ({"search_type": "number", "number": "61280740801"}, {}),
    ({"search_type": "number", "number": "61280740801", "type": "GEO"}, {"type": "GEO"}),
]


@pytest.mark.parametrize(("wanted", "asked"), SEARCHES)
def test_stock_is_asked_for_what_the_order_asks_for_but_not_for_one_very_number(
    wanted: dict[str, Any], asked: dict[str, str]
) -> None:
    order = spec(wanted)
    assert criteria(order) == {"country": "AU", **asked}
    assert DIALECTS["avanser"].stock_query(order.model_dump(exclude_unset=True)) == criteria(order)
    if wanted["search_type"] != "number":
        assert likely(order) == criteria(order)


def test_the_hundred_around_a_wanted_number_is_looked_at_and_of_a_close_match_all_that_could_be_given() -> None:
    wanted = {"search_type": "number", "number": "(02) 8074 0801"}
    assert likely(spec(wanted)) == {"country": "AU", "prefix": "612807408"}
    assert likely(spec(wanted | {"number": "0401603859", "type": "GEO"})) == {"country": "AU", "type": "GEO"}


def test_a_row_of_another_class_or_country_meets_no_order_and_one_that_says_nothing_may() -> None:
    avanser = DIALECTS["avanser"]
    mobile = {"service_number": {"country": "AU", "search_type": "type", "type": "MOBILE"}, "service": TRANSFER}
    row = StockRow("+61480000000", "AU", "Mobile", "MOBILE")
    assert avanser.is_met_by(mobile, row)
    assert avanser.is_met_by(mobile, StockRow("+61480000000", None, None, None))
    assert avanser.is_met_by(mobile, StockRow("+61480000000", "au", None, "Mobile"))
    assert not avanser.is_met_by(mobile, StockRow("+61280740801", "AU", None, "GEO"))
    assert not avanser.is_met_by(mobile, StockRow("+6421123456", "NZ", None, "MOBILE"))
    assert avanser.is_met_by(spec({"search_type": "szu", "szu": "sydney"}).model_dump(exclude_unset=True), row)
