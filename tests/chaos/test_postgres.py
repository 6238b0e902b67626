"""PostgreSQL restarts, stands still, or commits unheard: what was written counts, what was not is done again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests import services
from tests.chaos.case import Case
from tests.chaos.cluster import Cluster, running
from tests.chaos.conftest import Begin, Size
from tests.chaos.load import AT_ONCE, WEATHER, ends_in_time, under_load, while_they_come_in
from tests.chaos.proxy import Proxy
from tests.sandbox import SandboxServer, eventually

pytestmark = pytest.mark.timeout(3_000)

BETWEEN_RESTARTS = (5.0, 20.0)
"""Seconds."""

ALL = 1_000_000
"""Cuts: until it is called off."""


NO_CALLBACK = {"fault": "callback_never"}
"""So that whatever the receiver commits is of an intake."""


@dataclass(frozen=True)
class Between:
    """What stands between our processes and PostgreSQL."""

    receiver: Proxy
    workers: Proxy


@pytest.fixture(scope="module")
def between(request: pytest.FixtureRequest, postgres_server: services.Postgres) -> Iterator[Between]:
    seed = request.config.getoption("--chaos-seed")
    with Proxy(postgres_server.port, seed=seed) as receiver, Proxy(postgres_server.port, seed=seed) as workers:
        yield Between(receiver, workers)


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory,
    chaos_sandbox: SandboxServer,
    postgres_server: services.Postgres,
    redis_server: services.Server,
    between: Between,
    _postgres_template: str,
) -> Iterator[Cluster]:
    """As everywhere, but the receiver and the workers each reach the database by a proxy of their own."""
    postgres_server.execute(f"CREATE DATABASE chaos_postgres TEMPLATE {_postgres_template}")
    url = postgres_server.database_url("chaos_postgres")
    folder = tmp_path_factory.mktemp("postgres")
    for_workers = between.workers.url(url)
    with running(folder, chaos_sandbox, url, redis_server.url, TRUNKLINE_DATABASE_URL=for_workers) as made:
        (receiver,) = made.receivers
        receiver.kill()
        receiver.environment = made.environment | {"TRUNKLINE_DATABASE_URL": between.receiver.url(url)}
        yield made
    postgres_server.execute("DROP DATABASE chaos_postgres WITH (FORCE)")


def test_immediate_restarts_under_load(
    postgres_server: services.Postgres, begin: Begin, size: Size, conclude: Callable[..., None]
) -> None:
    case = begin("PostgreSQL: immediate restart every 5 to 20 s under load", **WEATHER)
    chance = random.Random(case.seed)
    pauses = [chance.uniform(*BETWEEN_RESTARTS) for _ in range(size(1, 20))]

    def restart() -> None:
        assert case.ended() < len(case.submitted_at)
        postgres_server.restart()
        case.struck()

    while_they_come_in(case, size(60, 5_000), pauses, restart)
    case.over()
    ends_in_time(case)
    conclude(case)


@pytest.mark.timeout(6_000)  # 50 times a minute and what it takes to drain
def test_the_database_stands_still(
    postgres_server: services.Postgres, begin: Begin, size: Size, conclude: Callable[..., None]
) -> None:
    case = begin("PostgreSQL: SIGSTOP", **WEATHER)

    def freeze() -> None:
        postgres_server.freeze()
        try:
            time.sleep(size(4, 60))  # the length of the fault
            assert case.ended() < len(case.submitted_at)
        finally:
            postgres_server.thaw()

    under_load(case, size(1, 50), size(20, AT_ONCE), freeze)
    conclude(case)


def test_a_claim_commits_and_the_worker_does_not_hear_of_it(
    between: Between, begin: Begin, size: Size, conclude: Callable[..., None]
) -> None:
    case = begin("PostgreSQL: cut after the COMMIT of a claim")

    def one(count: int) -> None:
        for worker in case.cluster.workers:
            worker.freeze()
        batch, before = case.submit(count), case.ordered()
        with cutting(case, between.workers):
            for worker in case.cluster.workers:
                worker.thaw()
            case.until(batch, "submitting", count)
        assert case.ordered() == before

    rounds(case, size(20, 500), one)
    conclude(case)


def test_an_answer_is_recorded_and_the_worker_does_not_hear_of_it(
    between: Between, begin: Begin, size: Size, conclude: Callable[..., None]
) -> None:
    late = {"fault": "timeout_after_effect", "seconds": 1.5}
    case = begin("PostgreSQL: cut after the COMMIT of answers", callback={"delay": 6}, faults=[late])

    def one(count: int) -> None:
        before = case.ordered()
        batch = case.submit(count)
        eventually(lambda: case.ordered() == before + count, within=60)
        with cutting(case, between.workers):
            case.until(batch, "accepted", 1)

    rounds(case, size(20, 500), one)
    conclude(case)


def all_called_back(case: Case) -> bool:
    """Whether all that was submitted has been ordered and called back for, whatever the answer was."""
    entries = case.cluster.sandbox.ledger()
    return len(entries) == len(case.submitted_at) and all(entry["callbacks_sent"] for entry in entries)


def test_a_callback_is_kept_and_the_receiver_does_not_hear_of_it(
    between: Between, begin: Begin, size: Size, conclude: Callable[..., None]
) -> None:
    case = begin("PostgreSQL: cut after the COMMIT of callbacks", callback={"delay": 1.5})

    def one(count: int) -> None:
        case.submit(count)
        before = between.receiver.cuts
        with cutting(case, between.receiver):
            # Those that came together were committed together. None was heard of; it asks again, and finds them there.
            eventually(lambda: all_called_back(case), within=60)
        assert between.receiver.cuts > before

    rounds(case, size(20, 500), one)
    conclude(case)
    eventually(lambda: all(entry["callbacks_acknowledged"] for entry in case.cluster.sandbox.ledger()), within=60)


def test_a_delivery_is_written_down_and_the_worker_does_not_hear_of_it(
    between: Between, begin: Begin, size: Size, conclude: Callable[..., None]
) -> None:
    case = begin("PostgreSQL: cut after the COMMIT of deliveries")
    requester = case.cluster.requester

    def one(count: int) -> None:
        before = requester.counts()["received"]
        case.cluster.hang_requester(seconds=2)
        batch = case.submit(count)
        case.until(batch, "completed", count)
        eventually(lambda: requester.counts()["received"] >= before + 1, within=60)
        cuts = between.workers.cuts
        with cutting(case, between.workers):
            eventually(lambda: between.workers.cuts > cuts, within=60)
        case.cluster.hang_requester(seconds=0)

    rounds(case, size(20, 500), one)
    conclude(case)


def test_an_intake_that_commits_unheard_is_answered_all_the_same(
    between: Between, begin: Begin, size: Size, conclude: Callable[..., None]
) -> None:
    case = begin("PostgreSQL: cut after the COMMIT of an intake", faults=[NO_CALLBACK])
    for number in range(size(10, 500)):
        order, cuts = case.order(), between.receiver.cuts
        between.receiver.cut_after_commit(1)
        answer = case.ask(order, key=order["custom_id"] if number % 2 else None)
        assert (answer.status_code, between.receiver.cuts) == (202, cuts + 1), answer.text
        case.struck()
    case.over()
    conclude(case)


def test_a_client_that_hears_nothing_asks_again_or_looks_first(
    between: Between, begin: Begin, size: Size, conclude: Callable[..., None]
) -> None:
    """With its Idempotency-Key it asks again. Without one it knows nothing, and that is its limit: to ask again may buy
    a second number. What we owe it is not to say otherwise, and to find by its custom_id what became of the first."""
    case = begin("PostgreSQL: gone after the COMMIT of an intake", faults=[NO_CALLBACK])
    # At about every second try the receiver has no open connection to lose: then it commits nothing at all.
    for number in range(size(40, 400)):
        if case.faults == size(2, 100):
            break
        order, key = case.order(), f"{case.prefix}-{number}" if number % 2 else None
        cuts = between.receiver.cuts
        between.receiver.refuse()
        between.receiver.cut_after_commit(1)
        unheard = case.ask(order, key=key)
        between.receiver.accept()
        between.receiver.cut_after_commit(0)
        case.struck(between.receiver.cuts - cuts)
        assert (unheard.status_code, unheard.json()["code"]) == (503, "unavailable"), unheard.text
        assert "Nothing was changed" not in unheard.json()["detail"]
        is_there = case.cluster.api.get("/v1/requests", params={"q": order["custom_id"]}).json()["data"]
        if key is not None or not is_there:
            again = case.ask(order, key=key)
            assert again.status_code == (200 if is_there else 202), again.text
    assert case.faults == size(2, 100), "it seldom went away between the COMMIT and the answer"
    case.over()
    conclude(case)


def test_any_commit_may_go_unheard(between: Between, begin: Begin, size: Size, conclude: Callable[..., None]) -> None:
    case = begin("PostgreSQL: cut after any COMMIT", **WEATHER)
    wanted, at_once, share = size(10, 500), size(20, AT_ONCE), 0.1
    before = cuts = between.receiver.cuts + between.workers.cuts
    while cuts < before + wanted:
        for proxy in (between.receiver, between.workers):
            proxy.cut_after_commit(ALL, share)
        case.submit(at_once, again_for=60)
        case.drain(within=60)
        for proxy in (between.receiver, between.workers):
            proxy.cut_after_commit(0)
        cuts = between.receiver.cuts + between.workers.cuts
    case.struck(cuts - before)
    case.over()
    ends_in_time(case)
    conclude(case)


def rounds(case: Case, total: int, one: Callable[[int], None]) -> None:
    """`total` requests, at most `AT_ONCE` at a time; each set ends in time."""
    while left := total - len(case.submitted_at):
        one(min(left, AT_ONCE))
        case.over()
        ends_in_time(case)


class cutting:  # noqa: N801 -- reads as what it does
    """While this is open nobody behind this proxy hears of a COMMIT. The cuts count as faults, and there are some."""

    def __init__(self, case: Case, proxy: Proxy) -> None:
        self._case, self._proxy, self._before = case, proxy, proxy.cuts

    def __enter__(self) -> None:
        self._proxy.cut_after_commit(ALL)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._proxy.cut_after_commit(0)
        cuts = self._proxy.cuts - self._before
        assert cuts or kind is not None
        self._case.struck(cuts)
