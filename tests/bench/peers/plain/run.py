"""Runs the plain peer against the sandbox, kills its workers, and counts what was lost and what was bought twice.

    python -m tests.bench.peers.plain.run [--requests 1000] [--kills 20] [--seed 1] [--unfinished again|leave]

`Peer` has the verbs that a harness needs: start, submit, kill_workers, restart, ended, stop.
"""

from __future__ import annotations

import argparse
import os
import random
import secrets
import signal
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

import httpx

from tests import services
from tests.bench.peers.plain.models import Base, connect
from tests.sandbox import PASSWORD, USERNAME, RequesterView, SandboxServer, eventually
from tests.services.server import free_port

ROOT = Path(__file__).resolve().parents[4]

NAME = "plain"
"""Its requester at the sandbox."""

ENDS_WITHIN = 60.0
"""Seconds without a kill and without one order more that ends: then what has not ended counts as lost, and not as
slow."""

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
class Peer:
    """The peer's processes on an empty database and an empty Redis, ordering from a sandbox."""

    folder: Path
    sandbox: SandboxServer
    database_url: str
    redis_url: str
    unfinished: str = "again"
    visibility_timeout: int = 10  # seconds
    workers: int = 2
    children: int = 8  # of each worker
    submitted: list[str] = field(default_factory=list)
    _receiver: subprocess.Popen[bytes] | None = None
    _workers: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def requester(self) -> RequesterView:
        return self.sandbox.requester(NAME)

    def start(self) -> None:
        """Make its table and start its receiver and its workers. Returns when orders are taken."""
        engine = connect(self.database_url)
        Base.metadata.create_all(engine)
        engine.dispose()
        port = free_port()
        self._url = f"http://127.0.0.1:{port}"
        secret = "whsec_" + b64encode(secrets.token_bytes(32)).decode()
        self.requester.set_up(secret)
        self._environment = os.environ | {
            "PLAIN_DATABASE_URL": self.database_url,
            "PLAIN_REDIS_URL": self.redis_url,
            "PLAIN_AVANSER_URL": self.sandbox.avanser_url,
            "PLAIN_AVANSER_USERNAME": USERNAME,
            "PLAIN_AVANSER_PASSWORD": PASSWORD,
            "PLAIN_PUBLIC_URL": self._url,
            "PLAIN_SECRET": secrets.token_hex(32),
            "PLAIN_DELIVER_TO": self.requester.url,
            "PLAIN_DELIVER_SECRET": secret,
            "PLAIN_VISIBILITY_TIMEOUT": str(self.visibility_timeout),
            "PLAIN_UNFINISHED": self.unfinished,
        }
        self._receiver = self._spawn(
            "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port), "--blocking-threads", "8",
            "--log-level", "warning", "tests.bench.peers.plain.app:app",
        )  # fmt: skip
        self.restart()
        eventually(self._is_up, within=30)

    def restart(self) -> None:
        """Start the workers that do not run. Returns at once, as a supervisor does."""
        for number in range(self.workers):
            if number not in self._workers or self._workers[number].poll() is not None:
                self._log(number).unlink(missing_ok=True)
                self._workers[number] = self._spawn(
                    "celery", "--app", "tests.bench.peers.plain.app:celery", "worker", "--pool", "prefork",
                    "--queues", "orders,results", "--concurrency", str(self.children),
                    "--hostname", f"plain-{number}@%h", "--loglevel", "INFO", "--logfile", str(self._log(number)),
                )  # fmt: skip

    def is_ready(self, number: int) -> bool:
        """Whether this worker has begun to work."""
        log = self._log(number)
        return log.exists() and " ready." in log.read_text()

    def _log(self, number: int) -> Path:
        return self.folder / f"worker-{number}.log"

    def submit(self, count: int) -> list[str]:
        """Order so many numbers through its API; returns their custom_ids, all of them accepted."""
        ids = [f"{NAME}-{len(self.submitted) + n}" for n in range(count)]
        with httpx.Client(base_url=self._url, timeout=30) as client, ThreadPoolExecutor(8) as threads:

            def order(custom_id: str) -> None:
                body = {"custom_id": custom_id, "answer_point": "61401603859"}
                client.post("/orders", json=body).raise_for_status()

            list(threads.map(order, ids))
        self.submitted += ids
        return ids

    def kill_workers(self, which: int | None = None) -> None:
        """SIGKILL to a worker with all its children, or to all workers at one moment."""
        for number, process in self._workers.items():
            if which in (None, number):
                _kill(process)

    def ended(self) -> int:
        """How many orders the customer has been told the end of."""
        return int(self.requester.counts()["distinct"])

    def books(self, kills: int) -> Books:
        """Wait until all has ended, or nothing has for `ENDS_WITHIN`, and count."""
        ended, give_up_at = self.ended(), time.monotonic() + ENDS_WITHIN
        while ended < len(self.submitted) and time.monotonic() < give_up_at:
            time.sleep(0.1)
            if (now := self.ended()) > ended:
                ended, give_up_at = now, time.monotonic() + ENDS_WITHIN
        told = {result["custom_id"] for result in self.requester.results()}
        summary = self.sandbox.summary()
        return Books(
            requests=len(self.submitted),
            kills=kills,
            lost=len(set(self.submitted) - told),
            bought_twice=len(summary["by_custom_id"]),
            numbers_bought=summary["numbers_taken"],
        )

    def stop(self) -> None:
        self.kill_workers()
        if self._receiver is not None:
            _kill(self._receiver)

    def _is_up(self) -> bool:
        try:
            return httpx.get(f"{self._url}/healthz").is_success
        except httpx.TransportError:
            return False

    def _spawn(self, module: str, *words: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{module}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", module, *words],
                cwd=ROOT, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


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
