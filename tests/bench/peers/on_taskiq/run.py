"""Starts the taskiq peer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from tests.bench.peers import store
from tests.bench.peers.peer import Peer as BasePeer


@dataclass
class Peer(BasePeer):
    name: ClassVar[str] = "taskiq"

    receivers: int = 1
    workers: int = 2  # processes of the one `taskiq worker`
    concurrency: int = 100  # tasks of each worker
    connections: int = 10  # of each process to PostgreSQL

    def tuning(self) -> dict[str, Any]:
        return {"concurrency": self.concurrency, "connections": self.connections}

    def prepare(self) -> None:
        store.make_table(self.conninfo)

    def start_receiver(self, port: int) -> None:
        self._granian(port, "asgi", "tests.bench.peers.on_taskiq.app:app", "--workers", str(self.receivers))

    def restart(self) -> None:
        if not self._runs("workers"):
            self._spawn(
                "workers", "taskiq", "worker", "--workers", str(self.workers),
                "--max-async-tasks", str(self.concurrency), "--log-level", "WARNING",
                "tests.bench.peers.on_taskiq.app:broker",
            )  # fmt: skip
        if not self._runs("scheduler"):
            # By default it would look for delayed tasks once a minute.
            self._spawn(
                "scheduler", "taskiq", "scheduler", "--update-interval", "1", "--log-level", "WARNING",
                "tests.bench.peers.on_taskiq.app:scheduler",
            )  # fmt: skip
