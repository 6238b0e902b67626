"""What every peer is to the one who measures it: processes to start, orders to hand in, ends to count."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import httpx

from tests.sandbox import PASSWORD, USERNAME, RequesterView, SandboxServer, eventually
from tests.services.server import free_port

ROOT = Path(__file__).resolve().parents[3]

ENDS_WITHIN = 60.0
"""Seconds without one order more that ends, after which what has not ended counts as lost, and not as slow."""

BULK = 1_000
"""Orders in one POST of many."""


@dataclass
class Peer(ABC):
    """A peer's processes on an empty database and an empty Redis, ordering from a sandbox."""

    name: ClassVar[str]
    """Its requester at the sandbox, and the beginning of its custom_ids."""

    folder: Path
    sandbox: SandboxServer
    database_url: str  # SQLAlchemy's form
    redis_url: str
    port: int = field(default=0, init=False)  # of what takes orders and callbacks, when it has started
    submitted: list[str] = field(default_factory=list, init=False)
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict, init=False)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def requester(self) -> RequesterView:
        return self.sandbox.requester(self.name)

    @property
    def conninfo(self) -> str:
        """The database, in libpq's form."""
        return self.database_url.replace("postgresql+psycopg://", "postgresql://")

    @property
    def groups(self) -> dict[str, int]:
        """The process group of each role that runs."""
        return {role: process.pid for role, process in self._processes.items() if process.poll() is None}

    @abstractmethod
    def prepare(self) -> None:
        """Make its tables."""

    @abstractmethod
    def start_receiver(self, port: int) -> None:
        """Start what takes orders and callbacks."""

    @abstractmethod
    def restart(self) -> None:
        """Start the workers that do not run. Returns at once, as a supervisor does."""

    def tuning(self) -> dict[str, Any]:
        """Settings of its processes that are arguments of this class."""
        return {}

    def start(self) -> None:
        """Start all of it. Returns when orders are taken."""
        self.port = free_port()
        self._url = f"http://127.0.0.1:{self.port}"
        self._environment = os.environ | self.environment()
        self.prepare()
        self.start_receiver(self.port)
        self.restart()
        eventually(self._is_up, within=60)

    def environment(self) -> dict[str, str]:
        """What its processes read. They tell the requester, under a secret that it knows."""
        secret = "whsec_" + b64encode(secrets.token_bytes(32)).decode()
        self.requester.set_up(secret)
        settings = {
            "database_url": self.database_url,
            "redis_url": self.redis_url,
            "avanser_url": self.sandbox.avanser_url,
            "avanser_username": USERNAME,
            "avanser_password": PASSWORD,
            "public_url": self._url,
            "secret": secrets.token_hex(32),
            "deliver_to": self.requester.url,
            "deliver_secret": secret,
            **self.tuning(),
        }
        return {f"PEER_{key.upper()}": str(value) for key, value in settings.items()}

    def submit(self, count: int) -> list[str]:
        """Order so many numbers in the way for many at once; returns their custom_ids, all of them accepted."""
        ids = self._new_ids(count)
        with httpx.Client(base_url=self._url, timeout=60) as client:
            for first in range(0, count, BULK):
                orders = [order(custom_id) for custom_id in ids[first : first + BULK]]
                client.post("/orders/bulk", json=orders).raise_for_status()
        self.submitted += ids
        return ids

    def ended(self) -> int:
        """How many orders the customer has been told the end of."""
        return int(self.requester.counts()["distinct"])

    def wait(self) -> float:
        """Until all that was ordered has ended, or nothing has for `ENDS_WITHIN`; when the last did, in monotonic
        seconds."""
        ended, ended_at = 0, time.monotonic()
        while ended < len(self.submitted) and time.monotonic() - ended_at < ENDS_WITHIN:
            time.sleep(0.05)
            if (now := self.ended()) > ended:
                ended, ended_at = now, time.monotonic()
        return ended_at

    def stop(self) -> None:
        for process in self._processes.values():
            kill(process)

    def _new_ids(self, count: int) -> list[str]:
        return [f"{self.name}-{len(self.submitted) + n}" for n in range(count)]

    def _runs(self, role: str) -> bool:
        return role in self._processes and self._processes[role].poll() is None

    def _is_up(self) -> bool:
        try:
            return httpx.get(f"{self._url}/healthz").is_success
        except httpx.TransportError:
            return False

    def _granian(self, port: int, interface: str, application: str, *words: str) -> None:
        """Run the receiver's HTTP server."""
        self._spawn(
            "receiver", "granian", "--interface", interface, "--host", "127.0.0.1", "--port", str(port),
            "--log-level", "warning", *words, application,
        )  # fmt: skip

    def _spawn(self, role: str, module: str, *words: str) -> None:
        with (self.folder / f"{role}.out").open("ab") as out:
            self._processes[role] = subprocess.Popen(
                [sys.executable, "-m", module, *words],
                cwd=ROOT, env=self._environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True,
            )  # fmt: skip


def order(custom_id: str) -> dict[str, str]:
    """The body of one order. Each has an answer point of its own, as in life."""
    return {"custom_id": custom_id, "answer_point": answer_point(custom_id)}


def answer_point(custom_id: str) -> str:
    return f"614{int(custom_id.rpartition('-')[2]):08}"


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to a process and all of its group, and wait until it is gone."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
