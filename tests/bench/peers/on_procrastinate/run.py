"""Starts the procrastinate peer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from procrastinate import App, SyncPsycopgConnector

from tests.bench.peers import store
from tests.bench.peers.peer import Peer as BasePeer


@dataclass
class Peer(BasePeer):
    name: ClassVar[str] = "procrastinate"

    receivers: int = 1
    workers: int = 2
    concurrency: int = 100  # jobs of each worker
    connections: int = 10  # of each process to PostgreSQL

    def tuning(self) -> dict[str, Any]:
        return {"concurrency": self.concurrency, "connections": self.connections}

    def prepare(self) -> None:
        with App(connector=SyncPsycopgConnector(conninfo=self.conninfo)).open() as queue:
            queue.schema_manager.apply_schema()
        store.make_table(self.conninfo)

    def start_receiver(self, port: int) -> None:
        self._granian(port, "asgi", "tests.bench.peers.on_procrastinate.app:app", "--workers", str(self.receivers))

    def restart(self) -> None:
        for role in (f"worker-{number}" for number in range(self.workers)):
            if not self._runs(role):
                self._spawn(role, "tests.bench.peers.on_procrastinate.worker", role)
