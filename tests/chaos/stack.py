"""`trunkline up --sandbox` as a process of its own, to be hurt."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.sandbox import eventually

ROOT = Path(__file__).resolve().parents[2]

QUICK = {
    # What waits for minutes in production waits for seconds here; the order of the time limits is the same.
    "TRUNKLINE_AVANSER_TIMEOUT": "3",
    "TRUNKLINE_AVANSER_SETTLING": "2",
    "TRUNKLINE_AVANSER_CALLBACK_DEADLINE": "5",
    "TRUNKLINE_AVANSER_MAX_IN_FLIGHT": "150",
    "TRUNKLINE_AVANSER_RATE": "400",
    "TRUNKLINE_BACKOFF_BASE": "0.5",
    "TRUNKLINE_DELIVERY_BACKOFF": "1,1,2,2,4,4,8",
    "TRUNKLINE_DELIVERY_TIMEOUT": "5",
    "TRUNKLINE_RATE_LIMIT": "0",
}

SPEC = "spec.name,spec.service_number.country,spec.service_number.search_type,spec.service_number.szu"
HEADER = f"upstream,custom_id,{SPEC},spec.service.type,spec.service.answer_point\n"


def dealers(count: int, prefix: str = "dealer") -> str:
    """A CSV of `count` good dealers."""
    rows = (f"avanser,{prefix}-{n},Dealer {n},AU,szu,sydney,transfer,614016{n % 100_000:05}\n" for n in range(count))
    return HEADER + "".join(rows)


@dataclass
class Up:
    """A running `up`: its API, its sandbox, and its children's process ids."""

    process: subprocess.Popen[bytes]
    output: Path
    url: str
    environment: Mapping[str, str]
    key: str = ""
    client: httpx.Client = field(init=False)
    sandbox: httpx.Client = field(init=False)

    def start(self) -> None:
        eventually(lambda: self._ended() or f"ready {self.url}" in self.output.read_text(), within=120)
        assert self.process.poll() is None, self.output.read_text()
        found = re.search(r"sandbox at (\S+):", self.output.read_text())
        assert found is not None
        self.sandbox = httpx.Client(base_url=found[1], timeout=30)
        made = self.run("keys", "create", "--name", "chaos", "--scopes", "submit,read,operate,admin", "--json").json
        self.key = made["key"]
        self.client = httpx.Client(base_url=self.url, timeout=60, headers={"Authorization": f"Bearer {self.key}"})

    def _ended(self) -> bool:
        return self.process.poll() is not None

    def run(self, *words: str, check: bool = True) -> Ran:
        """Run a command of the command line on the same home, to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "worker.cli", *words],
            cwd=ROOT, env=dict(self.environment), capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, (done.stdout, done.stderr)
        return Ran(done.returncode, done.stdout, done.stderr)

    def pid(self, name: str) -> int:
        """The process id that a child has now."""
        (*_, last) = re.findall(rf"^{name} +pid (\d+)", self.output.read_text(), re.MULTILINE)
        return int(last)

    def kill(self, name: str) -> None:
        """SIGKILL a child with all its own children, and wait until it has been brought back."""
        pid = self.pid(name)
        os.killpg(pid, signal.SIGKILL)
        eventually(lambda: self.pid(name) != pid, within=60)

    def deliver_to_sandbox(self) -> None:
        """Register the sandbox's requester as the endpoint for all results."""
        url = f"{self.sandbox.base_url}/requester/crm"
        secret = self.run("endpoints", "create", "--name", "crm", "--url", url, "--json").json["secret"]
        self.sandbox.put("/_sandbox/requester/crm", json={"secrets": [secret]}).raise_for_status()

    def submit(self, csv: str) -> str:
        answer = self.client.post("/v1/batches", content=csv, headers={"Content-Type": "text/csv"})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def counts(self, batch: str) -> dict[str, int]:
        """By state; what cannot be asked right now is nothing."""
        try:
            answer = self.client.get(f"/v1/batches/{batch}")
            answer.raise_for_status()
        except httpx.HTTPError:
            return {}
        counts: dict[str, int] = answer.json()["counts"]
        return counts

    def ended(self, batch: str) -> int:
        counts = self.counts(batch)
        return counts.get("completed", 0) + counts.get("failed", 0) + counts.get("cancelled", 0)

    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = self.sandbox.get("/_sandbox/ledger/summary").json()
        return found

    def told(self) -> set[str]:
        """The ids of the requests whose result has reached the requester with a good signature."""
        told: set[str] = set()
        since: int | None = 0
        while since is not None:
            page = self.sandbox.get("/_sandbox/requester/crm/results", params={"since": since}).json()
            told |= {row["data.id"] for row in page["data"] if row["type"].startswith("request.") and row["verified"]}
            since = page["next"]
        return told

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(30)
        finally:
            self.process.kill()
            self.process.wait()
            for client in (getattr(self, "client", None), getattr(self, "sandbox", None)):
                if client is not None:
                    client.close()


@dataclass(frozen=True)
class Ran:
    """A command that ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.stdout)
        return found


@contextmanager
def up(home: Path, **settings: str) -> Iterator[Up]:
    """Everything running on `home`, with these settings beside the quick ones; stopped at the end."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    home.mkdir(parents=True, exist_ok=True)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TRUNKLINE_")}
    environment = clean | QUICK | {"TRUNKLINE_HOME": str(home)} | settings
    output = home / "up.txt"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "worker.cli", "up", "--sandbox", "--port", str(port), "--workers", "2"],
            cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT,
        )  # fmt: skip
    running = Up(process, output, f"http://127.0.0.1:{port}", environment)
    try:
        running.start()
        yield running
    finally:
        running.stop()
