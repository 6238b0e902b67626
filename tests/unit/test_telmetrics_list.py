"""Telmetrics' list of numbers: no row is missed while it changes, and one reading serves all who ask at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.upstreams.base import Unavailable
from worker.upstreams.telmetrics.listing import Shared, next_page, read_all
from worker.upstreams.telmetrics.replies import Page, Row

LONG = timedelta(seconds=10)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def row(id_: int) -> Row:
    return Row.of({"id": id_, "name": f"n{id_}", "phone_number": f"{2890000000 + id_}"})


class Numbers:
    """A list as Telmetrics pages it, which `meanwhile` may change after each page."""

    def __init__(
        self, count: int, meanwhile: Callable[[Numbers], None] = lambda _: None, largest: int = 10_000
    ) -> None:
        self.rows = [row(id_) for id_ in range(1, count + 1)]
        self._meanwhile, self._largest = meanwhile, largest
        self.asked: list[tuple[int, int]] = []

    async def ask(self, number: int, size: int) -> Page:
        self.asked.append((number, size))
        size = min(size, self._largest)
        page = Page(self.rows[(number - 1) * size : number * size], size, len(self.rows))
        self._meanwhile(self)
        return page


def ids(rows: dict[str, Row]) -> set[int]:
    return {int(reference) for reference in rows}


@given(st.integers(0, 600), st.integers(50, 700))
def test_every_number_is_read_whatever_the_size_of_a_page(count: int, size: int) -> None:
    numbers = Numbers(count)
    assert ids(run(read_all(numbers.ask, size))) == set(range(1, count + 1))


@given(st.integers(2, 2000), st.integers(1, 1_000_000))
def test_a_page_begins_before_the_end_of_the_one_before_and_goes_beyond_it(size: int, end: int) -> None:
    end = max(end, size)  # behind a full first page
    number, asked = next_page(end, size)
    assert 1 <= asked <= size
    assert (number - 1) * asked < end, "one row at least is read again"
    if end < size * size // 4:  # 250,000 numbers at 1,000 a page
        assert number * asked > end, "and one at least is new"


def test_20_000_numbers_take_little_more_than_20_pages_of_1000() -> None:
    numbers = Numbers(20_000)
    assert len(run(read_all(numbers.ask))) == 20_000
    assert len(numbers.asked) <= 22


def test_pages_smaller_than_asked_for_are_taken_as_they_come() -> None:
    numbers = Numbers(950, largest=100)
    assert ids(run(read_all(numbers.ask))) == set(range(1, 951))


def test_numbers_that_are_bought_while_we_read_hide_none_that_was_there() -> None:
    def buy(numbers: Numbers) -> None:
        numbers.rows.append(row(len(numbers.asked) + 1000))
        numbers.rows.insert(0, row(len(numbers.asked) + 2000))

    numbers = Numbers(950, buy)
    assert set(range(1, 951)) <= ids(run(read_all(numbers.ask, 100)))
    assert len(numbers.asked) < 15, "read once"


def test_a_few_numbers_that_are_given_up_while_we_read_hide_none() -> None:
    def give_up_one(numbers: Numbers) -> None:
        del numbers.rows[0]

    numbers = Numbers(300, give_up_one)
    assert set(range(20, 301)) <= ids(run(read_all(numbers.ask, 100))), "two rows of each page are read again"


def test_where_more_are_given_up_than_pages_overlap_the_list_is_read_again() -> None:
    def give_up_many_once(numbers: Numbers) -> None:
        if len(numbers.asked) == 1:
            del numbers.rows[:5]

    numbers = Numbers(30, give_up_many_once)
    assert ids(run(read_all(numbers.ask, 10))) == set(range(6, 31))
    assert [number for number, _ in numbers.asked].count(1) == 2


def test_a_list_that_does_not_hold_still_is_no_proof_of_absence() -> None:
    def give_up_many(numbers: Numbers) -> None:
        del numbers.rows[:5]

    with pytest.raises(Unavailable, match="changed faster"):
        run(read_all(Numbers(300, give_up_many).ask, 10))


@pytest.mark.parametrize("total", [25, 5])
def test_a_list_that_contradicts_itself_is_no_proof_of_absence(total: int) -> None:
    async def ask(number: int, size: int) -> Page:
        return Page([row(1), row(1)][: size if number == 1 else 0], size, total)

    with pytest.raises(Unavailable):
        run(read_all(ask, 10))


def test_pages_that_never_go_on_are_no_proof_of_absence() -> None:
    async def repeats_itself(number: int, size: int) -> Page:
        return Page([row(id_) for id_ in range(1, size + 1)], size, 25)

    async def stops(number: int, size: int) -> Page:
        return Page([row(id_) for id_ in range(1, 11)] if number == 1 else [row(10)], size, 25)

    for ask in (repeats_itself, stops):
        with pytest.raises(Unavailable):
            run(read_all(ask, 10))


def test_rows_that_come_in_another_order_on_each_page_are_no_proof_of_absence() -> None:
    numbers = Numbers(100, lambda numbers: numbers.rows.reverse())
    with pytest.raises(Unavailable):
        run(read_all(numbers.ask, 10))


def test_pages_of_another_size_than_asked_for_are_not_guessed_at() -> None:
    async def ask(number: int, size: int) -> Page:
        return Page([row(id_) for id_ in range(1, 11)], 10, 25)

    with pytest.raises(Unavailable, match="pages of 10 numbers"):
        run(read_all(ask, 10))


# One reading for all who ask at once.


class Counted:
    """A reading that says which one it was, when it is let go."""

    def __init__(self) -> None:
        self.begun = 0
        self.cancelled = 0
        self.goes = asyncio.Event()

    async def read(self) -> int:
        self.begun += 1
        mine = self.begun
        try:
            await self.goes.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return mine


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await turns(1)


async def turns(count: int) -> None:
    """Let whoever can go on do so, so many times."""
    for _ in range(count):
        await asyncio.sleep(0)


def test_all_who_ask_at_once_are_served_by_one_reading() -> None:
    async def story() -> None:
        counted = Counted()
        counted.goes.set()
        shared = Shared(counted.read)
        assert await asyncio.gather(*(shared.get(LONG) for _ in range(200))) == [1] * 200
        assert await shared.get(LONG) == 2, "what was read is not kept"

    run(story())


def test_who_asks_while_one_reads_gets_what_is_read_after_he_asked() -> None:
    async def story() -> None:
        counted = Counted()
        shared = Shared(counted.read)
        first = asyncio.create_task(shared.get(LONG))
        await until(lambda: counted.begun == 1)
        later = [asyncio.create_task(shared.get(LONG)) for _ in range(50)]
        await turns(10)
        assert counted.begun == 1, "one reads at a time"
        counted.goes.set()
        assert await first == 1
        assert await asyncio.gather(*later) == [2] * 50

    run(story())


def test_a_reading_that_fails_fails_all_who_wait_for_it_and_nobody_after() -> None:
    async def story() -> None:
        fails = [True]

        async def read() -> int:
            if fails.pop():
                raise Unavailable("away")
            return 7

        shared = Shared(read)
        answers = await asyncio.gather(*(shared.get(LONG) for _ in range(3)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [Unavailable] * 3
        fails.append(False)
        assert await shared.get(LONG) == 7

    run(story())


def test_who_waits_too_long_gives_up_and_the_others_do_not() -> None:
    async def story() -> None:
        counted = Counted()
        shared = Shared(counted.read)
        patient = asyncio.create_task(shared.get(LONG))
        with pytest.raises(Unavailable, match=r"within 0\.01 s"):
            await shared.get(timedelta(seconds=0.01))
        counted.goes.set()
        assert await patient == 1

    run(story())


def test_a_reading_that_nobody_waits_for_is_given_up_and_the_next_who_asks_is_served() -> None:
    async def story() -> None:
        counted = Counted()
        shared = Shared(counted.read)
        with pytest.raises(Unavailable):
            await shared.get(timedelta(seconds=0.01))
        await until(lambda: counted.cancelled == 1)
        counted.goes.set()
        assert await shared.get(LONG) == 2

        counted.goes.clear()
        running = asyncio.create_task(shared.get(LONG))
        await until(lambda: counted.begun == 3)
        with pytest.raises(Unavailable):  # waited for the next reading, which never began
            await shared.get(timedelta(seconds=0.01))
        after = asyncio.create_task(shared.get(LONG))
        counted.goes.set()
        assert (await running, await after) == (3, 4)

    run(story())


def test_who_is_cancelled_takes_no_other_with_him() -> None:
    async def story() -> None:
        counted = Counted()
        shared = Shared(counted.read)
        leaver, stayer = (asyncio.create_task(shared.get(LONG)) for _ in range(2))
        await until(lambda: counted.begun == 1)
        leaver.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaver
        counted.goes.set()
        assert await stayer == 1

    run(story())
