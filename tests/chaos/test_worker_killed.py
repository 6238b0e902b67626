"""SIGKILL to workers at each step of a request's life. What step they are at is seen from outside: by the upstream's
books, by the API, or by who waits for a lock in PostgreSQL."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from tests.chaos.case import Case
from tests.chaos.cluster import Cluster
from tests.chaos.conftest import Begin, Size
from tests.sandbox import eventually

AT_ONCE = 50
"""Requests that are at the step when the workers die."""

pytestmark = pytest.mark.timeout(1_500)


def kill_workers(cluster: Cluster) -> None:
    for worker in cluster.workers:
        worker.kill()


def waiting_for_lock(cluster: Cluster, statement: str) -> int:
    """How many connections wait for a lock with such a statement."""
    with cluster.database() as connection:
        found = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ILIKE %s", (statement,)
        ).fetchone()
    assert found is not None
    return int(found[0])


def rounds(case: Case, total: int, one: Callable[[int], int]) -> None:
    """`total` requests that were hit, in rounds of at most `AT_ONCE`; after each the workers come back.

    `one` submits so many and says how many of them it hit at the step that the test is about.
    """
    left = total
    while left > 0:
        hit = one(min(left, AT_ONCE))
        assert hit, "it was not hit where it should have been"
        case.struck(hit)
        case.over()
        case.cluster.heal()
        left -= hit


def freeze_then_submit(case: Case, count: int) -> str:
    """Nobody takes it up until the workers are thawed."""
    for worker in case.cluster.workers:
        worker.freeze()
    return case.submit(count)


def thaw(case: Case) -> None:
    for worker in case.cluster.workers:
        worker.thaw()


def test_before_the_claim_commits(begin: Begin, size: Size, conclude: Callable[..., None]) -> None:
    case = begin("worker killed before its claim commits")

    def one(count: int) -> int:
        batch = freeze_then_submit(case, count)
        with case.cluster.no_commits():
            thaw(case)
            eventually(lambda: waiting_for_lock(case.cluster, "UPDATE requests%"), within=60)
            kill_workers(case.cluster)
        assert case.counts(batch) == {"queued": count}
        return count

    rounds(case, size(20, 500), one)
    conclude(case)


def test_after_the_claim_and_before_anything_is_sent(begin: Begin, size: Size, conclude: Callable[..., None]) -> None:
    search = {"fault": "timeout_before_effect", "on": ["search"], "seconds": 2.5}
    case = begin("worker killed after its claim, before bytes are sent", faults=[search])
    kill_workers(case.cluster)  # new ones know nothing of the stock and must look
    case.cluster.heal()

    def one(count: int) -> int:
        before = case.ordered()
        batch = case.submit(count)
        # They wait for the look at the stock that comes before an order. On a slow machine not all at the same time.
        case.until(batch, "submitting", math.ceil(count / 2))
        kill_workers(case.cluster)
        return case.counts(batch).get("submitting", 0) - (case.ordered() - before)

    rounds(case, size(20, 500), one)
    conclude(case)


def test_after_bytes_are_sent(begin: Begin, size: Size, conclude: Callable[..., None]) -> None:
    # The order takes effect after the worker's death, and after somebody may have looked for it.
    case = begin("worker killed after bytes are sent", latency_ms={"min": 1_000, "max": 1_000})

    def one(count: int) -> int:
        before = case.ordered()
        batch = case.submit(count)
        case.until(batch, "submitting", count)
        eventually(lambda: in_flight(case) >= count, within=60)
        kill_workers(case.cluster)
        eventually(lambda: case.ordered() >= before + count, within=60)
        return count

    rounds(case, size(20, 500), one)
    conclude(case)


def in_flight(case: Case) -> int:
    return int(case.cluster.sandbox.summary()["traffic"]["in_flight"])


def test_after_the_upstream_accepted(begin: Begin, size: Size, conclude: Callable[..., None]) -> None:
    silence = {"fault": "timeout_after_effect", "seconds": 2.5}
    case = begin("worker killed after the upstream accepted", faults=[silence])

    def one(count: int) -> int:
        before = case.ordered()
        batch = case.submit(count)
        eventually(lambda: case.ordered() == before + count, within=60)
        kill_workers(case.cluster)
        assert "accepted" not in case.counts(batch)
        return count

    rounds(case, size(20, 500), one)
    conclude(case)


def test_after_the_answer_and_before_our_commit(begin: Begin, size: Size, conclude: Callable[..., None]) -> None:
    late = {"fault": "timeout_after_effect", "seconds": 1.5}
    case = begin("worker killed after the answer, before our commit", callback={"delay": 8}, faults=[late])

    def one(count: int) -> int:
        before = case.ordered()
        batch = case.submit(count)
        eventually(lambda: case.ordered() == before + count, within=60)
        with case.cluster.no_commits():
            eventually(lambda: waiting_for_lock(case.cluster, "UPDATE requests%"), within=60)
            kill_workers(case.cluster)
        assert "accepted" not in case.counts(batch)
        return count

    rounds(case, size(20, 500), one)
    conclude(case)


def test_after_our_commit(begin: Begin, size: Size, conclude: Callable[..., None]) -> None:
    case = begin("worker killed after our commit", callback={"delay": 3})

    def one(count: int) -> int:
        batch = case.submit(count)
        case.until(batch, "accepted", math.ceil(count / 2))
        kill_workers(case.cluster)
        return case.counts(batch).get("accepted", 0)

    rounds(case, size(20, 500), one)
    conclude(case)


def test_in_delivery(begin: Begin, size: Size, conclude: Callable[..., None]) -> None:
    case = begin("worker killed in delivery")
    requester = case.cluster.requester

    def one(count: int) -> int:
        before = requester.counts()["received"]
        case.cluster.hang_requester(seconds=3)
        batch = case.submit(count)
        case.until(batch, "completed", count)
        eventually(lambda: requester.counts()["received"] >= before + min(count, 20), within=60)
        kill_workers(case.cluster)
        case.cluster.hang_requester(seconds=0)
        return count

    rounds(case, size(20, 500), one)
    conclude(case)
