"""The table of legal moves."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from models.state import FINAL, MOVES, OPEN, State, is_legal


def test_every_state_has_a_row_in_the_table() -> None:
    assert set(MOVES) == set(State)


def test_nothing_leaves_a_final_state() -> None:
    assert not [pair for pair in itertools.product(FINAL, State) if is_legal(*pair)]


def test_evidence_of_an_order_lands_in_every_open_state() -> None:
    assert all(is_legal(state, State.COMPLETED) for state in OPEN)


def test_a_request_whose_order_is_out_cannot_be_cancelled() -> None:
    assert not is_legal(State.SUBMITTING, State.CANCELLED)
    assert not is_legal(State.ACCEPTED, State.CANCELLED)


@given(st.lists(st.sampled_from(State), max_size=30))
def test_every_walk_reaches_at_most_one_final_state(wishes: list[State]) -> None:
    state, ends = State.QUEUED, []
    for wish in wishes:
        if is_legal(state, wish):
            state = wish
            ends += [wish] if wish in FINAL else []
    assert len(ends) <= 1
