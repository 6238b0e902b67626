"""The servers that all contenders share, one after the other: PostgreSQL, Redis, the simulated telcos."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import redis

from tests import services
from tests.bench.peers.peer import Peer
from tests.sandbox import SandboxServer

OUT = Path(".bench")
"""The folder of all that a run leaves."""

WEATHER: dict[str, Any] = {"latency_ms": {"min": 300, "max": 300}, "callback": {"delay": 1.0, "jitter": 0.0}}
"""The upstream answers after 300 ms and calls back after a second."""


Kind = TypeVar("Kind", bound=Peer)

SERVERS = ("postgresql", "redis", "sandbox")


@dataclass(frozen=True)
class Stage:
    postgres: services.Postgres
    redis: services.Server
    sandbox: SandboxServer
    pictures: Path  # a folder, for what a part draws itself
    _numbers: Iterator[int] = field(default_factory=count, init=False)

    @contextmanager
    def play(self, kind: type[Kind], **settings: Any) -> Iterator[Kind]:
        """A contender's processes on an empty database, an empty Redis and a sandbox with empty books."""
        name = f"bench_{next(self._numbers)}"
        self.postgres.execute(f"CREATE DATABASE {name}")
        with redis.Redis.from_url(self.redis.url) as client:
            client.flushall()
        self.sandbox.reset(**WEATHER)
        with TemporaryDirectory(prefix="trunkline-bench-") as folder:
            database_url = self.postgres.database_url(name)
            with kind(Path(folder), self.sandbox, database_url, self.redis.url, **settings) as peer:
                yield peer
        self.postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")

    @property
    def roles(self) -> dict[str, int]:
        """The processes of the servers, by what they are."""
        pids = (self.postgres.process.pid, self.redis.process.pid, self.sandbox.pid)
        return dict(zip(SERVERS, pids, strict=True))


@contextmanager
def stage(pictures: Path = OUT) -> Iterator[Stage]:
    with services.postgres() as postgres, services.redis_server() as redis_server, SandboxServer() as sandbox:
        yield Stage(postgres, redis_server, sandbox, pictures)
