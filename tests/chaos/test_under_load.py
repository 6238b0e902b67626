"""Workers die at random while requests keep coming in."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

import pytest

from tests.chaos.case import Case
from tests.chaos.conftest import Begin, Size
from tests.chaos.member import Member

BETWEEN_KILLS = (0.5, 5.0)
"""Seconds."""

WEATHER = {
    "latency_ms": {"min": 50, "max": 600},
    "callback": {"delay": 0.5, "jitter": 0.5},
    "faults": [
        {"fault": "timeout_after_effect", "share": 0.005, "seconds": 4, "times_per_order": 1},
        {"fault": "reset_after_effect", "share": 0.005, "times_per_order": 1},
        {"fault": "callback_never", "share": 0.01},
    ],
}

pytestmark = pytest.mark.timeout(2_400)


def kill_at_random(case: Case, victims: Sequence[Member], kills: int, requests: int) -> None:
    """Kill one group after the other, each brought back at once, while the requests come in evenly."""
    chance = random.Random(case.seed)
    pauses = [chance.uniform(*BETWEEN_KILLS) for _ in range(kills)]
    began, whole = time.monotonic(), sum(pauses)
    next_kill = began
    for pause in pauses:
        next_kill += pause
        while time.monotonic() < next_kill:
            due = requests * min(1.0, (time.monotonic() - began) / whole)
            if due - len(case.submitted_at) >= 1:
                case.submit(int(due) - len(case.submitted_at))
            time.sleep(0.2)
        victim = chance.choice(victims)
        victim.kill()
        victim.start()
        case.struck()
    if requests > len(case.submitted_at):
        case.submit(requests - len(case.submitted_at))


def test_worker_groups_killed_at_random(begin: Begin, size: Size, conclude: Callable[..., None]) -> None:
    case = begin("worker groups killed at random under load", **WEATHER)
    kill_at_random(case, case.cluster.workers, size(5, 200), size(150, 10_000))
    case.over()
    conclude(case, within=180)


def test_each_of_our_processes_killed_at_random(begin: Begin, size: Size, conclude: Callable[..., None]) -> None:
    case = begin("relay and workers killed at random under load", **WEATHER)
    victims = [*case.cluster.workers, *case.cluster.relays]
    kill_at_random(case, victims, size(3, 60), size(60, 2_000))
    case.over()
    conclude(case, within=180)
