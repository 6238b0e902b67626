"""A load of callbacks from a process of its own, so cheap that it is not what is measured.

    python -m tests.bench.load PORT FILE --connections 32 --warm-up 1 --seconds 8

posts to the paths in FILE, one a line, in turn and over kept connections, and says as JSON what came of it.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench.peers.peer import ROOT
from tests.bench.row import percentile

BODY = (
    b'{"account_id":"7xxx","request_id":"a852650a-0000-11e8-%012x","custom_id":"","custom_group":"",'
    b'"service_number":"61280740801","answer_point":"61132307","message":"","status":"completed"}'
)
"""Each is another, so that none is known already."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back. The warm-up counts in `total` and `wrong` alone."""

    total: int  # callbacks that were answered
    wrong: int  # otherwise than by 200
    rate: float  # callbacks a second
    middle: float  # seconds, until the answer
    late: float  # seconds, the 99th percentile
    cpu: float  # seconds a second, that the load itself took


def load(port: int, paths: Path, *, connections: int, seconds: float, warm_up: float = 1.0) -> Answered:
    """Put a load on this port of this machine."""
    words = [str(port), str(paths), f"--connections={connections}", f"--seconds={seconds}", f"--warm-up={warm_up}"]
    command = [sys.executable, "-m", "tests.bench.load", *words]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return Answered(**json.loads(done.stdout))


class Run:
    """One load, and what its connections share."""

    def __init__(self, paths: Sequence[str], warm_up: float, seconds: float) -> None:
        self._heads = itertools.cycle([_head(path) for path in paths])
        self._numbers: Iterator[int] = itertools.count(secrets.randbits(40))
        self.counts_from = time.perf_counter() + warm_up
        self.until = self.counts_from + seconds
        self.latencies: list[float] = []
        self.total = self.wrong = 0

    def next(self) -> bytes:
        body = BODY % next(self._numbers)
        return b"%bContent-Length: %d\r\n\r\n%b" % (next(self._heads), len(body), body)


class Connection(asyncio.Protocol):
    """Sends a callback, waits for its 200, sends the next."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._began = time.perf_counter()
        self._transport.write(self._run.next())

    def data_received(self, data: bytes) -> None:
        """An answer; it has no body, so that it comes in one piece."""
        now, run = time.perf_counter(), self._run
        run.total += 1
        run.wrong += not data.startswith(b"HTTP/1.1 200")
        if run.counts_from <= now < run.until:
            run.latencies.append(now - self._began)
        if now < run.until:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


def _head(path: str) -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" % path.encode()


async def _loaded(port: int, paths: Sequence[str], connections: int, warm_up: float, seconds: float) -> Answered:
    loop, run = asyncio.get_running_loop(), Run(paths, warm_up, seconds)
    clients = [Connection(run) for _ in range(connections)]
    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(loop.create_connection(lambda c=c: c, "127.0.0.1", port) for c in clients))  # type: ignore[misc]
    await asyncio.gather(*(client.done for client in clients))
    cpu, elapsed = time.process_time() - cpu, time.perf_counter() - began
    return Answered(
        total=run.total,
        wrong=run.wrong,
        rate=len(run.latencies) / seconds,
        middle=percentile(run.latencies, 0.5),
        late=percentile(run.latencies, 0.99),
        cpu=cpu / elapsed,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("paths", type=Path, metavar="FILE")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--warm-up", type=float, default=1)
    parser.add_argument("--seconds", type=float, default=8)
    asked = parser.parse_args()
    paths = asked.paths.read_text().splitlines()
    answered = asyncio.run(_loaded(asked.port, paths, asked.connections, asked.warm_up, asked.seconds))
    sys.stdout.write(json.dumps(asdict(answered)) + "\n")


if __name__ == "__main__":
    main()
