"""A Redis for tests, and the embedded broker, which is a Valkey."""

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.services.server import Program, Server, ServiceMissing, own_folder, running
from worker.embedded import BrokerMissing, EmbeddedBroker

_DATA = "appendonlydir"


@contextlib.contextmanager
def redis_server(*, durable: bool = False) -> Iterator[Server]:
    """A Redis of this machine or, where it has none, the Valkey that the embedded broker is made of.

    One that is `durable` writes each change to disk before it answers and has it after a `kill`; any other comes
    back empty. Raises ServiceMissing where there is neither, and with CI set also where there is no Redis of the
    machine: CI is to see the real one beside the embedded one.
    """
    with own_folder() as folder:
        binary = _binary(folder)
        password = secrets.token_hex(16)

        def command(port: int) -> list[str]:
            options = {"port": str(port), "bind": "127.0.0.1", "requirepass": password, "dir": str(folder)}
            options |= {"save": "", "maxmemory-policy": "noeviction", "appenddirname": _DATA}
            options |= {"appendonly": "yes", "appendfsync": "always"} if durable else {"appendonly": "no"}
            return [binary, *(word for name, value in options.items() for word in (f"--{name}", value))]

        def url(port: int) -> str:
            return f"redis://:{password}@127.0.0.1:{port}/0"

        program = Program(command, url, lambda port: _answers(url(port)), folder, data=[_DATA])
        with running(Server, program) as server:
            yield server


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
    with redis.Redis.from_url(url, socket_timeout=2, retry=Retry(NoBackoff(), 0)) as client:
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
