"""Starts the application that does one INSERT a callback."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import psycopg

from tests.bench.peers.peer import Peer as BasePeer
from webhook_receiver.server import BACKLOG, THREADS

TABLE = """
    CREATE TABLE inbox (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        upstream text NOT NULL,
        token text NOT NULL,
        body bytea NOT NULL
    )
"""


@dataclass
class Peer(BasePeer):
    name: ClassVar[str] = "one-insert"

    def tuning(self) -> dict[str, Any]:
        return {"conninfo": self.conninfo}

    def prepare(self) -> None:
        with psycopg.connect(self.conninfo) as connection:
            connection.execute(TABLE)

    def start_receiver(self, port: int) -> None:
        """As `webhook_receiver.server` does, in one process."""
        self._granian(
            port, "wsgi", "tests.bench.peers.one_insert.app:app", "--workers", "1",
            "--blocking-threads", str(THREADS), "--backlog", str(BACKLOG), "--backpressure", str(BACKLOG),
            "--http", "1", "--no-ws",
        )  # fmt: skip

    def restart(self) -> None:
        """There is nobody to start."""
