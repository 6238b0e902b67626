"""The whole way of many orders: taken, ordered, called back, told.

    python -m tests.bench.end_to_end NAME [--requests 1000] [--set workers=2 --set concurrency=50 …]

runs one contender and says how fast it was and whether its books are right. NAME is trunkline, embedded, plain, dbos,
procrastinate, taskiq or bare; `--set` gives an argument of its class.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.bench.embedded import Embedded
from tests.bench.peers.bare.run import Peer as Bare
from tests.bench.peers.on_dbos.run import Peer as Dbos
from tests.bench.peers.on_procrastinate.run import Peer as Procrastinate
from tests.bench.peers.on_taskiq.run import Peer as Taskiq
from tests.bench.peers.peer import Peer
from tests.bench.peers.plain.run import Peer as Plain
from tests.bench.row import Aim, Row
from tests.bench.stage import SERVERS, Stage, stage
from tests.bench.trunkline import Trunkline
from tests.bench.usage import Meter

CONTENDERS: dict[str, type[Peer]] = {
    kind.name: kind for kind in (Trunkline, Embedded, Plain, Dbos, Procrastinate, Taskiq, Bare)
}

END_TO_END = "end to end"
CPU_EACH = "CPU, its own processes"

WARM_UP = 50
"""Orders before those that are measured: the workers have begun, connections are open."""


@dataclass(frozen=True)
class Run:
    """By the sandbox's ledger and the requester's own log. Time and cost leave out the warm-up, the books do not."""

    requests: int  # measured
    taken_after: float  # seconds, until the last order was accepted
    ended_after: float  # seconds, until the requester was told of the last one
    cpu: Mapping[str, float]  # seconds, by role
    peak: Mapping[str, int]  # bytes, by role
    ordered: int
    bought: int
    bought_twice: int
    told: int
    told_wrong: int  # of what was not ordered, or not completed
    bad_signatures: int

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.ended_after

    @property
    def cost(self) -> float:
        """CPU, in ms a request, of the contender's own processes."""
        return 1_000 * sum(seconds for role, seconds in self.cpu.items() if role not in SERVERS) / self.requests

    @property
    def is_right(self) -> bool:
        wrong = self.bought_twice or self.told_wrong or self.bad_signatures
        return self.bought == self.told == self.ordered and not wrong

    def __str__(self) -> str:
        costs = ", ".join(f"{role} {seconds / self.requests * 1000:.2f}" for role, seconds in self.cpu.items())
        peaks = ", ".join(f"{role} {size / 2**20:.0f}" for role, size in self.peak.items())
        return (
            f"{self.rate:.1f} requests/s: {self.requests} taken in {self.taken_after:.2f} s,"
            f" ended in {self.ended_after:.2f} s; with the warm-up {self.bought} of {self.ordered} bought,"
            f" {self.bought_twice} twice, told of {self.told}, {self.told_wrong} wrong,"
            f" {self.bad_signatures} bad signatures: {'right' if self.is_right else 'WRONG'}\n"
            f"    CPU, ms a request: {costs}\n    memory at most, MiB: {peaks}"
        )


def measure(peer: Peer, servers: Mapping[str, int], count: int) -> Run:
    """Hand in so many orders at once and wait until all have ended. `servers` are the processes of the servers."""
    peer.submit(WARM_UP)
    peer.wait()
    with Meter({**peer.groups, **servers}) as meter:
        began = time.monotonic()
        peer.submit(count)
        taken = time.monotonic()
        ended = peer.wait()
    results, summary = peer.requester.results(), peer.sandbox.summary()
    told = Counter(result["custom_id"] for result in results if result["state"] == "completed")
    rightly = (told & Counter(peer.submitted)).total()
    return Run(
        requests=count,
        taken_after=taken - began,
        ended_after=ended - began,
        cpu=meter.cpu,
        peak=meter.peak,
        ordered=len(peer.submitted),
        bought=summary["numbers_taken"],
        bought_twice=len(summary["by_custom_id"]),
        told=rightly,
        told_wrong=len(results) - rightly,
        bad_signatures=peer.requester.counts()["bad_signature"],
    )


