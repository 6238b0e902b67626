"""Trunkline's embedded default, run by its one command: SQLite and a broker from a wheel, in a folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tests.bench.trunkline import Trunkline
from tests.services import tree


@dataclass
class Embedded(Trunkline):
    """`trunkline up`, with as many processes as it chooses. Its database and broker count as its own processes."""

    name: ClassVar[str] = "embedded"

    def environment(self) -> dict[str, str]:
        servers = ("TRUNKLINE_DATABASE_URL", "TRUNKLINE_BROKER_URL", "TRUNKLINE_SECRET_KEY")
        return {name: value for name, value in super().environment().items() if name not in servers}

    def start_receiver(self, port: int) -> None:
        self._spawn("up", "worker.cli", "up", "--port", str(port))

    def restart(self) -> None:
        """It brings back what ends by itself."""

    def stop(self) -> None:
        """At one moment: each of its processes has a group of its own, and would end later than this."""
        for process in self._processes.values():
            members = tree.kill(process.pid) if process.poll() is None else []
            process.wait()
            tree.wait(members)
