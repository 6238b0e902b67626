"""A TCP proxy between our processes and a server, in a thread of its own, that tests break the connections with.

    with Proxy(server.port) as proxy:
        engine = make_engine(proxy.url(server.url))
        proxy.cut_after_commit(5)

All calls return when they have taken effect. It knows only so much of PostgreSQL's protocol as tells a commit.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from enum import Enum
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")

HOST = "127.0.0.1"
AT_ONCE = 64 * 1024  # bytes
TAKES_EFFECT = 10.0  # seconds

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: closing drops what is not sent and sends RST."""


class Direction(Enum):
    TO_SERVER = "to server"
    TO_CLIENT = "to client"


BOTH = (Direction.TO_SERVER, Direction.TO_CLIENT)


class Proxy:
    """From `with` to its end it listens on `port`. Chance is seeded: the same commits in the same order are cut."""

    def __init__(self, target_port: int, *, seed: int = 1) -> None:
        self._target_port = target_port
        self._random = random.Random(seed)
        self._reservation = _bound(0)  # keeps the port ours while we refuse
        self.port: int = self._reservation.getsockname()[1]
        self._listener: asyncio.Server | None = None
        self._pairs: set[_Pair] = set()
        self._open: dict[Direction, asyncio.Event] = {}
        self._cuts_left, self._share = 0, 1.0
        self._cuts = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._begin())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._reservation.close()

    def url(self, of: str) -> str:
        """The URL of the server, by way of this proxy. Encryption must be off: what is encrypted passes unread."""
        parts = urlsplit(of)
        return of.replace(parts.netloc, f"{parts.netloc.rpartition(':')[0]}:{self.port}", 1)

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._pairs)

    @property
    def cuts(self) -> int:
        """How many commits nobody has heard of, since the beginning."""
        return self._cuts

    def cut(self) -> int:
        """Reset all connections, on both sides; returns how many. New ones are let in."""
        return self._do(self._cut())

    def refuse(self) -> None:
        """New connections are refused, as by a machine where nothing listens; those that are open go on."""
        self._do(self._refuse())

    def accept(self) -> None:
        """The end of `refuse`."""
        self._do(self._accept())

    def hold(self, *directions: Direction) -> None:
        """Bytes in this direction (without one: in both) go no further; connections stay open, new ones come in."""
        self._do(self._gate(asyncio.Event.clear, directions or BOTH))

    def release(self, *directions: Direction) -> None:
        """The end of `hold`: what was held back arrives."""
        self._do(self._gate(asyncio.Event.set, directions or BOTH))

    def cut_after_commit(self, count: int, share: float = 1.0) -> None:
        """PostgreSQL commits, and before the client hears of it its connection is reset: so for the next `count`
        transactions that wrote a row, each of those that come with the probability `share`. 0 ends it.
        """
        self._do(self._set_cuts(count, share))

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(TAKES_EFFECT)

    async def _begin(self) -> None:
        self._open = {direction: asyncio.Event() for direction in Direction}
        await self._gate(asyncio.Event.set, BOTH)
        await self._accept()

    async def _end(self) -> None:
        await self._refuse()
        await self._cut()

    async def _accept(self) -> None:
        if self._listener is None:
            self._listener = await asyncio.start_server(self._serve, sock=_bound(self.port), backlog=1_000)

    async def _refuse(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def _cut(self) -> int:
        tasks = [pair.task for pair in self._pairs]
        for pair in self._pairs:
            pair.reset()
            pair.task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return len(tasks)

    async def _gate(self, change: Callable[[asyncio.Event], None], directions: tuple[Direction, ...]) -> None:
        for direction in directions:
            change(self._open[direction])

    async def _set_cuts(self, count: int, share: float) -> None:
        self._cuts_left, self._share = count, share

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await asyncio.open_connection(HOST, self._target_port)
        except OSError:  # nobody listens there, and we have accepted already
            _reset(writer)
            return
        task = asyncio.current_task()
        assert task is not None
        pair = _Pair(task, writer, server_writer)
        self._pairs.add(pair)
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(reader, server_writer, Direction.TO_SERVER))
                pumps.create_task(self._pump(server_reader, writer, Direction.TO_CLIENT, _Commits()))
            await pair.close()
        except* (OSError, _Unheard):
            pass
        finally:
            pair.reset()
            self._pairs.discard(pair)

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        direction: Direction,
        commits: _Commits | None = None,
    ) -> None:
        while data := await reader.read(AT_ONCE):
            if commits is not None:
                for _ in range(commits.in_(data)):
                    self._perhaps_cut()
            await self._open[direction].wait()
            writer.write(data)
            await writer.drain()
        await self._open[direction].wait()
        with suppress(OSError):  # the other side has gone altogether
            writer.write_eof()

    def _perhaps_cut(self) -> None:
        if self._cuts_left and self._random.random() < self._share:
            self._cuts_left -= 1
            self._cuts += 1
            raise _Unheard


class _Unheard(Exception):
    """A commit of which the client is not to hear."""


class _Pair:
    """One connection: the client's half, the server's, and the task that joins them."""

    def __init__(self, task: asyncio.Task[Any], *writers: asyncio.StreamWriter) -> None:
        self.task, self._writers = task, writers

    async def close(self) -> None:
        """Both sides have said all: let what is on its way arrive."""
        for writer in self._writers:
            writer.close()
        for writer in self._writers:
            await writer.wait_closed()

    def reset(self) -> None:
        for writer in self._writers:
            _reset(writer)


def _reset(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):  # closed already
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


def _bound(port: int) -> socket.socket:
    """A socket on this port that does not listen: whoever connects to it is refused."""
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind((HOST, port))
    return found


class _Commits:
    """Reads what PostgreSQL sends on one connection, as far as tells which transactions wrote and were committed.

    Messages are a letter, a length that includes itself, and a body; `C` is CommandComplete and its body a tag:
    `INSERT 0 1`, `COMMIT`; `Z` is ReadyForQuery, and `I` there means in no transaction (PostgreSQL's documentation,
    "Message Formats").
    """

    def __init__(self) -> None:
        self._unread = b""
        self._is_greeted = False
        self._has_written = False

    def in_(self, data: bytes) -> int:
        """How many such transactions these bytes tell of."""
        self._unread += data
        commits = 0
        while (message := self._message()) is not None:
            kind, body = message
            if kind == b"C":
                commits += self._complete(body.rstrip(b"\0").split())
            elif kind == b"Z" and body == b"I":
                commits += self._has_written  # a statement that was its own transaction
                self._has_written = False
        return commits

    def _message(self) -> tuple[bytes, bytes] | None:
        if not self._is_greeted and self._unread[:1] == b"N":  # the answer to a client that asked for encryption
            self._unread = self._unread[1:]
        if len(self._unread) < 5:
            return None
        self._is_greeted = True
        end = 1 + int.from_bytes(self._unread[1:5], "big")
        if len(self._unread) < end:
            return None
        kind, body, self._unread = self._unread[:1], self._unread[5:end], self._unread[end:]
        return kind, body

    def _complete(self, tag: list[bytes]) -> bool:
        """Takes one tag; whether it is the commit of a transaction that wrote."""
        match tag:
            case [b"INSERT" | b"UPDATE" | b"DELETE" | b"MERGE" | b"COPY", *_, count] if count != b"0":
                self._has_written = True
            case [b"COMMIT" | b"ROLLBACK" | b"BEGIN"]:
                wrote, self._has_written = self._has_written, False
                return wrote and tag == [b"COMMIT"]
        return False
