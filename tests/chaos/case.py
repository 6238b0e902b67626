"""One fault against one set of requests: what was submitted, what was hurt, and the verdict of the outside."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from tests.chaos import mixed
from tests.chaos.cluster import Cluster
from tests.chaos.judge import FINAL, Result, Verdict, judge, leaks
from tests.sandbox import eventually

_numbers = itertools.count(1)


class Case:
    """A set of requests on a cluster whose sandbox begins with empty books and follows `script`."""

    def __init__(self, cluster: Cluster, name: str, seed: int, script: dict[str, Any]) -> None:
        self.cluster, self.name, self.seed = cluster, name, seed
        self.prefix = f"c{next(_numbers)}-{seed}"  # of the custom_ids: no other case has it
        self.faults = 0
        self.batches: list[str] = []
        self.submitted_at: dict[str, float] = {}
        self.fault_ended_at: float | None = None
        self.is_judged = False
        self._results: dict[str, Result] = {}
        self._rows_read = 0
        cluster.heal()
        cluster.reset_sandbox({"seed": seed} | script)

    def submit(self, count: int, *, upstreams: Sequence[str] = ("avanser",), again_for: float = 0) -> str:
        """Submit `count` orders, in turn at each of these upstreams, as one batch, and return its id.

        Where it is not taken, the same file is sent again for so many seconds, as a careful client does.
        """
        first = len(self.submitted_at)
        rows = [
            mixed.provision(upstreams[n % len(upstreams)], f"{self.prefix}-{n}", n) for n in range(first, first + count)
        ]
        now = time.time()
        answer = self._post(mixed.as_csv(rows))
        while answer.status_code == 503 and time.time() < now + again_for:
            time.sleep(0.2)
            answer = self._post(mixed.as_csv(rows))
        assert answer.status_code == 202, answer.text
        self.submitted_at |= {row["custom_id"]: now for row in rows}
        self.batches.append(str(answer.json()["id"]))
        return self.batches[-1]

    def order(self) -> dict[str, Any]:
        """The next order, as JSON; `ask` submits it."""
        number = len(self.submitted_at)
        order = mixed.as_json(mixed.provision("avanser", f"{self.prefix}-{number}", number))
        self.submitted_at[order["custom_id"]] = time.time()
        return order

    def ask(self, order: Mapping[str, Any], key: str | None) -> httpx.Response:
        """Submit one order by itself, with this Idempotency-Key or without one, and return whatever is answered."""
        headers = {} if key is None else {"Idempotency-Key": key}
        return self.cluster.api.post("/v1/requests", json=order, headers=headers)

    def _post(self, csv: str) -> httpx.Response:
        return self.cluster.api.post("/v1/batches", content=csv, headers={"Content-Type": "text/csv"})

    def counts(self, batch: str) -> dict[str, int]:
        """Of one batch, by state."""
        answer = self.cluster.api.get(f"/v1/batches/{batch}").raise_for_status()
        return {state: count for state, count in answer.json()["counts"].items() if count}

    def until(self, batch: str, state: str, count: int, within: float = 60) -> None:
        """Wait until so many of a batch are in a state."""
        eventually(lambda: self.counts(batch).get(state, 0) >= count, within=within)

    def struck(self, times: int = 1) -> None:
        """Count faults, for the table."""
        self.faults += times

    def over(self) -> None:
        """The fault has ended: from now on it must drain. Said again, the last time counts."""
        self.fault_ended_at = time.time()

    def answers(self, saying: str = "") -> Counter[str]:
        """How often our calls for these requests got which answer (`saying` this), by our own history: whether a fault
        was met. It is no judge of what came of it."""
        with self.cluster.database() as connection:
            found = connection.execute(
                "SELECT data->>'answer', count(*) FROM events JOIN requests ON requests.id = events.request_id"
                " WHERE type = 'attempt' AND requests.batch_id = ANY(%s::uuid[])"
                " AND strpos(coalesce(events.detail, ''), %s) > 0 GROUP BY 1",
                (self.batches, saying),
            )
            return Counter(dict(found.fetchall()))

    def ordered(self) -> int:
        """How many orders the upstreams have taken in this case."""
        return int(self.cluster.sandbox.summary()["orders"])

    def told(self) -> dict[str, Result]:
        """What the requester knows of this case, by webhook-id."""
        rows = self.cluster.requester.results(since=self._rows_read)
        self._rows_read += len(rows)
        for row in rows:
            if row["custom_id"].startswith(f"{self.prefix}-"):
                self._results[row["webhook_id"]] = Result.of(row)
        return self._results

    def ended(self) -> int:
        """How many requests the requester has heard the end of."""
        return len({result.custom_id for result in self.told().values() if result.type in FINAL})

    def drain(self, within: float = 120) -> None:
        """Wait until the requester has been told of every request that it ended, or is held. Gives up after `within`
        seconds: then it is for the verdict to say who is missing."""
        give_up_at = time.monotonic() + within
        wanted = set(self.submitted_at)
        while time.monotonic() < give_up_at:
            if wanted <= {result.custom_id for result in self.told().values()}:
                return
            time.sleep(0.2)

    def verdict(self, within: float = 120, measured: Sequence[str] = (), **more: Any) -> Verdict:
        """Drain, and judge by the ledger and by what the requester was told. `more` is noted beside it.

        What is `measured` of the invariants is counted and fails nothing.
        """
        if self.fault_ended_at is None:
            self.over()
        self.drain(within)
        self.is_judged = True
        assert self.fault_ended_at is not None
        return judge(
            name=self.name,
            seed=self.seed,
            faults=self.faults,
            submitted=self.submitted_at,
            fault_ended_at=self.fault_ended_at,
            ledger=self.cluster.sandbox.ledger(),
            results=list(self.told().values()),
            leaked=leaks(self.cluster.logs, self.cluster.canaries),
            more=more,
            measured=measured,
        )
