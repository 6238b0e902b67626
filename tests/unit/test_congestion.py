"""How much an upstream can bear: quickly less, slowly more, and a slow one is not starved."""

from __future__ import annotations

import pytest

from worker.congestion import LEAST, LEAST_WHEN_SLOW, RECOVERY, REFUSED, SLOW, Congestion

USUAL = 0.3
"""Seconds."""


def after(seen: Congestion, seconds: int, latency: float | None = USUAL, *, is_refused: bool = False) -> Congestion:
    """So many seconds later, of which each brought the same."""
    for _ in range(seconds):
        seen = seen.heard(seen.at + 1, latency, is_refused=is_refused)
    return seen


@pytest.fixture
def well() -> Congestion:
    return after(Congestion(), 10)


def test_while_all_is_well_it_is_given_all(well: Congestion) -> None:
    assert (well.share, well.usual) == (1.0, USUAL)


def test_a_refusal_halves_it_and_each_good_second_gives_some_back(well: Congestion) -> None:
    refused = after(well, 1, is_refused=True)
    assert refused.share == REFUSED
    assert after(refused, 1).share == pytest.approx(REFUSED + RECOVERY)
    assert after(refused, 10).share == pytest.approx(1.0)


def test_all_that_was_in_flight_when_it_fell_counts_once(well: Congestion) -> None:
    seen = well.heard(well.at + 1, None, is_refused=True)
    for moment in range(9):
        seen = seen.heard(seen.at + moment / 10, None, is_refused=True)
    assert seen.share == REFUSED


def test_it_is_never_left_without(well: Congestion) -> None:
    assert after(well, 100, is_refused=True).share == LEAST


def test_answers_that_take_much_longer_take_a_fifth_each_second(well: Congestion) -> None:
    assert after(well, 2, 2.0).share == pytest.approx(SLOW**2)
    assert after(well, 12, 2.0).share == pytest.approx(LEAST_WHEN_SLOW)


@pytest.mark.parametrize("latency", [USUAL / 10, USUAL, USUAL * 1.9, USUAL * 2 + 0.2])
def test_answers_that_take_a_little_longer_change_nothing(well: Congestion, latency: float) -> None:
    assert after(well, 1, latency).share == 1.0


def test_an_upstream_that_stays_slow_is_taken_for_slow_by_nature(well: Congestion) -> None:
    slow = after(well, 120, 2.0)
    assert slow.share == 1.0
    assert after(slow, 5, USUAL).usual == pytest.approx(USUAL, abs=0.4), "and found to be quick again sooner"


def test_a_slow_one_that_had_been_cut_for_its_refusals_gets_no_more(well: Congestion) -> None:
    assert after(after(well, 10, is_refused=True), 1, 2.0).share == LEAST


def test_refusals_alone_tell_nothing_of_latency(well: Congestion) -> None:
    assert after(well, 3, None, is_refused=True).usual == USUAL
    assert after(well, 1, None) == well


def test_a_clock_that_was_set_back_stops_nothing(well: Congestion) -> None:
    assert well.heard(well.at - 3600, None, is_refused=True).share == REFUSED
