"""Trunkline itself, run as in production and measured as its peers are."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import httpx

from tests.bench.peers.peer import ROOT, Peer, answer_point
from tests.sandbox import ACCOUNT, PASSWORD, USERNAME

IN_FLIGHT = 1_000
"""Calls at the upstream at once, over all workers: three times what a thousand a second that take 300 ms need."""

RATE = 100_000
"""Calls a second: no limit that is ever met."""


@dataclass
class Trunkline(Peer):
    name: ClassVar[str] = "trunkline"

    workers: int = 1
    children: int = 2  # of each worker
    receivers: int = 1  # processes of the one receiver
    in_flight: int = IN_FLIGHT
    rate: float = RATE
    key: str = field(default="", init=False)
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(32), init=False)

    def environment(self) -> dict[str, str]:
        return {
            "TRUNKLINE_HOME": str(self.folder / "home"),
            "TRUNKLINE_DATABASE_URL": self.database_url,
            "TRUNKLINE_BROKER_URL": self.redis_url,
            "TRUNKLINE_PUBLIC_URL": self._url,
            "TRUNKLINE_SECRET_KEY": self.secret,
            "TRUNKLINE_AVANSER_URL": self.sandbox.avanser_url,
            "TRUNKLINE_AVANSER_USERNAME": USERNAME,
            "TRUNKLINE_AVANSER_PASSWORD": PASSWORD,
            "TRUNKLINE_AVANSER_ACCOUNT_ID": ACCOUNT,
            "TRUNKLINE_AVANSER_MAX_IN_FLIGHT": str(self.in_flight),
            "TRUNKLINE_AVANSER_RATE": str(self.rate),
            "TRUNKLINE_ALLOW_PRIVATE_DESTINATIONS": "true",
            "TRUNKLINE_RATE_LIMIT": "0",
        }

    def prepare(self) -> None:
        said(self.begin("migrate"))
        self.key = self.run("keys", "create", "--name", "bench", "--scopes", "submit,read,operate,admin")["key"]
        ends = "request.completed,request.failed,request.held"
        endpoint = self.run("endpoints", "create", "--name", "crm", "--url", self.requester.url, "--types", ends)
        self.requester.set_up(endpoint["secret"])

    def start_receiver(self, port: int) -> None:
        self._spawn("receiver", "webhook_receiver", "--port", str(port), "--processes", str(self.receivers))

    def restart(self) -> None:
        for role in (f"worker-{number}" for number in range(self.workers)):
            if not self._runs(role):
                self._spawn(role, "worker.cli", "worker", "--concurrency", str(self.children))
        if not self._runs("relay"):
            self._spawn("relay", "worker.cli", "relay")

    def submit(self, count: int) -> list[str]:
        """As one batch."""
        ids = self._new_ids(count)
        with self.client() as client:
            send_batch(client, [order(custom_id) for custom_id in ids])
        self.submitted += ids
        return ids

    def client(self, key: str | None = None) -> httpx.Client:
        """Of its API, with a key that may do everything where none is given."""
        return httpx.Client(base_url=self._url, timeout=300, headers={"Authorization": f"Bearer {key or self.key}"})

    def run(self, *words: str) -> dict[str, Any]:
        """A command of the command line to its end, and its answer."""
        return dict(json.loads(said(self.begin(*words, "--json"))))

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """A command of the command line, begun; `said` waits for its end."""
        return subprocess.Popen(
            [sys.executable, "-m", "worker.cli", *words],
            cwd=ROOT, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip


def said(command: subprocess.Popen[str]) -> str:
    """What a command said, when it has ended. Raises RuntimeError where it failed."""
    with command:
        out, err = command.communicate()
    if command.returncode:
        raise RuntimeError(f"{command.args!r}: {err}")
    return out


@dataclass
class ReceiverAlone(Trunkline):
    """Nobody works on what it takes: for what the taking costs."""

    def restart(self) -> None:
        """There is nobody to start."""


def send_batch(client: httpx.Client, orders: Iterable[dict[str, Any]]) -> None:
    """All of them or none: raises httpx.HTTPStatusError where it is not taken."""
    lines = "\n".join(map(json.dumps, orders))
    answer = client.post("/v1/batches", content=lines, headers={"Content-Type": "application/x-ndjson"})
    answer.raise_for_status()


def order(custom_id: str) -> dict[str, Any]:
    """A request of ours for what the peers order."""
    return {
        "upstream": "avanser",
        "custom_id": custom_id,
        "spec": {
            "name": custom_id,
            "service_number": {"country": "AU", "search_type": "szu", "szu": "sydney"},
            "service": {"type": "transfer", "answer_point": answer_point(custom_id)},
        },
    }
