"""How many callbacks a second each production server takes: the real route, a real PostgreSQL, loopback.

    python -m tests.bench.receiver_servers [--seconds 8] [--connections 32] [--processes 1]

gunicorn and waitress are no dependencies of Trunkline; one that is not installed is left out.
"""

import argparse
import asyncio
import importlib.util
import itertools
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import urlopen
from uuid import uuid4

import sqlalchemy as sa
from pydantic import SecretStr

from models.base import make_engine, read
from models.inbox import Purpose, Received
from models.migrations import upgrade
from tests import services
from worker.signing import Tokens

PORT = 18_765
START_DEADLINE = 15.0  # seconds
WARM_UP = 1.0  # seconds

BODY = (
    b'{"account_id":"7xxx","request_id":"a852650a-0000-11e8-%012x","custom_id":"","custom_group":"",'
    b'"service_number":"61280740801","answer_point":"61132307","message":"","status":"completed"}'
)


def commands(processes: int, threads: int) -> dict[str, list[str]]:
    here = [sys.executable, "-m"]
    factory = "webhook_receiver.server:application"
    return {
        "granian": [
            *here, "granian", "--interface", "wsgi", "--factory", "--host", "127.0.0.1", "--port", str(PORT),
            "--workers", str(processes), "--blocking-threads", str(threads), "--backlog", "2048",
            "--http", "1", "--no-ws", "--log-level", "error", factory,
        ],
        "gunicorn": [
            *here, "gunicorn", "--worker-class", "gthread", "--workers", str(processes), "--threads", str(threads),
            "--bind", f"127.0.0.1:{PORT}", "--keep-alive", "30", "--log-level", "error", f"{factory}()",
        ],
        "waitress": [
            *here, "waitress", f"--listen=127.0.0.1:{PORT}", f"--threads={threads}", "--call", factory,
        ],
    }  # fmt: skip


class Client(asyncio.Protocol):
    """One kept connection: sends a callback, waits for its 200, sends the next."""

    def __init__(self, path: bytes, numbers: Iterator[int], latencies: list[float], until: float) -> None:
        self._head = b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        self._numbers, self._latencies, self._until = numbers, latencies, until
        self.done = asyncio.get_running_loop().create_future()
        self.wrong = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def _send(self) -> None:
        body = BODY % next(self._numbers)
        self._began = time.perf_counter()
        self._transport.write(self._head + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        self.wrong += not data.startswith(b"HTTP/1.1 200")
        self._latencies.append(now - self._began)
        if now < self._until:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(exc)


async def load(path: bytes, connections: int, seconds: float) -> tuple[list[float], int]:
    loop = asyncio.get_running_loop()
    numbers, latencies = itertools.count(secrets.randbits(40)), list[float]()
    until = time.perf_counter() + seconds
    clients = [Client(path, numbers, latencies, until) for _ in range(connections)]
    await asyncio.gather(*(loop.create_connection(lambda c=c: c, "127.0.0.1", PORT) for c in clients))  # type: ignore[misc]
    await asyncio.gather(*(client.done for client in clients))
    return latencies, sum(client.wrong for client in clients)


@contextmanager
def serving(command: Sequence[str], environment: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)
    try:
        give_up_at = time.monotonic() + START_DEADLINE
        while not answers():
            if time.monotonic() > give_up_at or process.poll() is not None:
                raise RuntimeError(f"it does not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.1)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def answers() -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{PORT}/healthz", timeout=1):
            return True
    except OSError:
        return False


def measure(name: str, command: Sequence[str], server: services.Postgres, arguments: argparse.Namespace) -> str:
    server.execute(f"CREATE DATABASE bench_{name}")
    url = server.database_url(f"bench_{name}")
    upgrade(url)
    secret = secrets.token_urlsafe(32)
    path = f"/callbacks/avanser/{Tokens([SecretStr(secret)]).make('avanser', Purpose.CALLBACK, uuid4())}".encode()
    with TemporaryDirectory() as home:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TRUNKLINE_")}
        environment |= {"TRUNKLINE_HOME": home, "TRUNKLINE_DATABASE_URL": url, "TRUNKLINE_SECRET_KEY": secret}
        environment |= {"TRUNKLINE_BROKER_URL": "redis://127.0.0.1:1/0"}
        with serving(command, environment, Path(home) / "log"):
            asyncio.run(load(path, arguments.connections, WARM_UP))
            latencies, wrong = asyncio.run(load(path, arguments.connections, arguments.seconds))
    engine = make_engine(url)
    kept = read(engine, lambda session: session.scalar(sa.select(sa.func.count()).select_from(Received)))
    engine.dispose()
    latencies.sort()
    middle, late = latencies[len(latencies) // 2], latencies[int(len(latencies) * 0.99)]
    rate = len(latencies) / arguments.seconds
    return (
        f"{name:<10} {rate:7.0f}/s   median {middle * 1000:5.1f} ms   p99 {late * 1000:6.1f} ms"
        f"   not 200: {wrong}   rows kept in all: {kept}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("servers", nargs="*")
    arguments = parser.parse_args()
    with services.postgres() as server:
        for name, command in commands(arguments.processes, arguments.threads).items():
            if arguments.servers and name not in arguments.servers:
                continue
            if importlib.util.find_spec(name) is None:
                sys.stdout.write(f"{name:<10} is not installed\n")
                continue
            sys.stdout.write(measure(name, command, server, arguments) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
