"""A worker's children that die while the worker lives: by chance, and of one request that kills whoever takes it up."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from models.due import HELD_AFTER
from tests.chaos.cluster import Cluster
from tests.chaos.conftest import Begin, Size, Start
from tests.chaos.load import WEATHER, ends_in_time
from tests.chaos.tripwire import Tripwire, who_holds
from tests.sandbox import eventually

pytestmark = pytest.mark.timeout(3_000)

CHILDREN = 2
"""Of each worker."""


@pytest.fixture(scope="module")
def cluster(start: Start) -> Iterator[Cluster]:
    """As every other, with short leases (3.5 s): a poisonous request takes as many of them as workers may die of it."""
    with start(children=CHILDREN, TRUNKLINE_AVANSER_TIMEOUT="1", TRUNKLINE_AVANSER_SETTLING="0.5") as made:
        yield made


def children(cluster: Cluster) -> list[int]:
    return [child for worker in cluster.workers for child in worker.children()]


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def test_a_child_killed_while_its_parent_lives(begin: Begin, size: Size, conclude: Callable[..., None]) -> None:
    case = begin("worker's child killed", **WEATHER)
    chance = random.Random(case.seed)
    cluster, whole = case.cluster, len(case.cluster.workers) * CHILDREN
    parents = [worker.pid for worker in cluster.workers]
    at_once, kills = size(20, 50), size(5, 10)
    for _ in range(size(1, 50)):
        case.submit(at_once)
        for _ in range(kills):
            eventually(lambda: len(children(cluster)) == whole, within=60)
            time.sleep(chance.uniform(0, 0.5))  # the moment is the fault
            kill(chance.choice(children(cluster)))
            case.struck()
        case.over()
        ends_in_time(case)
    assert [worker.pid for worker in cluster.workers] == parents
    assert all(worker.is_alive for worker in cluster.workers)
    conclude(case)


def test_a_request_that_always_kills_its_worker(begin: Begin, size: Size, conclude: Callable[..., None]) -> None:
    """Whoever sends a word about it, order or look-up, dies at once. It ends held; all others end as ever."""
    case = begin("a request that always kills its worker")
    cluster, poisonous, others = case.cluster, size(1, 20), size(19, 180)
    deaths: list[int] = []

    def kill_who_asks(port: int) -> None:
        if (pid := who_holds(port, children(cluster))) is not None:
            kill(pid)
            deaths.append(pid)

    ids = "|".join(f"{case.prefix}-{n}" for n in range(poisonous))
    said = re.compile(rf'custom_id(?:=|": ")(?:{ids})\b'.encode())
    with Tripwire(int(cluster.sandbox.url.rpartition(":")[2]), said, kill_who_asks) as tripwire:
        cluster.set_workers(TRUNKLINE_AVANSER_URL=f"http://127.0.0.1:{tripwire.port}/avanser/v1")
        try:
            batch = case.submit(poisonous + others)
            eventually(lambda: case.counts(batch).get("completed", 0) == others, within=200)
            case.over()
            eventually(lambda: case.counts(batch).get("held", 0) == poisonous, within=HELD_AFTER * 12 * poisonous)
        finally:
            cluster.set_workers(TRUNKLINE_AVANSER_URL=cluster.sandbox.avanser_url)
    case.struck(len(deaths))
    # A worker that was given up by its own time limit before it was killed has come back: the count begins anew.
    began_anew = case.answers()["outcome_unknown"]
    assert poisonous <= len(deaths) <= HELD_AFTER * (poisonous + began_anew)
    held = cluster.api.get("/v1/requests", params={"batch": batch, "state": "held"}).json()["data"]
    assert {(row["custom_id"], row["reason"]) for row in held} == {
        (f"{case.prefix}-{n}", "workers_lost") for n in range(poisonous)
    }
    conclude(case, deaths=len(deaths))
