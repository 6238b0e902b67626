"""How many requests are claimed at once, after some could not be sent in time."""

from hypothesis import given
from hypothesis import strategies as st

from worker.pace import CHUNK, Pace


def test_it_claims_what_it_could_send_and_then_twice_as_much() -> None:
    pace = Pace()
    assert pace.room == CHUNK
    pace.heard(claimed=50, too_late=43)
    assert pace.room == 7
    pace.heard(claimed=7, too_late=0)
    assert pace.room == 14
    pace.heard(claimed=3, too_late=0)
    assert pace.room == 14, "three that were sent say nothing of fourteen"


@given(st.lists(st.tuples(st.integers(0, CHUNK), st.integers(0, CHUNK))))
def test_it_never_stands_still_and_never_claims_more_than_a_chunk(rounds: list[tuple[int, int]]) -> None:
    pace = Pace()
    for claimed, too_late in rounds:
        pace.heard(claimed, min(claimed, too_late))
        assert 1 <= pace.room <= CHUNK
