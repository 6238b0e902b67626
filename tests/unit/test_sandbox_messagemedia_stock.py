"""The simulated MessageMedia's pool of numbers, and the ids that they go by."""

import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sandbox import eventually
from worker.sandbox.messagemedia.numbers import SEED_ROWS, id_of, number_of
from worker.sandbox.messagemedia.stock import (
    DEFAULT_BLOCKS,
    SEED_BLOCKS,
    Block,
    MessageMediaScript,
    Shelf,
    Stock,
    Wish,
    next_with,
)

ANY = Wish()
FIRST = 61437000000


def stock(*blocks: Block, limit: int | None = None) -> Stock:
    return Stock(MessageMediaScript(stock=blocks, limit=limit))


def shown(some: Stock, wish: Wish = ANY, start: int | None = None, size: int = 1_000) -> list[int]:
    return [int(number.digits) for number in some.page(wish, start, size)[0]]


@given(st.integers(1, 10**15 - 1))
def test_an_id_is_a_uuid_and_leads_back_to_its_number(number: int) -> None:
    assert UUID(id_of(number)).version == 4 or number in {row[0] for row in SEED_ROWS}
    assert number_of(id_of(number)) == number
    assert number_of(id_of(number).upper()) == number


OTHER_VARIANT = str(UUID(int=UUID(id_of(FIRST)).int ^ 1 << 62))


@pytest.mark.parametrize("text", ["", "assignments", "00000000-0000-4000-8000-000000000000", OTHER_VARIANT, "é"])
def test_an_id_that_was_never_given_leads_nowhere(text: str) -> None:
    assert number_of(text) is None


@pytest.mark.parametrize(("number", "number_id", "available_after"), SEED_ROWS)
def test_the_guides_numbers_have_the_guides_ids_and_times(number: int, number_id: str, available_after: str) -> None:
    assert (id_of(number), number_of(number_id)) == (number_id, number)
    found = Stock(MessageMediaScript(stock="seed")).number(number)
    assert found is not None
    assert (found.id, found.available_after) == (number_id, available_after)


@given(st.text("0123456789", min_size=1, max_size=4), st.integers(10_000, 99_999))
def test_the_next_number_with_some_digits_is_found_by_arithmetic(digits: str, number: int) -> None:
    wanted = next((each for each in range(number, 100_000) if digits in str(each)), None)
    found = next_with(digits, number)
    assert found == wanted if wanted else found >= 100_000


@given(st.sets(st.integers(0, 299)), st.text("0123", max_size=3), st.integers(-5, 305))
def test_a_shelf_shows_the_free_numbers_that_match_from_any_place_on(taken: set[int], digits: str, place: int) -> None:
    shelf = Shelf(Block(first=str(FIRST)), 300)
    for each in taken:
        shelf.take(FIRST + each)
    free = [FIRST + each for each in range(300) if each not in taken]
    wanted = [number for number in free if digits in str(number) and number >= FIRST + place]
    assert list(shelf.free(digits, FIRST + place)) == wanted
    assert list(shelf.free(digits, FIRST + place)) == wanted, "and remembers nothing wrong"


def test_what_is_put_back_is_found_by_a_search_that_had_passed_it() -> None:
    shelf = Shelf(Block(first=str(FIRST)), 10)
    for number in range(FIRST, FIRST + 10):
        shelf.take(number)
    assert list(shelf.free("3700", FIRST)) == []
    shelf.put_back(FIRST + 4)
    assert list(shelf.free("3700", FIRST)) == [FIRST + 4]


def test_the_default_stock_is_made_at_once_and_serves_100_000_orders() -> None:
    started = time.process_time()
    default = Stock(MessageMediaScript())
    assert time.process_time() - started < 0.5
    wish = Wish("AU", capabilities=frozenset({"SMS"}))
    taken: set[int] = set()
    while len(taken) < 100_000:
        for number in shown(default, wish):
            default.take(number)
            assert number not in taken
            taken.add(number)


@pytest.mark.parametrize("matching", ["", "42", "4242"])
def test_a_search_looks_only_at_what_it_shows(matching: str) -> None:
    default = Stock(MessageMediaScript())
    for number in range(FIRST, FIRST + 100_000):
        default.take(number)
    started = time.process_time()
    for _ in range(200):
        assert len(shown(default, Wish("AU", matching=matching), size=10)) == 10
    assert time.process_time() - started < 1


@pytest.mark.parametrize("block", DEFAULT_BLOCKS, ids=lambda block: f"{block.country} {block.type} {block.first}")
def test_default_numbers_are_plausible(block: Block) -> None:
    north_american = phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE
    kinds = {
        "MOBILE": phonenumbers.PhoneNumberType.MOBILE,
        "LANDLINE": phonenumbers.PhoneNumberType.FIXED_LINE,
        "TEN_DLC": north_american,
        "TOLL_FREE": phonenumbers.PhoneNumberType.TOLL_FREE,
    }
    for number in (int(block.first), int(block.first) + block.count - 1):
        parsed = phonenumbers.parse(f"+{number}")
        assert phonenumbers.region_code_for_number(parsed) == block.country
        assert phonenumbers.number_type(parsed) == kinds[block.type]


def test_default_blocks_do_not_overlap_and_have_all_capabilities_among_them() -> None:
    ranges = sorted((int(block.first), int(block.first) + block.count) for block in DEFAULT_BLOCKS)
    assert all(end <= start for (_, end), (start, _) in pairwise(ranges))
    assert {one for block in DEFAULT_BLOCKS for one in block.capabilities} == {"SMS", "TTS", "MMS"}
    assert DEFAULT_BLOCKS[: len(SEED_BLOCKS)] == SEED_BLOCKS


def test_a_limit_leaves_only_the_first_numbers_over_all_blocks() -> None:
    blocks = (Block(first=str(FIRST), count=3), Block(first="61457000000", count=3))
    assert shown(stock(*blocks, limit=4)) == [FIRST, FIRST + 1, FIRST + 2, 61457000000]
    assert shown(stock(*blocks, limit=0)) == []


def test_new_stock_shows_nothing_that_is_taken_or_rests() -> None:
    some = stock(Block(first=str(FIRST), count=2))
    some.take(FIRST)
    some.rest(FIRST + 1, time.time() + 60)
    some.restock(MessageMediaScript(stock=(Block(first=str(FIRST), count=3),)))
    assert shown(some) == [FIRST + 2]


def test_a_number_that_rests_says_until_when_and_is_free_afterwards() -> None:
    some = stock(Block(first=str(FIRST)))
    some.take(FIRST)
    until = datetime.now(UTC) + timedelta(seconds=0.5)
    some.rest(FIRST, until.timestamp())
    resting = some.number(FIRST)
    assert resting is not None
    assert abs(datetime.fromisoformat(resting.available_after) - until) < timedelta(milliseconds=2)
    assert (shown(some), some.is_free(FIRST)) == ([], False)
    eventually(lambda: some.is_free(FIRST))
    assert datetime.now(UTC) >= until
    assert shown(some) == [FIRST]


def test_a_rest_that_ended_frees_no_number_that_was_taken_since() -> None:
    some = stock(Block(first=str(FIRST)))
    some.rest(FIRST, time.time() - 1)
    some.take(FIRST)
    assert shown(some) == []
    some.rest(FIRST, time.time() - 1)
    some.rest(FIRST, time.time() + 60)
    assert shown(some) == []
