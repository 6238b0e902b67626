"""Starts the DBOS peer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from dbos import run_dbos_database_migrations

from tests.bench.peers.peer import Peer as BasePeer


@dataclass
class Peer(BasePeer):
    name: ClassVar[str] = "dbos"

    receivers: int = 1
    workers: int = 2
    concurrency: int = 100  # calls to the upstream, of each worker
    in_flight: int = 500  # workflows of each worker
    poll: float = 0.1  # seconds between two looks at the queue
    threads: int = 32  # of each worker, for what DBOS writes down
    connections: int = 20  # of each process to PostgreSQL

    def tuning(self) -> dict[str, Any]:
        names = ("concurrency", "in_flight", "poll", "threads", "connections")
        return {name: getattr(self, name) for name in names}

    def prepare(self) -> None:
        run_dbos_database_migrations(self.database_url)

    def start_receiver(self, port: int) -> None:
        self._granian(port, "asgi", "tests.bench.peers.on_dbos.app:app", "--workers", str(self.receivers))

    def restart(self) -> None:
        for role in (f"worker-{number}" for number in range(self.workers)):
            if not self._runs(role):
                self._spawn(role, "tests.bench.peers.on_dbos.worker", role)
