"""The sandbox's stock of North American numbers."""

import time

import phonenumbers
import pytest
from pydantic import ValidationError

from worker.sandbox.telmetrics.areas import AREA_CODES, TOLL_FREE, local_to_city, local_to_number
from worker.sandbox.telmetrics.stock import Block, OutOfStock, Stock, TelmetricsScript


def stock(*blocks: tuple[str, int], taken: tuple[str, ...] = ()) -> Stock:
    script = TelmetricsScript(stock=tuple(Block(first=first, count=count) for first, count in blocks))
    return Stock(script, taken)


def test_the_default_stock_serves_100_000_orders_for_one_area_each_with_a_number_of_its_own() -> None:
    started = time.process_time()
    default = Stock(TelmetricsScript())
    numbers = [default.take(["404"]) for _ in range(100_000)]
    assert time.process_time() - started < 2
    assert len(set(numbers)) == 100_000
    assert {number[:3] for number in numbers} == {"404"}


@pytest.mark.parametrize("within", ["", "222", "999"])
def test_every_area_has_numbers_that_are_valid(within: str) -> None:
    default = Stock(TelmetricsScript())
    numbers = [default.take([area], area + within) for area in (*AREA_CODES, *TOLL_FREE)]
    assert [number for number in numbers if not phonenumbers.is_valid_number(phonenumbers.parse(f"+1{number}"))] == []
    assert len(numbers) > 400


def test_the_pages_numbers_are_the_first_of_their_areas() -> None:
    default = Stock(TelmetricsScript())
    assert [default.take([area]) for area in ("289", "404", "833")] == ["2898122093", "4043411266", "8332018273"]


@pytest.mark.parametrize("exchange", ["404411", "404555", "404111"])
def test_no_number_is_made_in_an_exchange_that_serves_something_else(exchange: str) -> None:
    with pytest.raises(OutOfStock):
        Stock(TelmetricsScript()).take(["404"], exchange)


def test_an_area_and_an_exchange_in_it_never_hand_out_the_same_number() -> None:
    few = stock(("4168000000", 4))
    numbers = [few.take(["416"]), few.take(["416"], "416800"), few.take(["416"]), few.take(["416"], "416800")]
    assert numbers == ["4168000000", "4168000001", "4168000002", "4168000003"]
    for within in ("", "416", "416800"):
        with pytest.raises(OutOfStock):
            few.take(["416"], within)


def test_the_next_area_serves_when_the_first_is_empty() -> None:
    few = stock(("4168000000", 1), ("6478000000", 1))
    assert [few.take(["416", "647"]) for _ in range(2)] == ["4168000000", "6478000000"]


def test_what_was_taken_before_is_passed_over() -> None:
    few = stock(("4168000000", 3), taken=("4168000000",))
    few.mark_taken("4168000001")
    assert few.take(["416"]) == "4168000002"


def test_a_number_is_local_to_its_own_area_first_and_to_those_that_overlay_it() -> None:
    assert local_to_number("2895551234")[0] == "289"
    assert set(local_to_number("2895551234")) == {"289", "365", "742", "905"}
    assert local_to_number("3075551234") == ("307",)
    assert local_to_number("0005551234") == ()


def test_a_city_is_found_however_it_is_written_and_only_in_its_state() -> None:
    assert local_to_city("atlanta", "ga")[0] == local_to_city(" ATLANTA", "GA")[0] == "404"
    toronto = local_to_city("Toronto", "on")
    assert toronto[0] == "416"
    assert {"905", "289"} <= set(toronto)
    assert local_to_city("atlanta", "TX") == ()


def test_a_block_does_not_leave_its_area() -> None:
    with pytest.raises(ValidationError):
        Block(first="4169999999", count=2)
