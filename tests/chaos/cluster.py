"""The production processes on one machine: workers, relays, receivers, with PostgreSQL, a broker and the sandbox."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg

from models.migrations import upgrade
from tests.chaos import mixed
from tests.chaos.member import ROOT, Member
from tests.sandbox import (
    ACCOUNT,
    MESSAGEMEDIA_KEY,
    MESSAGEMEDIA_SECRET,
    PASSWORD,
    TELMETRICS_TOKEN,
    USERNAME,
    RequesterView,
    SandboxServer,
    eventually,
)
from tests.services.server import free_port

QUICK = {
    # What waits for minutes in production waits for seconds here; the order of the time limits is the same.
    f"TRUNKLINE_{upstream.upper()}_{name}": value
    for upstream in mixed.UPSTREAMS
    for name, value in {
        "TIMEOUT": "3", "SETTLING": "2", "CALLBACK_DEADLINE": "5", "MAX_IN_FLIGHT": "200", "RATE": "1000",
    }.items()
} | {
    "TRUNKLINE_BACKOFF_BASE": "0.5",
    "TRUNKLINE_BACKOFF_CAP": "5",
    "TRUNKLINE_DELIVERY_BACKOFF": "1,1,2,2,4,4,8,8,8,8",
    "TRUNKLINE_DELIVERY_TIMEOUT": "5",
    "TRUNKLINE_RATE_LIMIT": "0",
}  # fmt: skip

LEASE = 7.0
"""Seconds. The lease that follows from the time-out and settling time above: 3 + 2, and 2 to write the answer down."""

REQUESTER = "crm"


@dataclass(eq=False)
class Cluster:
    """What runs, by kind. `heal` brings all of it back."""

    folder: Path
    database_url: str
    sandbox: SandboxServer
    environment: dict[str, str]
    url: str
    receivers: list[Member] = field(default_factory=list)
    workers: list[Member] = field(default_factory=list)
    relays: list[Member] = field(default_factory=list)
    api: httpx.Client = field(init=False)
    canaries: list[str] = field(default_factory=list)
    """Secrets that no log may hold."""

    @property
    def members(self) -> list[Member]:
        return [*self.receivers, *self.workers, *self.relays]

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def requester(self) -> RequesterView:
        return self.sandbox.requester(REQUESTER)

    def heal(self) -> None:
        """Everything runs again, and the API answers."""
        for member in self.members:
            member.start()
        eventually(self.is_ready, within=120)

    def rest(self) -> None:
        """Nothing of it runs until it is healed."""
        for member in self.members:
            if member.is_alive:
                member.kill()

    def is_ready(self) -> bool:
        try:
            return self.api.get("/readyz").status_code == 200
        except httpx.HTTPError:
            return False

    def add(self, name: str, *words: str, **options: Any) -> Member:
        """One more process, not started and in no list: `trunkline WORDS…` with this cluster's settings."""
        environment = self.environment | options.pop("environment", {})
        return Member(name, words, environment, self.logs, **options)

    def set_workers(self, **settings: str) -> None:
        """The workers begin anew, with these settings beside those that they have."""
        for worker in self.workers:
            worker.kill()
            worker.environment = {**worker.environment, **settings}
            worker.start()

    def run(self, *words: str) -> dict[str, Any]:
        """A command of the command line, with `--json`, to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "worker.cli", *words, "--json"],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    @contextmanager
    def database(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection of the test's own, past any proxy: for locks, and to look at who waits."""
        url = self.database_url.replace("postgresql+psycopg://", "postgresql://")
        with psycopg.connect(url, autocommit=True) as connection:
            yield connection

    @contextmanager
    def no_commits(self, table: str = "requests") -> Iterator[psycopg.Connection[Any]]:
        """While this is open no transaction can write the table: whoever comes to it waits, with the rest undone."""
        with self.database() as connection, connection.transaction():
            connection.execute(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")
            yield connection

    def set_up(self) -> None:
        """A key for the API, and the sandbox's requester as the endpoint for all results."""
        key = self.run("keys", "create", "--name", "chaos", "--scopes", "submit,read,operate,admin")["key"]
        secret = self.run("endpoints", "create", "--name", "crm", "--url", self.requester.url)["secret"]
        own = [key, secret.removeprefix("whsec_"), self.environment["TRUNKLINE_SECRET_KEY"]]
        self.canaries = [*own, PASSWORD, TELMETRICS_TOKEN, MESSAGEMEDIA_SECRET]
        self._secret = secret
        self.api = httpx.Client(base_url=self.url, timeout=60, headers={"Authorization": f"Bearer {key}"})

    def reset_sandbox(self, script: Mapping[str, Any]) -> None:
        """Empty books, and this script. What was bought is for sale again, so nothing of ours may be after it."""
        self.sandbox.reset(**script)
        if self.database_url.startswith("postgresql"):
            with self.database() as connection:
                connection.execute("DELETE FROM reservations")
        self.requester.set_up(self._secret)

    def hang_requester(self, seconds: float) -> None:
        """The requester takes results and keeps silent for so long before it answers; 0: it answers at once."""
        fail = {"status": 503, "hang_seconds": seconds} if seconds else None
        self.requester.set_up(self._secret, fail=fail)

    def stop(self) -> None:
        self.rest()
        self.api.close()


def environment_of(home: Path, sandbox: SandboxServer, url: str) -> dict[str, str]:
    """The settings of processes that have their home here, this sandbox for upstreams, and a receiver at `url`."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TRUNKLINE_")}
    return clean | QUICK | {
        "TRUNKLINE_HOME": str(home),
        "TRUNKLINE_SECRET_KEY": secrets.token_urlsafe(32),
        "TRUNKLINE_PUBLIC_URL": url,
        "TRUNKLINE_AVANSER_URL": sandbox.avanser_url,
        "TRUNKLINE_AVANSER_USERNAME": USERNAME,
        "TRUNKLINE_AVANSER_PASSWORD": PASSWORD,
        "TRUNKLINE_AVANSER_ACCOUNT_ID": ACCOUNT,
        "TRUNKLINE_TELMETRICS_URL": sandbox.telmetrics_url,
        "TRUNKLINE_TELMETRICS_TOKEN": TELMETRICS_TOKEN,
        "TRUNKLINE_MESSAGEMEDIA_URL": sandbox.messagemedia_url,
        "TRUNKLINE_MESSAGEMEDIA_KEY": MESSAGEMEDIA_KEY,
        "TRUNKLINE_MESSAGEMEDIA_SECRET": MESSAGEMEDIA_SECRET,
        "TRUNKLINE_ALLOW_PRIVATE_DESTINATIONS": "true",
    }  # fmt: skip


@contextmanager
def running(
    folder: Path,
    sandbox: SandboxServer,
    database_url: str,
    broker_url: str,
    *,
    workers: int = 2,
    children: int = 2,
    relays: int = 1,
    queues: Sequence[str] = (),
    **settings: str,
) -> Iterator[Cluster]:
    """A cluster on these servers, ready; all of its processes are killed at the end. `settings` win over `QUICK`."""
    upgrade(database_url)
    (folder / "logs").mkdir(parents=True)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    servers = {"TRUNKLINE_DATABASE_URL": database_url, "TRUNKLINE_BROKER_URL": broker_url}
    environment = environment_of(folder / "home", sandbox, url) | servers | settings
    cluster = Cluster(folder, database_url, sandbox, environment, url)
    listening = ["--queues", ",".join(queues)] if queues else []
    cluster.receivers = [cluster.add("receiver", "receiver", "--port", str(port))]
    cluster.workers = [
        cluster.add(f"worker-{n}", "worker", "--concurrency", str(children), *listening) for n in range(workers)
    ]
    cluster.relays = [cluster.add(f"relay-{n}", "relay") for n in range(relays)]
    cluster.set_up()
    try:
        cluster.heal()
        yield cluster
    finally:
        cluster.stop()


@contextmanager
def embedded(home: Path, sandbox: SandboxServer, logs: Path) -> Iterator[Cluster]:
    """`trunkline up` on this home, ready: SQLite and the embedded broker. What `up` itself says goes to `logs`; what
    its processes say is in its home."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    database_url = f"sqlite:///{home / 'trunkline.db'}"
    home.mkdir()
    upgrade(database_url)
    cluster = Cluster(home, database_url, sandbox, environment_of(home, sandbox, url), url)
    up = Member("up", ["up", "--port", str(port), "--workers", "2"], cluster.environment, logs)
    cluster.receivers = [up]
    cluster.set_up()
    try:
        cluster.heal()
        yield cluster
    finally:
        up.stop()
        cluster.stop()
