"""A Redis for tests, and the embedded broker, which is a Valkey."""

import contextlib
import os
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.services.server import (
    POLL,
    START_DEADLINE,
    Place,
    Program,
    Server,
    ServiceMissing,
    address_of,
    own_folder,
    running,
)
from worker.embedded import BrokerMissing, EmbeddedBroker

_DATA = "appendonlydir"


@contextlib.contextmanager
def redis_server(*, durable: bool = False, password: str | None = None, place: Place | None = None) -> Iterator[Server]:
    """A Redis of this machine or, where it has none, the Valkey that the embedded broker is made of.

    One that is `durable` writes each change to disk before it answers and has it after a `kill`; any other comes
    back empty. Raises ServiceMissing where there is neither, and with CI set also where there is no Redis of the
    machine: CI is to see the real one beside the embedded one.
    """
    with own_folder() as folder:
        binary = _binary(folder)
        secret, address = password or secrets.token_hex(16), address_of(place)

        def command(port: int) -> list[str]:
            options = {"port": str(port), "bind": address, "requirepass": secret, "dir": str(folder)}
            options |= {"masterauth": secret}
            options |= {"save": "", "maxmemory-policy": "noeviction", "appenddirname": _DATA}
            options |= {"appendonly": "yes", "appendfsync": "always"} if durable else {"appendonly": "no"}
            return [binary, *(word for name, value in options.items() for word in (f"--{name}", value))]

        def url(port: int) -> str:
            return f"redis://:{secret}@{address}:{port}/0"

        program = Program(command, url, lambda port: _answers(url(port)), folder, data=[_DATA], place=place)
        with running(Server, program) as server:
            yield server


class Watched:
    """A master, a replica, and the three Sentinels that make the replica the master where the master is away."""

    NAME = "calls"

    def __init__(self, servers: list[Server], sentinels: list[Server], password: str) -> None:
        self.servers, self.sentinels, self.password = servers, sentinels, password

    @property
    def url(self) -> str:
        """For `TRUNKLINE_BROKER_URL`; the name of the master is `NAME`, and the Sentinels have the same password."""
        return ";".join(f"sentinel://:{self.password}@{one.address}:{one.port}/0" for one in self.sentinels)

    @property
    def settings(self) -> dict[str, str]:
        return {"TRUNKLINE_SENTINEL_MASTER": self.NAME, "TRUNKLINE_SENTINEL_PASSWORD": self.password}

    def master(self) -> Server:
        """The one that most of the Sentinels name."""
        named = Counter(where for one in self.sentinels if (where := _named(one.url, self.NAME)) is not None)
        ((where, _),) = named.most_common(1)
        (found,) = (one for one in self.servers if (one.address, one.port) == where)
        return found

    def replica(self) -> Server:
        (found,) = (one for one in self.servers if one is not self.master())
        return found

    def is_whole(self) -> bool:
        """Whether the master has its replica, and each Sentinel knows of both and of the two others."""
        try:
            with _client(self.master().url) as client:
                if client.info("replication").get("connected_slaves") != 1:
                    return False
            states = [_state(one.url, self.NAME) for one in self.sentinels]
        except (redis.RedisError, ValueError):
            return False
        return all(
            state["num-slaves"] == 1 and state["num-other-sentinels"] == 2 and state["flags"] == "master"
            for state in states
        )


@contextlib.contextmanager
def watched_redis(places: Sequence[Place | None] = (None,) * 3) -> Iterator[Watched]:
    """A master that answers, with its replica and three Sentinels. One that is silent for a second is replaced.

    Of three `places` master and replica stand at the first two. Raises ServiceMissing.
    """
    password = secrets.token_hex(16)
    with contextlib.ExitStack() as stack:
        master, replica = (stack.enter_context(redis_server(password=password, place=place)) for place in places[:2])
        with _client(replica.url) as client:
            client.replicaof(master.address, str(master.port))
        sentinels = [stack.enter_context(_sentinel(master, password, place)) for place in places]
        found = Watched([master, replica], sentinels, password)
        give_up_at = time.monotonic() + START_DEADLINE
        while not found.is_whole():
            if time.monotonic() > give_up_at:
                raise RuntimeError("the Sentinels do not find each other")
            time.sleep(POLL)
        yield found


@contextlib.contextmanager
def _sentinel(watched: Server, password: str, place: Place | None) -> Iterator[Server]:
    with own_folder() as folder:
        binary, name, address = _binary(folder), Watched.NAME, address_of(place)

        def command(port: int) -> list[str]:
            lines = [f"port {port}", f"bind {address}", f"dir {folder}", f"requirepass {password}"]
            lines += [
                f"sentinel sentinel-pass {password}",
                f"sentinel monitor {name} {watched.address} {watched.port} 2",
            ]
            lines += [f"sentinel auth-pass {name} {password}", f"sentinel down-after-milliseconds {name} 1000"]
            lines += [f"sentinel failover-timeout {name} 5000"]
            (folder / "sentinel.conf").write_text("\n".join(lines))
            return [binary, str(folder / "sentinel.conf"), "--sentinel"]

        def url(port: int) -> str:
            return f"redis://:{password}@{address}:{port}"

        program = Program(command, url, lambda port: _answers(url(port)), folder, place=place)
        with running(Server, program) as server:
            yield server


def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=2, retry=Retry(NoBackoff(), 0))


def _named(url: str, name: str) -> tuple[str, int] | None:
    """Address and port of the master that this Sentinel names; None where it does not answer."""
    with _client(url) as client:
        try:
            host_and_port: Any = client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name)
        except redis.RedisError:
            return None
    host, port = host_and_port
    return host.decode(), int(port)


def _state(url: str, name: str) -> dict[str, Any]:
    with _client(url) as client:
        found: dict[str, Any] = client.sentinel_master(name)
    return found


@contextlib.contextmanager
def embedded_broker(folder: Path) -> Iterator[EmbeddedBroker]:
    """The embedded broker as `trunkline up` starts it, with its data in `folder`."""
    broker = EmbeddedBroker(folder)
    try:
        command = broker.command()
    except BrokerMissing as missing:
        raise ServiceMissing(str(missing)) from missing
    program = Program(lambda _: command, lambda _: broker.redis_url, lambda _: broker.is_ready(), folder)
    with running(Server, program):
        yield broker


def _answers(url: str) -> bool:
    with _client(url) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False


def _binary(folder: Path) -> str:
    on_path = shutil.which("redis-server") or shutil.which("valkey-server")
    if on_path:
        return on_path
    if os.environ.get("CI"):
        raise ServiceMissing("no redis-server: install Debian's redis-server")
    try:
        return EmbeddedBroker(folder).command()[0]
    except BrokerMissing as missing:
        raise ServiceMissing(f"no redis-server on the PATH, and {missing}") from missing
