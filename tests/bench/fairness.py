"""A small batch behind a large one: 100 rows that another requester, or the same one, hands in after 10,000.

The upstream takes few orders at once, so that all of them queue. The small batch is told at a URL of its own; its end
is when the last of its results came there, and what stands beside it is its end on the idle system.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

from tests.bench.alone import alone
from tests.bench.row import Aim, Row
from tests.bench.stage import Stage
from tests.bench.trunkline import Trunkline, order, send_batch
from tests.sandbox import RequesterView, eventually

LARGE, TINY_LARGE = 10_000, 200
SMALL, TINY_SMALL = 100, 10

IN_FLIGHT = 50
"""What this machine easily keeps in flight (167 orders a second): the large batch takes a minute."""

LATER, TINY_LATER = 1.0, 0.2
"""Seconds from the answer to the large batch until the small one is handed in."""

WARM_UP = 20

ENDS_WITHIN = 180.0
"""Seconds: enough for a small batch that waits for all of the large one."""

WHO: Mapping[str, str] = {"another requester": "newcomer", "the same requester": "default"}
"""Whose the small batch is. The large one is of the requester that a key without a name is for."""


@dataclass(frozen=True)
class Run:
    alone: float  # seconds, from before the small batch was handed in until all of it had ended
    behind: float
    left: int  # orders of the large batch that had not been made by then

    def __str__(self) -> str:
        return f"ended after {self.behind:.2f} s, alone after {self.alone:.2f}; {self.left} of the others were left"


@dataclass(frozen=True)
class Small:
    """Who hands in small batches, and where the results come."""

    peer: Trunkline
    key: str
    told: RequesterView

    def end(self, name: str, size: int) -> float:
        """Hand one in, and wait: seconds until the last of its results came. AssertionError where one did not."""
        ids = {f"{name}-{number}" for number in range(size)}
        began = time.time()
        with self.peer.client(self.key) as client:
            send_batch(client, [order(custom_id) | {"notify_url": self.told.url} for custom_id in sorted(ids)])
        return eventually(lambda: self._told(ids), within=ENDS_WITHIN) - began

    def _told(self, ids: set[str]) -> float:
        """When the last was, in seconds since the epoch; 0 until all have been."""
        results = self.told.results()
        ended = {result["custom_id"]: result["first_at"] for result in results if result["state"] == "completed"}
        return max(ended[custom_id] for custom_id in ids) if ended.keys() >= ids else 0.0


def rows(on: Stage, *, is_full: bool, rounds: int) -> list[Row]:
    """Raises RuntimeError where books are wrong."""
    large, small, later = (LARGE, SMALL, LATER) if is_full else (TINY_LARGE, TINY_SMALL, TINY_LATER)
    runs: dict[str, list[Run]] = {}
    for _ in range(rounds):
        for who in WHO if is_full else list(WHO)[:1]:
            done = run(on, WHO[who], large, small, later)
            sys.stderr.write(f"fairness, {small} rows of {who}: {done}\n")
            runs.setdefault(who, []).append(done)
    return [
        Row(f"{small:,} rows of {who} behind {large:,}: their end", [one.behind for one in done], "s",
            "alone", [one.alone for one in done], Aim("≤", 3))
        for who, done in runs.items()
    ]  # fmt: skip


def run(on: Stage, requester: str, large: int, small: int, later: float) -> Run:
    """Alone, and then behind the large batch, on the same processes. What is not done by then is left undone."""
    with on.play(Trunkline, in_flight=IN_FLIGHT) as peer:
        hands_in = _small(peer, requester)
        peer.submit(WARM_UP)
        peer.wait()
        idle = hands_in.end("alone", small)
        before = on.sandbox.summary()["orders"]
        peer.submit(large)
        time.sleep(later)
        behind = hands_in.end("behind", small)
        books, told = on.sandbox.summary(), hands_in.told.counts()
        if books["by_custom_id"] or told["bad_signature"] or told["by_type"]["request.completed"] != 2 * small:
            raise RuntimeError(f"fairness: {books}, told {told}")
    # What was under way lands at the sandbox although its sender has gone: it must not do so in the next one's books.
    eventually(lambda: not on.sandbox.summary()["traffic"]["in_flight"], within=ENDS_WITHIN)
    return Run(idle, behind, before + large + small - books["orders"])


def _small(peer: Trunkline, requester: str) -> Small:
    told = peer.sandbox.requester("small")
    told.set_up(peer.run("endpoints", "secret", "--requester", requester)["secret"])
    return Small(peer, peer.run("keys", "create", "--name", "small", "--requester", requester)["key"], told)


if __name__ == "__main__":
    sys.exit(alone(rows, __doc__))
