"""A proxy that reads along on the way to a server, and lets a certain word not pass."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"
AT_ONCE = 64 * 1024  # bytes

OnSight = Callable[[int], None]
"""Is told the client's port when the word was seen; the connection ends there."""


class Tripwire:
    """From `with` to its end it listens on `port`."""

    def __init__(self, target_port: int, pattern: re.Pattern[bytes], on_sight: OnSight) -> None:
        self._target_port, self._pattern, self._on_sight = target_port, pattern, on_sight
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tripwire", daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._serve, HOST, 0, backlog=1_000)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _end(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            from_server, to_server = await asyncio.open_connection(HOST, self._target_port)
            try:
                port = writer.get_extra_info("peername")[1]
                await asyncio.gather(self._pump(reader, to_server, port), self._pump(from_server, writer, None))
            finally:
                to_server.transport.abort()
        except OSError:
            pass
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int | None) -> None:
        """From the client where its `port` is given."""
        with suppress(OSError):
            while data := await reader.read(AT_ONCE):
                if port is not None and self._pattern.search(data):
                    self._on_sight(port)
                    break
                writer.write(data)
                await writer.drain()
        writer.close()


def who_holds(port: int, among: Sequence[int]) -> int | None:
    """Which of these processes has the connection whose own end is this port, on Linux; None where it has gone."""
    inode = _inode_of(port)
    for pid in among:
        with suppress(OSError):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):
                    if str(descriptor.readlink()) == f"socket:[{inode}]":
                        return pid
    return None


def _inode_of(port: int) -> str | None:
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].rpartition(":")[2], 16) == port and fields[9] != "0":
            return fields[9]
    return None
