"""Bad weather at the upstreams: silence after the order, lists that lag, bursts of 5xx, broken JSON, 429.

At all three upstreams at once. That the weather was met is seen by the answers that our own calls got.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from tests.chaos.case import Case
from tests.chaos.cluster import Cluster
from tests.chaos.conftest import Begin, Size
from tests.chaos.mixed import UPSTREAMS
from tests.sandbox import eventually

pytestmark = pytest.mark.timeout(1_800)

Rule = Mapping[str, Any]

LOOK_UP = ["look_up"]

QUIET = {"delay": 4, "jitter": 4}
"""Of callbacks: some come before the upstream's silence has ended, and some only after a look has found the order."""


def everywhere(*rules: Rule) -> list[Rule]:
    """These rules at each upstream."""
    return [{"upstream": upstream} | dict(rule) for rule in rules for upstream in UPSTREAMS]


def test_accepts_then_times_out(begin: Begin, size: Size, conclude: Callable[..., None]) -> None:
    silence = everywhere({"fault": "timeout_after_effect", "seconds": 6, "times_per_order": 1})
    case = begin("upstream accepts, then times out", callback=QUIET, faults=silence)
    count = size(42, 2_000)
    case.submit(count, upstreams=UPSTREAMS)
    eventually(lambda: case.ordered() >= count, within=300)
    case.struck(count)
    case.over()
    conclude(case, within=300)
    assert case.answers()["outcome_unknown"] >= count / 2, "nobody met the silence"


def lags(longest: float) -> Sequence[Rule]:
    """Every order's answer is lost, nobody calls back, and the list shows it late: up to so many seconds.

    A third never arrives the first time: of what the list does not show, some is to be ordered again.
    """
    steps = 6
    return [
        {"fault": "reset_before_effect", "share": 1 / 3, "times_per_order": 1},
        {"fault": "reset_after_effect", "times_per_order": 1},
        {"fault": "callback_never"},
        # The last rule that strikes counts, so that each step is as likely.
        *(
            {"fault": "list_lags", "share": 1 / (step + 1), "seconds": round(longest * step / (steps - 1), 2)}
            for step in range(steps)
        ),
    ]


def until_shown(case: Case) -> None:
    """Wait until the lists have caught up with all orders."""
    shown_at = max(float(entry["shown_at"]) for entry in case.cluster.sandbox.ledger())
    eventually(lambda: time.time() > shown_at, within=600)


@pytest.fixture
def settling(cluster: Cluster, size: Size) -> Iterator[float]:
    """The settling time, in seconds: long enough that who does not wait for it is seen to look too early."""
    seconds = size(6, 125)
    names = [f"TRUNKLINE_{upstream.upper()}_SETTLING" for upstream in UPSTREAMS]
    cluster.set_workers(**dict.fromkeys(names, str(seconds)))
    yield seconds
    cluster.set_workers(**{name: cluster.environment[name] for name in names})


def test_lists_lag_within_the_settling_time(
    settling: float, begin: Begin, size: Size, conclude: Callable[..., None]
) -> None:
    longest = settling * 0.96  # 120 s in full size
    name = f"lists lag 0 to {longest:.0f} s, settling time {settling:.0f} s"
    case = begin(name, faults=everywhere(*lags(longest)))
    count = size(42, 2_000)
    case.submit(count, upstreams=UPSTREAMS)
    eventually(lambda: case.ordered() >= count / 2, within=300)
    until_shown(case)
    case.struck(count)
    case.over()
    conclude(case, within=600)
    answers = case.answers()
    assert answers["outcome_unknown"] >= count / 2, answers
    assert answers["not_found"] >= count / 3, answers  # looked at while the list lagged


