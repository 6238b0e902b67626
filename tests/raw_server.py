"""A TCP server whose every byte the test decides: for what no HTTP server would do on purpose."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

END_OF_HEAD = b"\r\n\r\n"


class Connection:
    """The server's end of one connection."""

    def __init__(self, server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server, self._reader, self._writer = server, reader, writer

    async def read_request(self) -> bytes:
        """One whole HTTP request, which the server counts; b"" when the client hung up instead."""
        try:
            head = await self._reader.readuntil(END_OF_HEAD)
        except asyncio.IncompleteReadError:
            return b""
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        request = head + await self._reader.readexactly(length)
        self._server.requests.append(request)
        self._server.asked.set()
        return request

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self, body: bytes, status: str = "200 OK", *headers: str) -> None:
        """Announced whole, whatever of it is sent."""
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
        await self.send("\r\n".join(lines).encode() + END_OF_HEAD + body)

    def close(self) -> None:
        self._writer.close()

    def reset(self) -> None:
        """With a TCP RST, as a machine does that forgot the connection."""
        connection = self._writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def silence(self) -> None:
        await self._server.ended.wait()


Behaviour = Callable[[Connection], Awaitable[None]]


class RawServer:
    """Listens from `async with` to its end.

    `requests` are those that were read whole. `asked` is set at the first of them, `hung_up` when the server's end
    of a connection is closed, `ended` at the end.
    """

    def __init__(self, behave: Behaviour) -> None:
        self._behave = behave
        self.requests: list[bytes] = []
        self.connections = 0
        self.asked = asyncio.Event()
        self.hung_up = asyncio.Event()
        self.ended = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ended.set()
        self._server.close()
        await asyncio.gather(*self._running)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            await self._behave(Connection(self, reader, writer))
        except ConnectionError:
            pass  # the client hung up first
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            self.hung_up.set()
            self._running.discard(task)
