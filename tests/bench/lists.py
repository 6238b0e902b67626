"""How long the receiver takes to answer what people and programs look at, over a million requests.

    python -m tests.bench.lists [--requests 1000000] [--questions 300] [--rounds 1]

The real receiver (granian) is asked over one connection that stays open; a figure is the time from the question to the
whole answer, with what HTTP takes on both sides, about a millisecond. No two questions of one kind are the same. The
receiver runs alone: nothing else moves meanwhile.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import psycopg
from psycopg.rows import dict_row

from models.requester import DEFAULT_REQUESTER
from models.state import State
from tests.bench.filling import fill
from tests.bench.row import Aim, Row, as_table
from tests.bench.stage import Stage, stage
from tests.bench.trunkline import Trunkline

REQUESTS, TINY = 1_000_000, 200

QUESTIONS, TINY_QUESTIONS = 300, 5
"""Of each kind in a round: the third slowest is their p99."""

WARM_UP = 20
"""Questions of each kind before those that are measured."""

QUICK = Aim("<", 50, of_ratio=False)


@dataclass
class Archive(Trunkline):
    """The receiver alone, in front of very many requests: nine of ten completed, some failed or queued, some another
    requester's."""

    rows: int = 0

    def prepare(self) -> None:
        super().prepare()
        failed = self.rows * 4 // 100
        others = queued = self.rows // 100
        fill(self.conninfo, self.rows - failed - queued - others)
        fill(self.conninfo, failed, State.FAILED)
        fill(self.conninfo, queued, State.QUEUED)
        fill(self.conninfo, others, owner="another")

    def restart(self) -> None:
        """No worker and no relay: what is queued stays so."""

    def person(self) -> httpx.Client:
        """A browser, of an admin who is signed in to the console."""
        password = self.run("users", "create", "bench", "--role", "admin")["password"]
        browser = httpx.Client(base_url=self.client().base_url, timeout=300)
        form = _TOKEN.search(browser.get("/console/sign-in").raise_for_status().text)
        assert form is not None
        said = {"csrf_token": form[1], "name": "bench", "password": password}
        assert browser.post("/console/sign-in", data=said).has_redirect_location
        return browser

    def some(self, wanted: int, dice: random.Random) -> Sequence[Known]:
        """That many completed requests from all over the table, with what belongs to them."""
        with psycopg.connect(self.conninfo, row_factory=dict_row) as connection:
            ended = connection.execute(_COUNT, {"owner": DEFAULT_REQUESTER}).fetchone()
            assert ended is not None
            names = [f"filled-{n}" for n in dice.sample(range(1, int(ended["n"]) + 1), min(wanted, int(ended["n"])))]
            found = connection.execute(_KNOWN, {"owner": DEFAULT_REQUESTER, "names": names}).fetchall()
        dice.shuffle(found)
        return found


Known = Mapping[str, Any]

_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')

_COUNT = b"""
    SELECT sum(n) AS n FROM request_counts JOIN requesters ON requesters.id = requester_id
     WHERE state = 'completed' AND requesters.name = %(owner)s
"""

_KNOWN = b"""
    SELECT requests.id, requests.custom_id, requests.number, requests.upstream_reference, requests.batch_id,
           deliveries.id AS delivery_id, numbers.id AS number_id
      FROM requests JOIN requesters ON requesters.id = requests.requester_id
                    JOIN deliveries ON deliveries.request_id = requests.id
                    JOIN numbers ON numbers.request_id = requests.id
     WHERE requests.custom_id = ANY(%(names)s) AND requesters.name = %(owner)s
"""


def _search(one: Known, dice: random.Random) -> str:
    """As people write it: a number in three forms, a name of theirs or the upstream's, and what is not there."""
    number = one["number"]
    national = "0" + number.removeprefix("+61")
    words = [number.replace("+", "%2B"), national, f"({national[:2]}) {national[2:6]} {national[6:]}"]
    return str(dice.choice([*words, one["custom_id"], one["upstream_reference"], one["id"], uuid4(), uuid4().hex]))


def _pick(dice: random.Random, *words: str) -> str:
    return dice.choice(words)


Question = Callable[[Known, random.Random], str]

