"""How much memory the broker takes while very many requests wait: it is to hold hints, and no request.

    python -m tests.bench.broker [--waiting 1000000] [--rounds 3]

The workers and the relay run, and the upstream lets every order hang, so that nearly all requests stay queued and due.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
import redis

from models.state import State
from tests.bench.filling import fill
from tests.bench.row import Aim, Row, as_table
from tests.bench.stage import WEATHER, Stage, stage
from tests.bench.trunkline import Trunkline
from tests.sandbox import eventually

WAITING, TINY = 1_000_000, 5_000

HANGING: dict[str, Any] = WEATHER | {"latency_ms": {"min": 25_000, "max": 25_000}}
"""Nearly as long as an answer may take (30 s)."""

WATCHED, WATCHED_TINY = 10.0, 1.0
"""Seconds of one round: ten ticks of the relay. What is counted is the highest that was seen in it."""

LOOK = 0.05
"""Seconds between two looks."""

FEW = Aim("<", 20, of_ratio=False)


@dataclass
class Backlog(Trunkline):
    """Trunkline as it is started after a bad night: so many requests are due at once."""

    waiting: int = 0

    def prepare(self) -> None:
        super().prepare()
        fill(self.conninfo, self.waiting, State.QUEUED)
        self.sandbox.script(**HANGING)

    def count(self, where: str) -> int:
        with psycopg.connect(self.conninfo) as connection:
            found = connection.execute(f"SELECT count(*) FROM requests WHERE {where}".encode()).fetchone()  # noqa: S608
        assert found is not None
        return int(found[0])


def rows(on: Stage, *, is_full: bool, rounds: int, waiting: int = WAITING) -> list[Row]:
    """One row. Raises RuntimeError where in the end a tenth of the requests did not wait any more."""
    count, watched = (waiting, WATCHED) if is_full else (TINY, WATCHED_TINY)
    with redis.Redis.from_url(on.redis.url) as client:
        client.flushall()
        before = _memory(client)
        with on.play(Backlog, waiting=count) as peer:
            eventually(lambda: peer.count("state = 'submitting'"), within=60)
            peaks = [_peak(client, watched) - before for _ in range(rounds)]
            still = peer.count("state = 'queued'")
    if still < 0.9 * count:
        raise RuntimeError(f"only {still} of {count} requests waited for as long as was measured")
    note = f"{still:,} waited to the end; the empty server has {before / 2**20:.2f} MiB"
    return [Row(f"broker, {count:,} requests wait", [peak / 2**20 for peak in peaks], "MiB", aim=FEW, note=note)]


def _peak(client: redis.Redis, seconds: float) -> int:
    most, over_at = 0, time.monotonic() + seconds
    while time.monotonic() < over_at:
        most = max(most, _memory(client))
        time.sleep(LOOK)
    return most


def _memory(client: redis.Redis) -> int:
    info: Any = client.info("memory")
    return int(info["used_memory"])


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--waiting", type=int, default=WAITING)
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args(words)
    with stage() as on:
        found = rows(on, is_full=True, rounds=arguments.rounds, waiting=arguments.waiting)
    sys.stdout.write(as_table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
