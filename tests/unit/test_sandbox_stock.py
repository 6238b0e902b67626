"""The sandbox's stock of numbers."""

import time
from itertools import pairwise

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.sandbox.avanser.blocks import DEFAULT_BLOCKS, Block, StockScript
from worker.sandbox.avanser.stock import OutOfStock, Shelf, Stock, Taken, Wish, digits

SYDNEY = Wish("AU", szu="sydney")


def stock(*blocks: Block, strict: frozenset[str] = frozenset()) -> Stock:
    return Stock(StockScript(stock=blocks, strict_private=strict))


def test_the_default_stock_serves_100_000_orders_for_one_city_each_with_a_number_of_its_own() -> None:
    started = time.process_time()
    default = Stock(StockScript())
    assert time.process_time() - started < 0.5
    taken = {default.take(SYDNEY) for _ in range(100_000)}
    assert len(taken) == 100_000
    assert {"61280740801", "61280740802", "61280740805"} <= taken


def test_a_search_looks_only_at_the_numbers_that_it_shows() -> None:
    default = Stock(StockScript())
    for _ in range(50_000):
        default.take(SYDNEY)
    started = time.process_time()
    for _ in range(200):
        assert len(default.search(SYDNEY, 10)) == 10
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize("block", DEFAULT_BLOCKS, ids=lambda block: f"{block.region} {block.type} {block.pool}")
def test_default_numbers_are_plausible(block: Block) -> None:
    kinds = {
        "GEO": phonenumbers.PhoneNumberType.FIXED_LINE,
        "MOBILE": phonenumbers.PhoneNumberType.MOBILE,
        "TOLLFREE": phonenumbers.PhoneNumberType.SHARED_COST,
        "FREECALL": phonenumbers.PhoneNumberType.TOLL_FREE,
    }
    for number in (int(block.first), int(block.first) + block.count - 1):
        parsed = phonenumbers.parse(f"+{number}")
        assert phonenumbers.region_code_for_number(parsed) == block.country
        assert phonenumbers.number_type(parsed) == kinds[block.type]


def test_default_blocks_do_not_overlap() -> None:
    ranges = sorted((int(block.first), int(block.first) + block.count) for block in DEFAULT_BLOCKS)
    assert all(end <= start for (_, end), (start, _) in pairwise(ranges))


def test_private_stock_goes_first_and_public_stock_after_it() -> None:
    mixed = stock(Block(first="61281000000", pool="public"), Block(first="61280740801"))
    assert [mixed.take(SYDNEY), mixed.take(SYDNEY)] == ["61280740801", "61281000000"]
    with pytest.raises(OutOfStock):
        mixed.take(SYDNEY)


def test_strict_private_stock_neither_gives_nor_shows_public_numbers() -> None:
    public = Block(first="61281000000", pool="public")
    strict = stock(
        public, Block(first="61480000000", type="MOBILE", szu="", pool="public"), strict=frozenset({"AU/GEO"})
    )
    assert list(strict.search(Wish("AU"), 10)) == ["61480000000"]
    for wish in (SYDNEY, Wish("AU", "GEO", number="61281000000")):
        with pytest.raises(OutOfStock):
            strict.take(wish)


def test_a_stocked_number_is_picked_exactly_and_only_once() -> None:
    some = stock(Block(first="61280740801", count=9))
    assert some.take(Wish("AU", number="61280740805")) == "61280740805"
    with pytest.raises(Taken):
        some.take(Wish("AU", number="61280740805"))


@pytest.mark.parametrize(
    ("asked", "picked"),
    [
        ("61401603859", "61400000000"),  # 614 shared, against 61 with the landline
        ("61280740899", "61280740809"),
        ("61132307", "61280740801"),
        ("99", "61400000000"),  # nothing shared: the nearest
    ],
)
def test_any_other_number_picks_the_one_that_begins_most_like_it(asked: str, picked: str) -> None:
    some = stock(Block(first="61280740801", count=9), Block(first="61400000000", type="MOBILE", count=1, pool="public"))
    assert some.take(Wish("AU", number=asked)) == picked


def test_a_row_is_written_as_on_avansers_page() -> None:
    rows = stock(Block(first="61280740802"), Block(first="611800500000", type="FREECALL")).search(Wish(), 10)
    assert list(rows["61280740802"].items()) == [
        ("country", "AU"),
        ("region", "NSW: Sydney"),
        ("type", "GEO"),
        ("national", "0280740802"),
        ("calling_code", "+61"),
        ("pool", "private"),
    ]
    assert rows["611800500000"]["national"] == "1800500000"


@pytest.mark.parametrize(
    "written", ["61280740801", "0280740801", "+61-0280740801", "+61280740801", "+61 2 8074 0801", "(02) 8074 0801"]
)
def test_every_way_of_writing_a_number_is_the_same_number(written: str) -> None:
    assert digits(written) == "61280740801"


@given(st.lists(st.integers(0, 29), unique=True), st.integers(-5, 35))
def test_a_shelf_finds_the_nearest_free_number_on_either_side(taken: list[int], place: int) -> None:
    first = 61280740800
    shelf = Shelf(Block(first=str(first), count=30))
    for each in taken:
        shelf.take(first + each)
    free = [first + each for each in range(30) if each not in taken]
    wanted = first + place
    assert shelf.at_or_after(wanted) == min((number for number in free if number >= wanted), default=None)
    assert shelf.at_or_before(wanted) == max((number for number in free if number <= wanted), default=None)
    assert all(shelf.is_free(number) for number in free)


@given(st.lists(st.integers(0, 199), unique=True, max_size=150), st.integers(0, 999))
def test_the_closest_match_shares_the_longest_beginning(taken: list[int], place: int) -> None:
    some = stock(Block(first="61280740100", count=200))
    for each in taken:
        some.mark_taken(str(61280740100 + each))
    wanted = str(61280740300 + place % 700)
    free = [str(61280740100 + each) for each in range(200) if each not in taken]
    longest = max(_shared(number, wanted) for number in free)
    assert _shared(some.take(Wish(number=wanted)), wanted) == longest


def _shared(one: str, other: str) -> int:
    return next((place for place in range(len(one)) if one[place] != other[place]), len(one))