KINDS: Mapping[str, Question] = {
    "requests, any page": lambda one, _: f"/v1/requests?cursor={one['id']}",
    "requests in a state": lambda one, dice: (
        f"/v1/requests?state={_pick(dice, 'completed', 'failed', 'queued', 'held')}&cursor={one['id']}"
    ),
    "requests of a batch": lambda one, dice: (
        f"/v1/requests?batch={one['batch_id']}{_pick(dice, '', '&state=completed', '&state=failed')}"
    ),
    "requests with a reason": lambda one, dice: (
        f"/v1/requests?reason={_pick(dice, 'upstream_rejected', 'out_of_stock')}&cursor={one['id']}"
    ),
    "requests at an upstream": lambda one, dice: (
        f"/v1/requests?upstream={_pick(dice, 'avanser', 'telmetrics')}&cursor={one['id']}"
    ),
    "requests of a kind": lambda one, dice: (
        f"/v1/requests?kind={_pick(dice, 'provision', 'update', 'release')}&cursor={one['id']}"
    ),
    "requests that are contradicted": lambda one, dice: (
        f"/v1/requests?contradicted={_pick(dice, 'true', 'false')}&cursor={one['id']}"
    ),
    "search": lambda one, dice: f"/v1/requests?q={_search(one, dice)}",
    "one request": lambda one, _: f"/v1/requests/{one['id']}",
    "timeline": lambda one, _: f"/v1/requests/{one['id']}/timeline",
    "explain": lambda one, _: f"/v1/requests/{one['id']}/explain",
    "numbers, any page": lambda one, dice: (
        f"/v1/numbers?released={_pick(dice, 'false', 'true', 'any')}&cursor={one['number_id']}"
    ),
    "numbers at an upstream": lambda one, dice: (
        f"/v1/numbers?upstream={_pick(dice, 'avanser', 'telmetrics')}&cursor={one['number_id']}"
    ),
    "search of numbers": lambda one, dice: f"/v1/numbers?q={_search(one, dice)}",
    "one number": lambda one, _: f"/v1/numbers/{one['number'].replace('+', '%2B')}",
    "batches, any page": lambda one, _: f"/v1/batches?cursor={one['batch_id']}",
    "counts of a batch": lambda one, _: f"/v1/batches/{one['batch_id']}",
    "deliveries, any page": lambda one, _: f"/v1/deliveries?cursor={one['delivery_id']}",
    "deliveries in a state": lambda one, dice: (
        f"/v1/deliveries?state={_pick(dice, 'delivered', 'pending', 'failed')}&cursor={one['delivery_id']}"
    ),
    "deliveries of a request": lambda one, _: f"/v1/deliveries?request={one['id']}",
    "counts of everything": lambda one, _: "/metrics",
}

PAGES: Mapping[str, Question] = {
    "overview": lambda one, _: "/console/overview",
    "requests": lambda one, dice: (
        f"/console/requests?state={_pick(dice, '', 'completed', 'failed', 'queued', 'held')}&cursor={one['id']}"
    ),
    "search": lambda one, dice: f"/console/requests?q={_search(one, dice)}",
    "one request": lambda one, _: f"/console/requests/{one['id']}",
    "batches": lambda one, _: f"/console/batches?cursor={one['batch_id']}",
    "one batch": lambda one, _: f"/console/batches/{one['batch_id']}",
    "numbers": lambda one, dice: (
        f"/console/numbers?holding={_pick(dice, 'held', 'released')}&cursor={one['number_id']}"
    ),
    "search of numbers": lambda one, dice: f"/console/numbers?q={_search(one, dice)}",
    "one number": lambda one, _: f"/console/numbers/{one['number_id']}",
    "calls": lambda one, _: f"/console/calls?number={one['number'].replace('+', '%2B')}",
    "messages": lambda one, _: f"/console/messages?number={one['number'].replace('+', '%2B')}",
    "deliveries": lambda one, dice: (
        f"/console/deliveries?state={_pick(dice, '', 'delivered', 'pending', 'failed')}&cursor={one['delivery_id']}"
    ),
    "one delivery": lambda one, _: f"/console/deliveries/{one['delivery_id']}",
    "endpoints": lambda one, _: "/console/endpoints",
    "upstreams": lambda one, _: "/console/upstreams",
    "inbox": lambda one, dice: f"/console/inbox?which={_pick(dice, 'not_understood', 'waiting')}",
    "sweeps": lambda one, _: "/console/sweeps",
    "preview of a sweep": lambda one, dice: (
        f"/console/sweeps/new?act={_pick(dice, 'retry', 'cancel')}&state={_pick(dice, 'failed', 'queued', 'held')}"
    ),
    "audit": lambda one, _: "/console/audit",
    "users": lambda one, _: "/console/users",
}
"""Of the console, as an admin sees them."""


def rows(on: Stage, *, is_full: bool, rounds: int, requests: int = REQUESTS, questions: int = QUESTIONS) -> list[Row]:
    """A row for each kind of question. Raises httpx.HTTPStatusError where one is not answered well."""
    if not is_full:
        requests, questions = TINY, TINY_QUESTIONS
    dice = random.Random(1)
    with on.play(Archive, rows=requests) as peer, peer.client() as client, closing(peer.person()) as person:
        known = peer.some(WARM_UP + rounds * questions, dice)
        kinds = {kind: (client, question) for kind, question in KINDS.items()}
        kinds |= {f"console, {page}": (person, question) for page, question in PAGES.items()}
        late: dict[str, list[float]] = {kind: [] for kind in kinds}
        for turn in range(rounds):
            for kind, (asker, question) in kinds.items():
                asked = [question(one, dice) for one in known]
                _ask(asker, asked[:WARM_UP])
                times = _ask(asker, asked[WARM_UP + turn * questions :][:questions])
                late[kind].append(_p99(times))
    return [
        Row(f"{kind}: p99 over {requests:,} requests", times, "ms in the receiver", aim=QUICK)
        for kind, times in late.items()
    ]


def _ask(client: httpx.Client, paths: Sequence[str]) -> list[float]:
    """Milliseconds until each is answered, fastest first. A search that finds one thing answers with its address."""
    times = []
    for path in paths:
        began = time.perf_counter()
        answer = client.get(path)
        times.append(1_000 * (time.perf_counter() - began))
        if not answer.has_redirect_location:
            answer.raise_for_status()
        elif "sign-in" in answer.headers["Location"]:
            raise RuntimeError(f"{path}: who asks is not signed in")
    return sorted(times)


def _p99(times: Sequence[float]) -> float:
    return times[int(0.99 * len(times))]


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--questions", type=int, default=QUESTIONS)
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args(words)
    with stage() as on:
        found = rows(
            on, is_full=True, rounds=arguments.rounds, requests=arguments.requests, questions=arguments.questions
        )
    sys.stdout.write(as_table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
