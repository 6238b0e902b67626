"""Callbacks beside 500 clients that send one byte a second: straight at the receiver, and with nginx in front.

    python -m tests.bench.slow_clients [--nginx] [--clients 500] [--seconds 8]

The slow ones are of three kinds: headers; a body under a token that is none; a body under a good token. Each run is a
receiver of its own on SQLite; the quick callbacks come over 4 connections.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import subprocess
import sys
import tempfile
from pathlib import Path

from models.migrations import upgrade
from tests.bench.callbacks import callback_paths
from tests.bench.load import load
from tests.factory import SECRET_KEY
from tests.integration.test_receiver_process import HOST, serving
from tests.services.nginx import in_front

CONNECTIONS = 4
KINDS = ("nobody", "headers", "body, no token", "body, good token")
FORGED = "/callbacks/avanser/" + "A" * 50


def _opening(kind: str, path: str) -> bytes:
    """What a slow client sends at once. It then sends one byte a second, of the same part."""
    if kind == "headers":
        return f"POST {path} HTTP/1.1\r\nHost: x\r\nX-Slow: ".encode()
    target = FORGED if kind == "body, no token" else path
    return f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n".encode()


async def _slow(port: int, kind: str, path: str) -> None:
    """Comes back as often as it is sent away."""
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(HOST, port)
            with contextlib.closing(writer):
                writer.write(_opening(kind, path))
                while not writer.is_closing():
                    await writer.drain()
                    await asyncio.sleep(1)
                    writer.write(b"x")
        await asyncio.sleep(1)


async def _measure(port: int, paths: Path, path: str, kind: str, clients: int, seconds: float) -> str:
    slow = [asyncio.create_task(_slow(port, kind, path)) for _ in range(clients if kind != "nobody" else 0)]
    await asyncio.sleep(2)
    work = asyncio.to_thread(load, port, paths, connections=CONNECTIONS, seconds=seconds)
    try:
        done = await asyncio.wait_for(work, seconds + 30)
        times = f"median {done.middle * 1000:7.1f} ms  p99 {done.late * 1000:8.1f} ms"
        said = f"{done.rate:6.0f}/s  {times}  {done.wrong} wrong"
    except (TimeoutError, subprocess.CalledProcessError):
        said = "no callback was answered"
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)
    return said


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--nginx", action="store_true")
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=8)
    given = parser.parse_args()
    for front in ("straight", "nginx") if given.nginx else ("straight",):
        for kind in KINDS:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                url, paths = f"sqlite:///{folder}/bench.sqlite", folder / "paths"
                upgrade(url)
                all_paths = callback_paths(SECRET_KEY)
                paths.write_text("\n".join(all_paths))
                with serving(url, folder) as server, contextlib.ExitStack() as stack:
                    port = server.port
                    if front == "nginx":
                        port = stack.enter_context(in_front(port, folder))
                    said = asyncio.run(_measure(port, paths, all_paths[0], kind, given.clients, given.seconds))
                    sys.stdout.write(f"{front:9} {kind:17} {said}\n")
                    sys.stdout.flush()


if __name__ == "__main__":
    main()
