"""A single request in a hurry: on an idle system, and while a bulk job is running.

    accepted → told    until its result reached the requester; the upstream answers and calls back at once
    accepted → sent    until its order reached the upstream, in the benchmark's weather; idle, and beside the bulk job

Accepted is when the 202 was read. The sandbox's ledger says when an order arrived, and its requester when a result
did; all of it is on one machine, so one clock says all times.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.bench.alone import alone
from tests.bench.row import Aim, Row, percentile
from tests.bench.stage import WEATHER, Stage
from tests.bench.trunkline import Trunkline, order
from tests.sandbox import eventually

SINGLES, TINY_SINGLES = 200, 4
"""In one round: of so many, two may be worse than the 99th percentile."""

PAUSE = (0.1, 0.2)
"""Seconds between two of them, drawn evenly: no rhythm of ours falls in with one of theirs, and fewer are under way
than a system without a bulk job has hands for."""

BULK, TINY_BULK = 100_000, 300
"""Rows of the bulk job: several times what ends while the singles are sent."""

WELL_UNDER_WAY = 100
"""A bulk job runs when so many-th of its orders has reached the upstream."""

LOOKED_AFTER = 1.0
"""Seconds after the last of them until somebody looks: to look into the ledger costs the sandbox as much as many
orders do, and must not be what they wait for."""

ENDS_WITHIN = 30.0
"""Seconds. A single that has not come so far by then is lost."""

AT_ONCE: dict[str, Any] = {"latency_ms": {"min": 0, "max": 0}, "callback": {"delay": 0.0, "jitter": 0.0}}

GROUP = "urgent"


@dataclass(frozen=True)
class Run:
    """Seconds, of each single."""

    told: Sequence[float]
    sent_idle: Sequence[float]
    sent_beside_bulk: Sequence[float]
    left: int  # orders that had not been made when the last single was sent, singles among them

    def __str__(self) -> str:
        shown = (
            f"{name} p50 {percentile(times, 0.5) * 1000:.0f}, p99 {percentile(times, 0.99) * 1000:.0f} ms"
            for name, times in (
                ("told", self.told),
                ("sent, idle", self.sent_idle),
                ("sent, beside bulk", self.sent_beside_bulk),
            )
        )
        return f"{'; '.join(shown)}; {self.left} orders were left"


@dataclass
class Singles:
    """Requests that come one by one, and when they were accepted."""

    peer: Trunkline
    accepted_at: dict[str, float] = field(default_factory=dict)  # by custom_id, seconds since the epoch
    chance: random.Random = field(default_factory=lambda: random.Random(1))

    def send(self, count: int) -> list[str]:
        """So many, with pauses; returns their custom_ids."""
        with self.peer.client() as client:
            sent = [self._send(client) for _ in range(count)]
        time.sleep(LOOKED_AFTER)
        return sent

    def sent_after(self, custom_ids: Sequence[str]) -> list[float]:
        """Seconds from accepted to the order's arrival at the upstream. AssertionError where one was not ordered."""
        arrived = eventually(lambda: self._arrivals(custom_ids), within=ENDS_WITHIN)
        return [arrived[custom_id] - self.accepted_at[custom_id] for custom_id in custom_ids]

    def told_after(self, custom_ids: Sequence[str]) -> list[float]:
        """Seconds from accepted to the result's arrival at the requester. AssertionError where one did not come."""
        told = eventually(lambda: self._results(custom_ids), within=ENDS_WITHIN)
        return [told[custom_id] - self.accepted_at[custom_id] for custom_id in custom_ids]

    def _send(self, client: httpx.Client) -> str:
        time.sleep(self.chance.uniform(*PAUSE))
        custom_id = f"{GROUP}-{len(self.accepted_at)}"
        client.post("/v1/requests", json=order(custom_id) | {"custom_group": GROUP}).raise_for_status()
        self.accepted_at[custom_id] = time.time()
        return custom_id

    def _arrivals(self, custom_ids: Sequence[str]) -> dict[str, float]:
        """Empty until all of them have come."""
        entries = self.peer.sandbox.ledger(custom_group=GROUP)
        arrived = {entry["custom_id"]: entry["arrived_at"] for entry in entries}
        return arrived if arrived.keys() >= set(custom_ids) else {}

    def _results(self, custom_ids: Sequence[str]) -> dict[str, float]:
        """Empty until all of them have come."""
        results = self.peer.requester.results()
        told = {result["custom_id"]: result["first_at"] for result in results if result["state"] == "completed"}
        return told if told.keys() >= set(custom_ids) else {}


def rows(on: Stage, *, is_full: bool, rounds: int) -> list[Row]:
    """Raises RuntimeError where the bulk job ended before the last of the singles was sent."""
    singles, bulk = (SINGLES, BULK) if is_full else (TINY_SINGLES, TINY_BULK)
    runs = []
    for _ in range(rounds):
        done = run(on, singles, bulk)
        sys.stderr.write(f"urgent: {done}\n")
        if is_full and done.left <= singles:
            raise RuntimeError("urgent: the bulk job ended before the last of the singles was sent")
        runs.append(done)
    told = [one.told for one in runs]
    idle, beside = [one.sent_idle for one in runs], [one.sent_beside_bulk for one in runs]
    name = f"a single request while {bulk:,} bulk rows run, accepted → sent upstream"
    return [
        Row("accepted → result delivered, idle, upstream 0 ms: p50", _ms(told, 0.5), "ms",
            aim=Aim("<", 50, of_ratio=False)),
        Row("accepted → result delivered, idle, upstream 0 ms: p99", _ms(told, 0.99), "ms"),
        Row(f"{name}: p50", _ms(beside, 0.5), "ms", "idle", _ms(idle, 0.5)),
        Row(f"{name}: p99", _ms(beside, 0.99), "ms", "idle", _ms(idle, 0.99), Aim("≤", 2)),
        Row(f"{name}: p99", _ms(beside, 0.99), "ms", aim=Aim("<", 250, of_ratio=False)),
    ]  # fmt: skip


def run(on: Stage, singles: int, bulk: int) -> Run:
    """Once, one after the other on the same processes. The bulk job is left unfinished."""
    with on.play(Trunkline) as peer:
        assert isinstance(peer, Trunkline)
        on.sandbox.script(**AT_ONCE)
        urgent = Singles(peer)
        urgent.told_after(urgent.send(max(1, singles // 10)))  # until all processes have begun
        told = urgent.told_after(urgent.send(singles))
        on.sandbox.script(**WEATHER)
        idle = urgent.sent_after(urgent.send(singles))
        before = on.sandbox.summary()["orders"]
        peer.submit(bulk)
        eventually(lambda: on.sandbox.summary()["orders"] > before + bulk / WELL_UNDER_WAY, within=ENDS_WITHIN)
        ids = urgent.send(singles)
        left = before + bulk + singles - on.sandbox.summary()["orders"]
        return Run(told, idle, urgent.sent_after(ids), left)


def _ms(runs: Sequence[Sequence[float]], share: float) -> list[float]:
    return [1_000 * percentile(times, share) for times in runs]


if __name__ == "__main__":
    sys.exit(alone(rows, __doc__))
