"""Seeds and crashes in a size for every day. `make simulate` runs a hundred thousand, and replays one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.simulation.explore import Tally, run_one, run_seeds, scenario_of, walk
from tests.simulation.product import settings
from tests.simulation.scenario import Order, Scenario, Style
from tests.simulation.stories import STORIES
from tests.simulation.vendor import NAME
from tests.simulation.world import Plan

PORTION = 100


def told(tally: Tally) -> str:
    """What a failure says: how to see it again, and what was wrong."""
    lines = [
        line for how, faults in tally.shown for line in (f"make simulate {how}", *(f"    {one}" for one in faults))
    ]
    return "\n".join([f"{tally.failed} of {tally.runs} runs failed", *lines])


@pytest.mark.parametrize("first", range(0, 8 * PORTION, PORTION))
def test_whatever_a_seed_draws_the_promise_holds(first: int) -> None:
    tally = run_seeds(range(first, first + PORTION))
    assert not tally.failed, told(tally)
    assert tally.crashes > PORTION / 4
    assert tally.requests > PORTION


@pytest.mark.parametrize("story", STORIES)
def test_a_worker_or_the_receiver_may_die_at_any_point(story: str) -> None:
    tally = walk(story, "crash")
    assert not tally.failed, told(tally)
    assert tally.crashes == tally.runs - 1, "each run but the undisturbed one"


@pytest.mark.parametrize("story", ["the vendor answers at once", "the acknowledgement is lost"])
def test_and_die_again(story: str) -> None:
    tally = walk(story, "crash-twice", every=11)
    assert not tally.failed, told(tally)


@pytest.mark.parametrize("first", [0, PORTION])
def test_a_process_that_stands_still_may_buy_twice_and_does_no_other_harm(first: int) -> None:
    tally = run_seeds(range(first, first + PORTION), frozen=True)
    assert not tally.failed, told(tally)
    assert tally.freezes


@pytest.mark.parametrize("story", ["the acknowledgement is lost", "the order after a refusal is not answered"])
def test_who_comes_back_after_another_has_taken_over_changes_nothing(story: str) -> None:
    tally = walk(story, "freeze")
    assert not tally.failed, told(tally)
    assert tally.freezes


def test_who_wakes_between_the_check_and_the_send_is_the_one_that_may_buy_twice() -> None:
    """The window that the promise names, and that a number which was picked first closes."""
    own = settings().upstreams[NAME]
    stays = own.lease + own.settles_within * 3
    twice = {}
    for style in (Style.AT_ONCE, Style.PICKED):
        story = Scenario(workers=2, style=style)
        (sends,) = (point for point, line in _points(story) if line.startswith("orders"))
        verdict = run_one(0, replace(story, plan=Plan(freezes={sends: stays})))
        assert not verdict.faults
        twice[style] = bool(verdict.in_the_window)
    assert twice == {Style.AT_ONCE: True, Style.PICKED: False}


def _points(story: Scenario) -> list[tuple[int, str]]:
    """The numbered points of an undisturbed run, and what happens there."""
    lines = [line.split(maxsplit=2)[1:] for line in run_one(0, story).log]
    return [(int(number[1:]), rest.split("  ")[-1].strip()) for number, rest in lines]


@pytest.mark.parametrize("seed", range(20, 30))
def test_a_seed_gives_the_same_run_every_time(seed: int) -> None:
    scenario = scenario_of(seed, frozen=False)
    first, second = (run_one(seed, scenario).log for _ in range(2))
    assert first == second
    assert len(first) > 10


@pytest.mark.parametrize(
    ("order", "lag"),
    [(Order.ACK_LOST, timedelta(minutes=5)), (Order.LANDS_LATE, timedelta(hours=-1))],
    ids=["its list lags too long", "its orders land too late"],
)
def test_the_judge_sees_what_a_vendor_does_that_breaks_the_agreement(order: Order, lag: timedelta) -> None:
    """Its settling time is longer than we were told: the one thing that nothing protects against."""
    verdict = run_one(0, Scenario(style=Style.AT_ONCE, orders=[order], list_lag=lag))
    assert "I2: r0 was ordered 2 times" in verdict.faults
