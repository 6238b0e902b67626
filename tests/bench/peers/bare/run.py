"""Starts the bare limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import psycopg

from tests.bench.peers.peer import Peer as BasePeer

TABLES = """
    CREATE TABLE orders (
        id text PRIMARY KEY,
        custom_id text NOT NULL,
        answer_point text NOT NULL,
        status text NOT NULL DEFAULT 'new', -- then ordering, ordered, completed, failed, told
        number text,
        reference text
    );
    CREATE INDEX ON orders (id) WHERE status = 'new';
    CREATE TABLE inbox (id text NOT NULL, status text NOT NULL, number text)
"""


@dataclass
class Peer(BasePeer):
    name: ClassVar[str] = "bare"

    concurrency: int = 500  # calls at once
    connections: int = 16  # of the receiver

    def tuning(self) -> dict[str, Any]:
        return {"concurrency": self.concurrency, "connections": self.connections}

    def prepare(self) -> None:
        with psycopg.connect(self.conninfo) as connection:
            connection.execute(TABLES)

    def start_receiver(self, port: int) -> None:
        self._granian(port, "asgi", "tests.bench.peers.bare.receiver:app")

    def restart(self) -> None:
        if not self._runs("worker"):
            self._spawn("worker", "tests.bench.peers.bare.worker")