@pytest.mark.parametrize("upstream", ["avanser", "messagemedia"])
def test_a_list_that_lags_longer_than_the_settling_time_is_a_stated_limit(
    upstream: str, begin: Begin, size: Size, conclude: Callable[..., None]
) -> None:
    """Nobody can tell an order that a list will show later from one that never arrived. How often that costs a second
    number is measured; everything else must hold."""
    is_pinned = upstream == "messagemedia"
    faults: list[Rule] = [
        {"upstream": upstream, "fault": "reset_after_effect", "times_per_order": 1},
        {"upstream": upstream, "fault": "list_lags", "seconds": 12},
        {"upstream": upstream, "fault": "callback_never"},
    ]
    name = f"list lags 12 s, settling time 2 s: {upstream}{', pinned' if is_pinned else ''} (measured)"
    case = begin(name, faults=faults)
    count = size(20, 200)
    case.submit(count, upstreams=(upstream,))
    eventually(lambda: case.ordered() >= count, within=300)
    case.struck(count)
    case.over()
    conclude(case, within=300, measured=("I2",), pinned=is_pinned)
    assert case.answers()["not_found"] >= 2 * count, "the list did not lag"


def test_bursts_of_5xx_half_of_them_with_effect(begin: Begin, size: Size, conclude: Callable[..., None]) -> None:
    case = begin("5xx in bursts, half of them with effect", latency_ms={"min": 5, "max": 50}, callback=QUIET)
    chance = random.Random(case.seed)
    count, bursts = size(42, 2_000), size(2, 30)
    for burst in range(bursts):
        status = chance.choice([500, 502, 503, 504])
        case.cluster.sandbox.script(seed=case.seed + burst, callback=QUIET, faults=burst_of(status))
        case.submit(count // bursts, upstreams=UPSTREAMS)
        time.sleep(chance.uniform(0.5, 1.5))  # how long it lasts is part of the fault, not something that is waited for
        case.cluster.sandbox.script(seed=case.seed + burst, callback=QUIET)
        case.struck()
        time.sleep(chance.uniform(0.2, 0.8))
    case.over()
    conclude(case, within=300)
    answers = case.answers()
    assert answers["outcome_unknown"] >= count / 3, answers


def burst_of(status: int) -> list[Rule]:
    """Of the orders, half take effect; nothing can be looked up."""
    return everywhere(
        {"fault": "error_before_effect", "status": status, "share": 0.5},
        {"fault": "error_after_effect", "status": status},
        {"fault": "error_before_effect", "status": status, "on": LOOK_UP},
    )


def test_broken_json(begin: Begin, size: Size, conclude: Callable[..., None]) -> None:
    broken = everywhere(
        {"fault": "unreadable_after_effect", "times_per_order": 1},
        {"fault": "unreadable_after_effect", "on": LOOK_UP, "share": 0.3},
    )
    case = begin("answers of half a JSON document", callback=QUIET, faults=broken)
    count = size(42, 2_000)
    case.submit(count, upstreams=UPSTREAMS)
    eventually(lambda: case.ordered() >= count, within=300)
    case.struck(count)
    case.over()
    conclude(case, within=300)
    answers = case.answers()
    assert answers["outcome_unknown"] >= count * 0.9, answers
    assert answers["unavailable"], answers  # a look that could not be read


def test_429_with_retry_after(begin: Begin, size: Size, conclude: Callable[..., None]) -> None:
    slower = everywhere(
        {"fault": "rate_limited", "share": 0.5, "retry_after": 2, "times_per_order": 3},
        {"fault": "rate_limited", "share": 0.3, "retry_after": 1, "retry_after_as_date": True, "times_per_order": 3},
    )
    case = begin("429 with Retry-After", faults=slower)
    count = size(42, 2_000)
    case.submit(count, upstreams=UPSTREAMS)
    case.drain(within=300)
    answers = case.answers()
    case.struck(answers["unavailable"])
    conclude(case)
    assert answers["unavailable"] >= count / 2, answers
    assert set(case.answers("(429)")) == {"unavailable"}  # it is no question
