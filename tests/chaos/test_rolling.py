"""Restarts that are meant: SIGTERM to one process after the other under load, and two releases at work side by side."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from threading import Thread
from time import sleep

import httpx
import pytest

from tests.chaos.case import Case
from tests.chaos.cluster import Cluster
from tests.chaos.conftest import Begin, Size
from tests.chaos.load import WEATHER
from tests.chaos.member import ROOT, Member
from tests.sandbox import eventually

pytestmark = pytest.mark.timeout(3_000)

RELEASE_BEFORE = "b21b3b6"
"""The first commit that seals secrets, whose schema and messages today's processes must live with: those before it
cannot sign with a secret that today's have made."""

GRACE = 60.0
"""Seconds that a process has to end by itself: on a busy machine its last answers take their time."""


@pytest.fixture
def two_receivers(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with a second receiver on the same port, as a load balancer would have it."""
    second = cluster.add("receiver-1", "receiver", "--port", cluster.url.rpartition(":")[2])
    cluster.receivers.append(second)
    cluster.heal()
    serves(second)
    yield cluster
    cluster.receivers.remove(second)
    second.kill()


def serves(receiver: Member) -> None:
    """Wait until it has processes that answer. (Which of two receivers answers a request nobody can tell.)"""
    eventually(lambda: any(listens(pid) for pid in (receiver.pid, *receiver.children())), within=60)
    eventually(lambda: len(receiver.children()) >= 2, within=60)


def listens(pid: int) -> bool:
    """Whether a process holds a socket on which somebody may connect, on Linux."""
    listening = {
        f"socket:[{fields[9]}]"
        for fields in (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
        if fields[3] == "0A"
    }
    try:
        return any(str(one.readlink()) in listening for one in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


class Watch(Thread):
    """Asks the API all the time, each time on a connection of its own, and counts the answers."""

    def __init__(self, case: Case) -> None:
        super().__init__(daemon=True)
        self._api, self._batch = case.cluster.api, case.batches[-1]
        self.answers: Counter[int] = Counter()  # by status; 0 where the connection broke
        self.is_over = False

    def run(self) -> None:
        while not self.is_over:
            try:
                answer = httpx.get(
                    f"{self._api.base_url}/v1/batches/{self._batch}", headers=self._api.headers, timeout=30
                )
                self.answers[answer.status_code] += 1
            except httpx.HTTPError:
                self.answers[0] += 1
            sleep(0.05)  # how often it asks


def test_rolling_restart_under_load(
    two_receivers: Cluster, begin: Begin, size: Size, conclude: Callable[..., None]
) -> None:
    """Nothing of it is to be seen: what is under way ends, so that no order is of unknown outcome."""
    case = begin("rolling restart under load", **WEATHER)
    case.submit(10)
    watch = Watch(case)
    watch.start()
    (first, second), (receiver, other) = two_receivers.workers, two_receivers.receivers
    members = [first, receiver, *two_receivers.relays, second, other]
    for member in islice(cycle(members), size(3, 50)):
        submit_again(case, 10)
        assert member.stop(within=GRACE), f"{member.name} did not end by itself"
        member.start()
        if member in two_receivers.receivers:
            serves(member)
        elif member in two_receivers.workers:
            eventually(member.children, within=60)
        case.struck()
    case.over()
    case.drain()
    watch.is_over = True
    watch.join()
    assert watch.answers[200]
    assert not [status for status in watch.answers if status >= 500], watch.answers
    assert unknown(case) == 0, "a restart has cost an answer"
    conclude(case, api=dict(watch.answers))


def submit_again(case: Case, count: int) -> None:
    """Submit; where the connection broke under it, the same file once more, which takes no row twice."""
    for _ in range(3):
        try:
            case.submit(count)
        except httpx.HTTPError:
            continue
        return
    raise AssertionError("no receiver answers")


def unknown(case: Case) -> int:
    """How many requests were ever of unknown outcome."""
    with case.cluster.database() as connection:
        found = connection.execute(
            "SELECT count(DISTINCT request_id) FROM events JOIN requests ON requests.id = events.request_id"
            " WHERE events.reason = 'outcome_unknown' AND batch_id = ANY(%s::uuid[])",
            (case.batches,),
        ).fetchone()
    assert found is not None
    return int(found[0])


@pytest.fixture(scope="module")
def release_before(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """The tree of the release before; None where its history is not at hand, as in a source archive."""
    archive = ["git", "archive", "--format=tar", RELEASE_BEFORE]
    done = subprocess.run(archive, cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        return None
    folder = tmp_path_factory.mktemp("release-before")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        tar.extractall(folder, filter="data")
    return folder


@pytest.fixture
def two_releases(cluster: Cluster, release_before: Path | None) -> Iterator[Cluster]:
    """One process of each kind runs the code of the release before, beside today's, on today's schema."""
    code = release_before or ROOT
    port = cluster.url.rpartition(":")[2]
    old = {
        "receivers": cluster.add("old-receiver", "receiver", "--port", port, code=code),
        "workers": cluster.add("old-worker", "worker", "--concurrency", "2", code=code),
        "relays": cluster.add("old-relay", "relay", code=code),
    }
    for kind, member in old.items():
        getattr(cluster, kind).append(member)
    cluster.heal()
    serves(old["receivers"])
    eventually(old["workers"].children, within=60)
    yield cluster
    for kind, member in old.items():
        getattr(cluster, kind).remove(member)
        member.kill()


def test_two_releases_side_by_side(
    two_releases: Cluster,
    release_before: Path | None,
    begin: Begin,
    size: Size,
    conclude: Callable[..., None],
) -> None:
    """Each takes up what the other has begun; both are killed and brought back."""
    before = f"release {RELEASE_BEFORE}" if release_before else "itself (no history here to take an older one from)"
    lost = [{"fault": "reset_after_effect", "share": 0.1, "times_per_order": 1}]
    case = begin(f"this release beside {before}", **WEATHER, faults=lost)
    count = size(20, 100)
    for member in islice(cycle([two_releases.workers[-1], two_releases.workers[0]]), size(2, 20)):
        ended = case.ended()
        case.submit(count)
        eventually(lambda ended=ended: case.ended() > ended, within=60)  # type: ignore[misc]
        member.kill()
        case.struck()
        member.start()
    case.over()
    conclude(case)
    assert all(member.is_alive for member in two_releases.members)
