"""A plain HTTP server that keeps what it is sent, in the place of whoever an upstream reports to."""

from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True)
class Caught:
    method: str
    path: str  # with the query, as it stood on the wire
    headers: dict[str, str]
    body: bytes


class Catcher:
    """Answers every GET and POST with the next of `statuses`, the last one for ever; with these headers and body."""

    def __init__(self, *statuses: int) -> None:
        self.caught: list[Caught] = []
        self.before_answer: Callable[[], object] = lambda: None
        self.headers: dict[str, str] = {}
        self.body = b""
        self._statuses = list(statuses) or [204]
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take(self, caught: Caught) -> int:
        self.caught.append(caught)
        self.before_answer()
        return self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0]


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # of connections at once; with the usual 5 some would wait a second for their second try


def _handler(catcher: Catcher) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _take(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status = catcher.take(Caught(self.command, self.path, dict(self.headers), body))
            self.send_response(status)
            for name, value in catcher.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(catcher.body)))
            if 300 <= status < 400:
                self.send_header("Location", f"{catcher.url}/elsewhere")
            self.end_headers()
            self.wfile.write(catcher.body)

        do_GET = do_POST = _take  # noqa: N815  # the names that http.server looks for

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    return Handler
