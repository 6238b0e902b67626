"""The demo's books: whoever cooks one of the three is found out."""

from dataclasses import replace

import pytest

from models.state import State
from worker.cli.demo.books import Books
from worker.cli.demo.dealers import bad_customers

COUNTS = dict.fromkeys(State, 0) | {State.COMPLETED: 2, State.FAILED: 1}
HELD = {"dealer-1": "+61280740801", "dealer-2": "+61280740802"}

GOOD = Books(
    counts=COUNTS,
    numbers_bought=2,
    bought_twice=0,
    results={"a": "completed", "b": "completed", "c": "failed"},
    bad_signatures=0,
    completed=HELD,
    ledger=HELD,
)


def test_books_that_agree_have_no_fault() -> None:
    assert (GOOD.faults(), GOOD.lost) == ([], 0)


@pytest.mark.parametrize(
    ("cooked", "says"),
    [
        (replace(GOOD, bought_twice=1), "bought twice"),
        (replace(GOOD, numbers_bought=3), "more or fewer"),
        (replace(GOOD, ledger=HELD | {"dealer-2": "+61280740899"}), "other numbers"),
        (replace(GOOD, results={"a": "completed", "b": "completed"}), "lost"),
        (replace(GOOD, results={"a": "completed", "b": "failed", "c": "failed"}), "told otherwise"),
        (replace(GOOD, counts=COUNTS | {State.HELD: 1}), "lost"),
        (replace(GOOD, bad_signatures=1), "signature"),
    ],
)
def test_books_that_disagree_say_where(cooked: Books, says: str) -> None:
    assert any(says in fault for fault in cooked.faults())


@pytest.mark.parametrize("count", [10, 100, 500, 5_000])
def test_a_few_customers_are_bad_and_most_are_good(count: int) -> None:
    assert 2 <= sum(bad_customers(count)) <= count / 5
