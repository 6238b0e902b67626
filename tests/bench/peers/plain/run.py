"""Runs the plain peer against the sandbox, kills its workers, and counts what was lost and what was bought twice.

    python -m tests.bench.peers.plain.run [--requests 1000] [--kills 20] [--seed 1] [--unfinished again|leave]

`Peer` has what every peer has, and verbs of its own for one who hurts it: kill_workers, is_ready, books.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from tests import services
from tests.bench.peers.peer import Peer as BasePeer
from tests.bench.peers.peer import kill
from tests.bench.peers.plain.models import Base, connect
from tests.sandbox import SandboxServer, eventually

AT_WORK = (0.5, 5.0)
"""Seconds between kills. Only a worker that is ready is killed: one that is killed while it starts has nothing to
lose."""

WEATHER: dict[str, Any] = {
    "latency_ms": {"min": 100, "max": 900},
    "callback": {"delay": 20.0, "jitter": 10.0},
}
"""The callback comes minutes after the order in life, and so after the message of a dead worker is given out again."""


@dataclass
class Books:
    """What became of a run, by the sandbox's ledger and what the requester was told."""

    requests: int
    kills: int
    lost: int
    bought_twice: int
    numbers_bought: int

    def __str__(self) -> str:
        return (
            f"{self.requests} requests, {self.kills} kills: lost {self.lost}, bought twice {self.bought_twice}"
            f" ({self.numbers_bought} numbers bought)"
        )


@dataclass
class Peer(BasePeer):
    name: ClassVar[str] = "plain"

    unfinished: str = "again"
    visibility_timeout: int = 10  # seconds
    workers: int = 2
    children: int = 8  # of each worker: processes, or threads
    pool: str = "prefork"  # or threads
    receivers: int = 1
    threads: int = 8  # of each receiver

    def tuning(self) -> dict[str, Any]:
        return {"visibility_timeout": self.visibility_timeout, "unfinished": self.unfinished}

    def prepare(self) -> None:
        engine = connect(self.database_url)
        Base.metadata.create_all(engine)
        engine.dispose()

    def start_receiver(self, port: int) -> None:
        self._granian(
            port, "wsgi", "tests.bench.peers.plain.app:app",
            "--blocking-threads", str(self.threads), "--workers", str(self.receivers),
        )  # fmt: skip

    def restart(self) -> None:
        for number in range(self.workers):
            if not self._runs(f"worker-{number}"):
                self._log(number).unlink(missing_ok=True)
                self._spawn(
                    f"worker-{number}", "celery", "--app", "tests.bench.peers.plain.app:celery",
                    "worker", "--pool", self.pool, "--queues", "orders,results", "--concurrency", str(self.children),
                    "--hostname", f"plain-{number}@%h", "--loglevel", "INFO", "--logfile", str(self._log(number)),
                )  # fmt: skip

    def is_ready(self, number: int) -> bool:
        """Whether this worker has begun to work."""
        log = self._log(number)
        return log.exists() and " ready." in log.read_text()

    def _log(self, number: int) -> Path:
        return self.folder / f"worker-{number}.log"

    def kill_workers(self, which: int | None = None) -> None:
        """SIGKILL to a worker with all its children, or to all workers at one moment."""
        for number in range(self.workers):
            if which in (None, number) and f"worker-{number}" in self._processes:
                kill(self._processes[f"worker-{number}"])

    def books(self, kills: int) -> Books:
        """Wait for the end, and count."""
        self.wait()
        told = {result["custom_id"] for result in self.requester.results()}
        summary = self.sandbox.summary()
        return Books(
            requests=len(self.submitted),
            kills=kills,
            lost=len(set(self.submitted) - told),
            bought_twice=len(summary["by_custom_id"]),
            numbers_bought=summary["numbers_taken"],
        )


def hurt(peer: Peer, requests: int, kills: int, chance: random.Random) -> Books:
    """Kill workers at random while they work, each brought back at once; the orders come in evenly."""
    for number in range(kills):
        peer.submit(requests * (number + 1) // (kills + 1) - len(peer.submitted))
        time.sleep(chance.uniform(*AT_WORK))
        working = eventually(lambda: [worker for worker in range(peer.workers) if peer.is_ready(worker)], within=60)
        peer.kill_workers(chance.choice(working))
        peer.restart()
    peer.submit(requests - len(peer.submitted))
    return peer.books(kills)


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--unfinished", choices=["again", "leave"], default="again")
    parser.add_argument("--visibility-timeout", type=int, default=10, help="seconds")
    arguments = parser.parse_args(words)
    with (
        services.postgres() as postgres,
        services.redis_server() as redis,
        SandboxServer(seed=arguments.seed, script={"seed": arguments.seed} | WEATHER) as sandbox,
        TemporaryDirectory() as folder,
        Peer(
            Path(folder), sandbox, postgres.url, redis.url, arguments.unfinished, arguments.visibility_timeout
        ) as peer,
    ):
        books = hurt(peer, arguments.requests, arguments.kills, random.Random(arguments.seed))
    sys.stdout.write(f"plain Celery, unfinished orders {arguments.unfinished}: {books}\n")


if __name__ == "__main__":
    main()
