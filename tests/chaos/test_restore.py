"""The database's disk is lost and a backup is restored: the books are brought level, and nothing is ordered again."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest

from tests import services
from tests.chaos import mixed
from tests.chaos.case import Case
from tests.chaos.cluster import LEASE, Cluster, running
from tests.chaos.conftest import Begin, Size
from tests.chaos.levelling import SLOWLY, TO_ADOPT, adopt, findings, run
from tests.chaos.load import WEATHER
from tests.conftest import or_skip
from tests.sandbox import SandboxServer, eventually

pytestmark = pytest.mark.timeout(1_800)


@pytest.fixture(scope="module")
def server() -> Iterator[services.Postgres]:
    with or_skip(), services.postgres(archives=True) as running_:
        yield running_


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory,
    chaos_sandbox: SandboxServer,
    server: services.Postgres,
    redis_server: services.Server,
) -> Iterator[Cluster]:
    server.execute("CREATE DATABASE restored")
    url = server.database_url("restored")
    folder = tmp_path_factory.mktemp("restored")
    settings: dict[str, Any] = SLOWLY | {"TRUNKLINE_RELEASE_DELAY": "0"}
    with running(folder, chaos_sandbox, url, redis_server.url, **settings) as made:
        yield made


def test_what_was_ordered_since_is_found_and_not_ordered_again(
    server: services.Postgres, begin: Begin, size: Size, conclude: Callable[..., None]
) -> None:
    case = begin("PostgreSQL: disk lost, restored to a moment before", **WEATHER)
    cluster, count = case.cluster, size(36, 2_000)
    old = case.submit(count // 2, upstreams=mixed.UPSTREAMS)
    case.until(old, "completed", count // 2)
    server.back_up()
    under_way = case.submit(count, upstreams=mixed.UPSTREAMS)
    case.until(under_way, "completed", count // 4)
    moment = now(cluster)
    assert case.counts(under_way).get("queued", 0), "all had been ordered by then"
    # All of what follows is lost: what those came to, whole files, and what becomes of numbers.
    lost = file_of(case, count // 2)
    case.until(send(case, lost), "completed", count // 2)
    case.until(under_way, "completed", count)
    given_up = give_up(case, old)
    bought = case.ordered()
    server.archive()

    server.restore(moment)
    case.struck()
    eventually(lambda: "database_restored" in run(cluster, "upstream", "status").stdout, within=60)
    time.sleep(LEASE)
    assert case.ordered() == bought, "ordered by books that were not level"
    found = findings(cluster)
    assert {one["kind"] for one in found} >= TO_ADOPT | {"ghost"}
    # What was out at that moment the workers look up by themselves, though no new order goes out.
    eventually(lambda: adopt(cluster), within=120)
    ghosts = {one["number"] for one in findings(cluster) if one["kind"] == "ghost"}
    assert ghosts == {given_up}
    assert run(cluster, "reconcile", "--forget", *ghosts).returncode == 0
    assert run(cluster, "reconcile").returncode == 0, "the books are level"
    assert run(cluster, "upstream", "resume", "--all").returncode == 0
    case.over()
    again = send(case, lost)
    assert not sum(case.counts(again).values()), "each row is known again, though its own was lost"
    # Of what had arrived since, the results are told anew, each under another webhook-id than before.
    conclude(case, measured=["I4"], findings=len(found))
    assert case.ordered() == bought
    assert held(cluster) == {number for number in at_the_telcos(cluster) if number != given_up}


def now(cluster: Cluster) -> datetime:
    with cluster.database() as connection:
        (moment,) = connection.execute("SELECT clock_timestamp()").fetchone() or (None,)
    assert isinstance(moment, datetime)
    return moment


def file_of(case: Case, count: int) -> str:
    """Orders for so many further customers, of the vendor that shows whose they were."""
    first = len(case.submitted_at)
    rows = [mixed.provision("avanser", f"{case.prefix}-{n}", n) for n in range(first, first + count)]
    case.submitted_at |= {row["custom_id"]: time.time() for row in rows}
    return mixed.as_csv(rows)


def send(case: Case, file: str) -> str:
    answer = case.cluster.api.post("/v1/batches", content=file, headers={"Content-Type": "text/csv"})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def give_up(case: Case, batch: str) -> str:
    """A number of this batch, which the vendor then has no more."""
    results = case.cluster.api.get(f"/v1/batches/{batch}/results.ndjson").text.splitlines()
    number = next(row["number"] for row in map(json.loads, results) if row["upstream"] == "avanser")
    release = case.cluster.api.delete(f"/v1/numbers/{number}", params={"now": "true"}).raise_for_status().json()
    path = f"/v1/requests/{release['id']}"
    eventually(lambda: case.cluster.api.get(path).json()["state"] == "completed", within=60)
    return str(number)


def held(cluster: Cluster) -> set[str]:
    """All that we hold, in E.164."""
    with cluster.database() as connection:
        return {number for (number,) in connection.execute("SELECT number FROM numbers WHERE released_at IS NULL")}


def at_the_telcos(cluster: Cluster) -> set[str]:
    """All that was ever bought there, in E.164."""
    bought = [one for one in cluster.sandbox.ledger(kind="provision") if one["status"] != "failed"]
    digits = [re.sub(r"\D", "", one["number"]) for one in bought]
    return {f"+1{number}" if len(number) == 10 else f"+{number}" for number in digits}
