"""The wait between tries."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from worker.backoff import backoff

BASE, CAP = timedelta(seconds=2), timedelta(seconds=600)


def test_it_doubles_up_to_its_cap() -> None:
    assert [backoff(n, BASE, CAP, luck=1).total_seconds() for n in (1, 2, 3, 9, 10, 99)] == [2, 4, 8, 512, 600, 600]


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_it_is_never_less_than_half_nor_more_than_the_cap(tries: int, luck: float) -> None:
    assert BASE / 2 <= backoff(tries, BASE, CAP, luck) <= CAP
