"""SIGKILL to the receiver while it takes callbacks: before what came is durable, and after, before it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.chaos.case import Case
from tests.chaos.cluster import Cluster
from tests.chaos.conftest import Begin, Size
from tests.chaos.proxy import Direction, Proxy
from tests.chaos.test_worker_killed import rounds, waiting_for_lock
from tests.sandbox import eventually

pytestmark = pytest.mark.timeout(1_500)

QUICKLY = {"delay": 0.3, "jitter": 0.1, "backoff": 0.3, "backoff_cap": 1, "attempts": 60}
"""Callbacks come soon, and again until they are taken."""


def kill_receivers(cluster: Cluster) -> None:
    for receiver in cluster.receivers:
        receiver.kill()


def acknowledged(case: Case) -> int:
    """How many callbacks have got their 2xx."""
    return int(case.cluster.sandbox.summary()["callbacks"]["acknowledged"])


def all_acknowledged(case: Case) -> int:
    """Wait until the upstream repeats nothing any more; returns how many callbacks it has sent."""
    eventually(lambda: acknowledged(case) == len(case.submitted_at), within=60)
    return len(case.submitted_at)


def kept(case: Case, batch: str) -> int:
    """How many requests of a batch have something in the inbox, for all to see."""
    with case.cluster.database() as connection:
        found = connection.execute(
            "SELECT count(DISTINCT request_id) FROM inbox JOIN requests ON requests.id = inbox.request_id"
            " WHERE batch_id = %s::uuid",
            (batch,),
        ).fetchone()
    assert found is not None
    return int(found[0])


def test_between_receipt_and_commit(begin: Begin, size: Size, conclude: Callable[..., None]) -> None:
    case = begin("receiver killed between receipt and commit", callback=QUICKLY)

    def one(count: int) -> int:
        before = all_acknowledged(case)
        with case.cluster.no_commits("inbox"):
            case.submit(count)
            # One INSERT in each process, for those who came first; all others wait until it has committed.
            eventually(lambda: waiting_for_lock(case.cluster, "INSERT INTO inbox%") >= 1, within=60)
            eventually(lambda: case.cluster.sandbox.summary()["completed"] == len(case.submitted_at), within=60)
            kill_receivers(case.cluster)
        # An INSERT that PostgreSQL has begun goes on without its receiver: kept and not acknowledged may be.
        assert acknowledged(case) == before, "what was not durable got its 2xx"
        return count

    rounds(case, size(20, 1_000), one)
    all_acknowledged(case)
    conclude(case)


@pytest.fixture
def held_back(cluster: Cluster) -> Iterator[Proxy]:
    """What stands between the upstream and the receiver, and holds answers back."""
    with Proxy(int(cluster.url.rpartition(":")[2])) as proxy:
        cluster.set_workers(TRUNKLINE_PUBLIC_URL=f"http://127.0.0.1:{proxy.port}")
        yield proxy
    cluster.set_workers(TRUNKLINE_PUBLIC_URL=cluster.url)


def test_after_commit_before_answering(
    held_back: Proxy, begin: Begin, size: Size, conclude: Callable[..., None]
) -> None:
    case = begin("receiver killed after commit, before its answer is out", callback=QUICKLY)

    def one(count: int) -> int:
        before = all_acknowledged(case)
        held_back.hold(Direction.TO_CLIENT)
        batch = case.submit(count)
        eventually(lambda: kept(case, batch) == count, within=60)
        kill_receivers(case.cluster)
        held_back.cut()
        held_back.release()
        assert acknowledged(case) == before
        return count

    rounds(case, size(20, 1_000), one)
    all_acknowledged(case)
    conclude(case)