def run(on: Stage, name: str, count: int, **settings: Any) -> Run:
    """One contender, once."""
    with on.play(CONTENDERS[name], **settings) as peer:
        return measure(peer, on.roles, count)


@dataclass(frozen=True)
class Entry:
    """A contender, its settings, and what we aim at beside it."""

    label: str
    name: str
    full: int  # requests of one round: about half a minute's work
    settings: Mapping[str, int | float | str] = field(default_factory=dict)
    rate: Aim | None = None  # of our rate to its
    cost: Aim | None = None  # of our CPU time a request to its


OURS = Entry("Trunkline", "trunkline", 10_000)

OTHERS = (
    Entry("plain Celery, prefork", "plain", 2_000, {"workers": 1, "children": 32}, Aim("≥", 12), Aim("≤", 0.1)),
    Entry("plain Celery, threads", "plain", 2_000, {"workers": 1, "children": 64, "pool": "threads"}, Aim("≥", 12)),
    Entry("DBOS", "dbos", 1_000, rate=Aim("≥", 20)),
    Entry("procrastinate", "procrastinate", 3_000, rate=Aim("≥", 5)),
    Entry("taskiq", "taskiq", 3_000, rate=Aim("≥", 5)),
    Entry("the bare limit", "bare", 10_000, rate=Aim("≥", 0.7)),
)

EMBEDDED = Entry("Trunkline, embedded default", "embedded", 5_000, rate=Aim("≥", 0.5))
"""Beside ours on PostgreSQL and Redis."""

TINY = 20


def rows(on: Stage, *, is_full: bool, rounds: int) -> list[Row]:
    """Every contender in turn, `rounds` times. Raises RuntimeError where one's books were wrong."""
    runs: dict[str, list[Run]] = {}
    for _ in range(rounds):
        for entry in (OURS, EMBEDDED, *OTHERS):
            done = run(on, entry.name, entry.full if is_full else TINY, **entry.settings)
            sys.stderr.write(f"{entry.label}: {done}\n")
            if not done.is_right:
                raise RuntimeError(f"{entry.label}: {done}")
            runs.setdefault(entry.label, []).append(done)
    ours = runs[OURS.label]
    rates = [
        Row(END_TO_END, _rates(ours), "requests/s", entry.label, _rates(runs[entry.label]), entry.rate)
        for entry in OTHERS
    ]
    costs = [
        Row(CPU_EACH, _costs(ours), "ms a request", entry.label, _costs(runs[entry.label]), entry.cost)
        for entry in OTHERS
    ]
    embedded = Row(
        "end to end, embedded default", _rates(runs[EMBEDDED.label]), "requests/s",
        "on PostgreSQL and Redis", _rates(ours), EMBEDDED.rate,
    )  # fmt: skip
    share = [one.cpu["sandbox"] / sum(one.cpu.values()) for one in ours]
    return [*rates, embedded, *costs, Row("share of all CPU that the simulated world takes", share, "of 1")]


def _rates(runs: Sequence[Run]) -> list[float]:
    return [one.rate for one in runs]


def _costs(runs: Sequence[Run]) -> list[float]:
    return [one.cost for one in runs]


def _setting(word: str) -> tuple[str, int | float | str]:
    name, _, value = word.partition("=")
    if value.isdecimal():
        return name, int(value)
    try:
        return name, float(value)
    except ValueError:
        return name, value


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=CONTENDERS)
    parser.add_argument("--requests", type=int, default=1_000)
    parser.add_argument("--set", type=_setting, action="append", default=[], metavar="NAME=VALUE", dest="settings")
    arguments = parser.parse_args(words)
    with stage() as on:
        done = run(on, arguments.name, arguments.requests, **dict(arguments.settings))
    sys.stdout.write(f"{arguments.name}: {done}\n")
    return 0 if done.is_right else 1


if __name__ == "__main__":
    sys.exit(main())
