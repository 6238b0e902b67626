"""Many hands on the same rows, and a hand that falls asleep in the worst moment and wakes up when others took over.

Between its claim and its socket write a worker is frozen for longer than its lease and the settling time, while another
orders in its place. What keeps it from ordering as well when it is thawed: it sends nothing once its lease is nearly
out. The moments that can be steered from outside must cost nothing; what is left is measured at random moments.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import pytest

from tests.chaos.case import Case
from tests.chaos.cluster import Cluster
from tests.chaos.conftest import Begin, Size, Start
from tests.chaos.test_worker_killed import waiting_for_lock
from tests.sandbox import eventually
from worker import redis_client

pytestmark = pytest.mark.timeout(3_000)

ASLEEP_AT_ONCE = 10
"""Requests in the hands of a worker when it is frozen."""

SETTLING, LEASE = 1.0, 6.0
"""Seconds. The lease is 3 of time-out, 1 of settling, 2 to write the answer down."""

PAUSE = 900
"""Milliseconds that the broker keeps silent: less than the second after which a worker goes on without it."""

SLOW_SEARCH = {"fault": "timeout_then_effect", "on": ["search"], "seconds": 2.5}
"""Long enough to be found in it; less than the time-out."""

PINNED = {"avanser": False, "messagemedia": True}
"""Whether what is ordered is a number that was written down before."""


@pytest.fixture(scope="module")
def cluster(start: Start) -> Iterator[Cluster]:
    """As every other, with four workers and two relays, and a short settling time."""
    settling = {f"TRUNKLINE_{upstream.upper()}_SETTLING": f"{SETTLING:g}" for upstream in PINNED}
    with start(workers=4, relays=2, **settling) as made:
        yield made


def test_two_relays_and_four_workers_on_the_same_rows(begin: Begin, size: Size, conclude: Callable[..., None]) -> None:
    lost = [
        {"fault": fault, "share": 0.05, "seconds": 4, "times_per_order": 1}
        for fault in ("timeout_after_effect", "reset_after_effect", "reset_before_effect")
    ]
    often = {"delay": 0.3, "jitter": 0.3}
    case = begin("two relays, four workers", callback=often, faults=[*lost, {"fault": "callback_twice", "share": 0.5}])
    for worker in case.cluster.workers:
        worker.says("ready.", within=60)
    count = size(200, 2_000)
    case.submit(count)
    case.struck(len(case.cluster.workers) + len(case.cluster.relays))
    conclude(case, within=300)
    assert all(member.is_alive for member in case.cluster.members)


@dataclass
class Pair:
    """One worker that is put to sleep, and one that takes over from it; the others are away."""

    case: Case
    upstream: str

    def __post_init__(self) -> None:
        self.sleeper, self.heir, *others = self.case.cluster.workers
        for worker in others:
            worker.kill()
        self._limits_url = limits_url(self.case.cluster.environment)

    def wake_fresh(self) -> None:
        """The sleeper is alone, and new: it knows nothing of any stock."""
        self.heir.kill()
        self.sleeper.kill()
        self.sleeper.start()

    def asleep_after_its_claim(self, count: int) -> str:
        """It has claimed this batch, and waits for Redis before it asks; the answer is there when it wakes up."""
        batch = self.case.submit(count, upstreams=(self.upstream,))
        with self.case.cluster.no_commits():
            eventually(lambda: waiting_for_lock(self.case.cluster, "UPDATE requests%"), within=60)
            with redis_client.connect(self._limits_url) as limits:
                limits.client_pause(PAUSE)
        self.case.until(batch, "submitting", count, within=PAUSE / 1_000)
        self.sleeper.freeze()
        return batch

    def asleep_in_its_search(self, count: int) -> str:
        """It waits for the look at the stock that comes before an order; the answer is there when it wakes up.

        The heir does not wait so long: its leases have an end, too.
        """
        self.case.cluster.sandbox.script(seed=self.case.seed, faults=[SLOW_SEARCH | {"upstream": self.upstream}])
        before = self._searches()
        batch = self.case.submit(count, upstreams=(self.upstream,))
        eventually(lambda: self._searches() > before, within=60)
        self.sleeper.freeze()
        self.case.cluster.sandbox.script(seed=self.case.seed)
        return batch

    def in_hand(self, batch: str) -> int:
        """How many of a batch the sleeper had claimed when it fell asleep: it may claim one batch in several sets."""
        return self.case.counts(batch).get("submitting", 0)

    def _searches(self) -> int:
        calls = self.case.cluster.sandbox.summary()["traffic"]["calls"]
        return int(calls.get(f"{self.upstream} GET", 0))


def limits_url(environment: Mapping[str, str]) -> str:
    """Of the Redis in which limits live, beside whatever broker."""
    url = environment.get("TRUNKLINE_REDIS_URL", environment["TRUNKLINE_BROKER_URL"])
    if not url.startswith(redis_client.SENTINEL):
        return url
    names = ("TRUNKLINE_SENTINEL_MASTER", "TRUNKLINE_SENTINEL_PASSWORD")
    return redis_client.at_sentinels(url, *(environment[name] for name in names))


def twice(case: Case) -> int:
    """How many orders there are too many, once all have been made."""
    return case.ordered() - len(case.submitted_at)


def settled(case: Case, count: int) -> bool:
    """Whether the heir has brought all of them to an end."""
    return case.ended() >= count


def tried(case: Case) -> int:
    """How many tries to order workers have written down, whatever came of them."""
    with case.cluster.database() as connection:
        found = connection.execute(
            "SELECT count(*) FROM events JOIN requests ON requests.id = events.request_id"
            " WHERE type = 'attempt' AND data->>'call' = 'submit' AND batch_id = ANY(%s::uuid[])",
            (case.batches,),
        ).fetchone()
    assert found is not None
    return int(found[0])


@pytest.mark.parametrize("upstream", list(PINNED))
def test_a_worker_frozen_before_it_sends_sends_nothing_when_it_is_thawed(
    upstream: str, begin: Begin, size: Size, conclude: Callable[..., None]
) -> None:
    is_pinned = PINNED[upstream]
    case = begin(f"worker frozen before it sends: {upstream}{', pinned' if is_pinned else ''}")
    pair = Pair(case, upstream)
    moments = (pair.asleep_after_its_claim, pair.asleep_in_its_search)
    total = size(ASLEEP_AT_ONCE, 200)
    for number in range(total // ASLEEP_AT_ONCE):
        pair.wake_fresh()
        before, ordered = len(case.submitted_at), case.ordered()
        batch = moments[(number + is_pinned) % 2](ASLEEP_AT_ONCE)
        held = pair.in_hand(batch)
        assert held, "it was frozen too early"
        assert case.ordered() == ordered, "it was frozen too late"
        pair.heir.start()
        eventually(lambda before=before: settled(case, before + ASLEEP_AT_ONCE), within=60)  # type: ignore[misc]
        by_heir = tried(case)
        pair.sleeper.thaw()
        eventually(lambda both=by_heir + held: tried(case) >= both, within=60)  # type: ignore[misc]
        case.struck()
        case.over()
    conclude(case, ordered_twice=twice(case), pinned=is_pinned)


@pytest.mark.parametrize("upstream", list(PINNED))
def test_a_worker_frozen_at_any_moment_is_a_stated_limit(
    upstream: str, begin: Begin, size: Size, conclude: Callable[..., None]
) -> None:
    """The window between the last look at the clock and the socket write is some microseconds wide. A freeze that hits
    it can cost a second number; how often it does is measured, and everything else must hold."""
    is_pinned, at_once = PINNED[upstream], 4
    case = begin(
        f"worker frozen at any moment: {upstream}{', pinned' if is_pinned else ''} (I2 measured)",
        latency_ms={"min": 0, "max": 100},
    )
    pair, chance = Pair(case, upstream), random.Random(case.seed)
    pair.wake_fresh()
    total = size(at_once, 200)
    for _ in range(total // at_once):
        pair.heir.kill()
        case.submit(at_once, upstreams=(upstream,))
        time.sleep(chance.uniform(0, 0.3))  # the moment is the fault
        pair.sleeper.freeze()
        case.struck()
        pair.heir.start()
        # What it has locked in the middle of a transaction waits for it to wake up.
        case.drain(within=LEASE + SETTLING + 5)
        pair.sleeper.thaw()
        case.over()
        case.drain()
    for worker in (pair.sleeper, pair.heir):
        worker.stop()  # not before all that it has under way has ended
    pair.heir.start()
    conclude(case, measured=("I2",), ordered_twice=twice(case), pinned=is_pinned)


def test_nobody_waits_long_for_what_a_frozen_worker_has_locked(
    begin: Begin, size: Size, conclude: Callable[..., None]
) -> None:
    """It is in the middle of the relay's transaction: as long as it holds that row, no other finds what is due."""
    case = begin("worker frozen in the middle of a transaction")
    pair = Pair(case, "avanser")
    pair.wake_fresh()
    with case.cluster.no_commits("heartbeats"):
        eventually(lambda: waiting_for_lock(case.cluster, "INSERT INTO heartbeats%"), within=60)
        pair.sleeper.freeze()
    case.struck()
    case.over()
    pair.heir.start()
    count = size(10, 50)
    case.submit(count)
    case.drain(within=60)
    ended = case.ended()
    pair.sleeper.thaw()
    assert ended == count
    conclude(case)
