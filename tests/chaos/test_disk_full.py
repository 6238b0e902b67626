"""The disk of the database is full: clients and upstreams are told so, and once there is room again all of it ends."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests import services
from tests.chaos.case import Case
from tests.chaos.cluster import Cluster, embedded, running
from tests.chaos.conftest import Begin, Size
from tests.chaos.disk import Disk, small_disk
from tests.chaos.load import AT_ONCE, ends_in_time
from tests.chaos.posting import Posting, completion, post
from tests.conftest import or_skip
from tests.sandbox import SandboxServer, eventually

pytestmark = pytest.mark.timeout(3_000)

MEGABYTES = 256
"""PostgreSQL needs 60 for itself; its log of changes grows while the tests run."""

REFUSED = {500, 502, 503}
"""Answers after which a sender sends again."""

WEATHER = {"latency_ms": {"min": 100, "max": 600}, "callback": {"delay": 1.5, "jitter": 0.5, "backoff_cap": 4}}


@dataclass(frozen=True)
class OnDisk:
    cluster: Cluster
    disk: Disk
    come_back: Callable[[], None]
    """What an operator does once there is room: starts what has given up."""


@pytest.fixture(scope="module")
def on_postgres(
    tmp_path_factory: pytest.TempPathFactory, chaos_sandbox: SandboxServer, redis_server: services.Server
) -> Iterator[OnDisk]:
    """A PostgreSQL with all of its data, its log included, on a small disk."""
    folder = tmp_path_factory.mktemp("full")
    with (
        or_skip(),
        small_disk(MEGABYTES) as disk,
        services.postgres(disk.folder) as server,
        running(folder / "cluster", chaos_sandbox, server.url, redis_server.url) as cluster,
    ):
        yield OnDisk(cluster, disk, lambda: None if server.answers() else server.restart())


@pytest.fixture(scope="module")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory, chaos_sandbox: SandboxServer) -> Iterator[OnDisk]:
    """`trunkline up` with its home on a small disk: database, broker and logs."""
    folder = tmp_path_factory.mktemp("full")
    with (
        or_skip(),
        small_disk(MEGABYTES) as disk,
        embedded(disk.folder / "home", chaos_sandbox, folder) as cluster,
    ):
        yield OnDisk(cluster, disk, lambda: None)


@pytest.mark.parametrize("database", ["on_postgres", "on_sqlite"])
def test_the_disk_of_the_database_is_full(
    database: str, request: pytest.FixtureRequest, begin: Begin, size: Size, conclude: Callable[..., None]
) -> None:
    on: OnDisk = request.getfixturevalue(database)
    case = begin(f"disk full: {database.removeprefix('on_')}", on.cluster, **WEATHER)
    for _ in range(size(1, 20)):
        case.submit(size(20, AT_ONCE))
        eventually(case.ordered, within=60)
        on.disk.fill()
        try:
            unheard = until_refused(case)
            untold = until_a_callback_is_refused(case)
            assert case.ended() < len(case.submitted_at)
        finally:
            on.disk.free()
        on.come_back()
        case.struck()
        case.over()
        case.cluster.heal()
        assert case.ask(unheard, key=unheard["custom_id"]).status_code in (200, 202)
        assert [said.status for said in post([untold])] == [200]
        ends_in_time(case)
    conclude(case)


def until_refused(case: Case) -> dict[str, Any]:
    """Ask for one number after the other until there is no room for one more; the order that was refused."""
    give_up_at = time.monotonic() + 60
    while time.monotonic() < give_up_at:
        order = case.order()
        answer = case.ask(order, key=order["custom_id"])
        if answer.status_code in REFUSED:
            return order
        assert answer.status_code == 202, answer.text
    raise AssertionError("there was room for all of them")


def until_a_callback_is_refused(case: Case) -> Posting:
    """In an upstream's place, tell of one order again and again until it cannot be kept; what was refused."""
    entry = case.cluster.sandbox.ledger()[0]
    give_up_at = time.monotonic() + 60
    for number in itertools.count():
        posting = completion(entry, message=f"Request completed successfully ({number})")
        (said,) = post([posting])
        if said.status in REFUSED:
            return posting
        assert said.status == 200, said
        assert time.monotonic() < give_up_at, "there was room for all of them"
    raise AssertionError("unreachable")
