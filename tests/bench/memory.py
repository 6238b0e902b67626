"""The memory of a worker's processes, when they have worked on many requests: flat, or it would grow for ever.

The upstream takes no time, so that as many as possible are worked on. What children share counts once (PSS).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.alone import alone
from tests.bench.peers.peer import Peer
from tests.bench.row import Aim, Row
from tests.bench.stage import Stage
from tests.bench.trunkline import Trunkline
from tests.bench.urgent import AT_ONCE
from tests.bench.usage import memory, processes

STEP, TINY_STEP = 10_000, 20
"""Requests between two looks. After the first every code path, connection and pool is warm."""

STEPS, TINY_STEPS = 10, 2

WORKER = "worker-0"


@dataclass(frozen=True)
class Run:
    sizes: Sequence[int]  # bytes after each step

    def __str__(self) -> str:
        return " ".join(f"{size / 2**20:.1f}" for size in self.sizes) + " MiB"


def rows(on: Stage, *, is_full: bool, rounds: int) -> list[Row]:
    """Once, however many rounds there are: it takes minutes, and its figure does not depend on the machine's mood."""
    step, steps = (STEP, STEPS) if is_full else (TINY_STEP, TINY_STEPS)
    done = run(on, step, steps)
    sys.stderr.write(f"memory of a worker after each {step:,} requests: {done}\n")
    first, *_, last = [size / 2**20 for size in done.sizes]
    name = f"memory of a worker's processes after {step * steps:,} requests"
    return [Row(name, [last], "MiB", f"after {step:,}", [first], Aim("≤", 1.05))]


def run(on: Stage, step: int, steps: int) -> Run:
    """Raises RuntimeError where requests are missing, or where a process ended: its successor would begin anew."""
    with on.play(Trunkline) as peer:
        on.sandbox.script(**AT_ONCE)
        _work(peer, step)
        worker = peer.groups[WORKER]
        members, sizes = set(processes(worker)), [memory(worker)]
        for _ in range(steps - 1):
            _work(peer, step)
            sizes.append(memory(worker))
        if set(processes(worker)) != members:
            raise RuntimeError("memory: a process of the worker ended meanwhile")
    return Run(sizes)


def _work(peer: Peer, count: int) -> None:
    peer.submit(count)
    peer.wait()
    if peer.ended() != len(peer.submitted):
        raise RuntimeError(f"memory: {peer.ended()} of {len(peer.submitted)} requests have ended")


if __name__ == "__main__":
    sys.exit(alone(rows, __doc__))
