"""Faults that strike while requests are under way, again and again, and the time in which they must then end."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

from tests.chaos.case import Case
from tests.chaos.judge import GOES_ON_WITHIN
from tests.sandbox import eventually

AT_ONCE = 50
"""Requests that are under way when it strikes."""

WEATHER: dict[str, Any] = {
    "latency_ms": {"min": 100, "max": 900},
    "callback": {"delay": 1.0, "jitter": 0.9},
}
"""A script under which so many requests take some seconds, so that whatever strikes finds them at every step."""


def under_load(case: Case, times: int, at_once: int, strike: Callable[[], None]) -> None:
    """Strike so often, each time at another moment of a batch; and each time all of it ends within 60 s (I7).

    The fault is over when `strike` returns.
    """
    chance = random.Random(case.seed)
    for _ in range(times):
        before = len(case.submitted_at)
        case.submit(at_once)
        ended_by_then = chance.randrange(at_once // 2)
        eventually(lambda before=before, some=ended_by_then: case.ended() >= before + some, within=60)  # type: ignore[misc]
        assert case.ended() < len(case.submitted_at), "it ended before anything struck"
        strike()
        case.struck()
        case.over()
        ends_in_time(case)


def while_they_come_in(case: Case, requests: int, pauses: Sequence[float], strike: Callable[[], None]) -> None:
    """Strike after each of these pauses (seconds), while so many requests come in evenly over all that time."""
    began, whole = time.monotonic(), sum(pauses)
    for until in accumulate(pauses):
        while (elapsed := time.monotonic() - began) < until:
            due = math.ceil(requests * min(1.0, elapsed / whole))
            if due > len(case.submitted_at):
                case.submit(due - len(case.submitted_at), again_for=GOES_ON_WITHIN)
            time.sleep(0.2)
        strike()
    if requests > len(case.submitted_at):
        case.submit(requests - len(case.submitted_at), again_for=GOES_ON_WITHIN)


def ends_in_time(case: Case) -> None:
    """All that was submitted ends within 60 s from now, or is held."""
    case.drain(within=GOES_ON_WITHIN)
    told_of = {result.custom_id for result in case.told().values()}
    assert not set(case.submitted_at) - told_of, f"not ended {GOES_ON_WITHIN:.0f} s after the fault"
