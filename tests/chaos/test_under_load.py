"""Workers die at random while requests keep coming in: ours, and those of a plain Celery and Flask program."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests import services
from tests.bench.peers.plain import run as peer
from tests.chaos.case import Case
from tests.chaos.cluster import Cluster
from tests.chaos.conftest import Begin, Size
from tests.chaos.judge import INVARIANTS, Verdict
from tests.chaos.member import Member
from tests.sandbox import eventually

LATENCY = {"min": 100, "max": 900}
"""Milliseconds."""

WORSE = {
    "latency_ms": {"min": 50, "max": 600},
    "callback": {"delay": 0.5, "jitter": 0.5},
    "faults": [
        {"fault": "timeout_after_effect", "share": 0.005, "seconds": 4, "times_per_order": 1},
        {"fault": "reset_after_effect", "share": 0.005, "times_per_order": 1},
        {"fault": "callback_never", "share": 0.01},
    ],
}

pytestmark = pytest.mark.timeout(3_600)


def kill_at_random(case: Case, victims: Sequence[Member], kills: int, requests: int) -> None:
    """Kill one process group after the other while it works, each brought back at once; the requests come in evenly."""
    chance = random.Random(case.seed)
    for number in range(kills):
        case.submit(requests * (number + 1) // (kills + 1) - len(case.submitted_at))
        time.sleep(chance.uniform(*peer.AT_WORK))
        victim = chance.choice(eventually(lambda: [one for one in victims if one.is_ready], within=60))
        victim.kill()
        victim.start()
        case.struck()
    case.over()
    case.submit(requests - len(case.submitted_at))


def test_worker_groups_killed_at_random(begin: Begin, size: Size, conclude: Callable[..., None]) -> None:
    # As late as the peer gets it, so that neither can wait for the callback instead of asking.
    late = {"delay": size(3, 20), "jitter": size(1, 10)}
    case = begin("worker groups killed at random under load", latency_ms=LATENCY, callback=late)
    kill_at_random(case, case.cluster.workers, size(3, 200), size(100, 10_000))
    conclude(case, within=180)


def test_workers_and_relay_killed_at_random_in_bad_weather(
    begin: Begin, size: Size, conclude: Callable[..., None]
) -> None:
    case = begin("workers and relay killed at random, upstream in bad weather", **WORSE)
    kill_at_random(case, [*case.cluster.workers, *case.cluster.relays], size(3, 60), size(60, 2_000))
    conclude(case, within=180)


# The time limits set the two apart: both at once would leave nothing of the machine to others.
@pytest.mark.parametrize("unfinished", ["again", pytest.param("leave", marks=pytest.mark.timeout(3_000))])
def test_the_plain_peer_under_the_same_kills(
    size: Size,
    cluster: Cluster,
    tabulate: Callable[[Verdict], None],
    postgres_server: services.Postgres,
    redis_url: str,
    tmp_path: Path,
    unfinished: str,
) -> None:
    """What it loses and buys twice stands in the table. Nothing is asked of it but that it works without kills."""
    for member in cluster.members:
        member.kill()
    database = f"plain_{unfinished}"
    postgres_server.execute(f"CREATE DATABASE {database}")
    url = postgres_server.database_url(database)
    requests, kills = size(30, 10_000), size(0, 200)
    cluster.sandbox.reset(seed=1, **(peer.WEATHER if kills else {}))
    with peer.Peer(tmp_path, cluster.sandbox, url, redis_url, unfinished) as running:
        books = peer.hurt(running, requests, kills, random.Random(1))
    postgres_server.execute(f"DROP DATABASE {database} WITH (FORCE)")
    does = "orders again" if unfinished == "again" else "leaves"
    violations = dict.fromkeys(INVARIANTS, 0) | {"I1": books.lost, "I2": books.bought_twice}
    name = f"*plain Celery, which {does} what a dead worker left*: the same kills"
    tabulate(Verdict(name, 1, books.requests, books.kills, 0, violations))
    assert kills or (books.lost, books.bought_twice) == (0, 0)
