"""Starts the sandbox as a process of its own and asks it what happened."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from time import monotonic, sleep
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

USERNAME, PASSWORD = "tapi_access", "o7ahoWPITFz4Jxf"
# The sample token of AVANSER's page, as it stands there.
TOKEN = "dGFwaV9hY2Nlc3M6bzdhaG9XUElURno0Snhm"
ACCOUNT = "7xxx"
TELMETRICS_TOKEN = "sandbox-organization-token"
MESSAGEMEDIA_KEY, MESSAGEMEDIA_SECRET = "thisisakey", "thisisasecretformmbasicauthrestapi"

_START = 15.0  # seconds
_READY = "sandbox ready "

T = TypeVar("T")


@dataclass(frozen=True)
class RequesterView:
    """One requester of the sandbox: where to send results, and what reached it."""

    url: str
    _client: httpx.Client
    _name: str

    def set_up(self, *secrets: str, fail: dict[str, Any] | None = None) -> None:
        answer = self._client.put(f"/_sandbox/requester/{self._name}", json={"secrets": secrets, "fail": fail})
        answer.raise_for_status()

    def counts(self) -> dict[str, Any]:
        return _read(self._client.get(f"/_sandbox/requester/{self._name}"))

    def results(self, since: int = 0) -> list[dict[str, Any]]:
        """In the order in which they first came, from the `since`-th on."""
        return list(_pages(self._client, f"/_sandbox/requester/{self._name}/results", {"since": since}))


class SandboxServer:
    """The sandbox, from `with` to its end, on a free port (or `port`). `kill()` and `start()` try its memory."""

    def __init__(
        self,
        *options: str,
        ledger: Path | None = None,
        seed: int = 1,
        port: int = 0,
        script: dict[str, Any] | None = None,
    ) -> None:
        self._options, self._ledger, self._seed, self._port, self._script = options, ledger, seed, port, script
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        self.start()
        if self._script is not None:
            self.script(**self._script)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def avanser_url(self) -> str:
        return f"{self.url}/avanser/v1"

    @property
    def telmetrics_url(self) -> str:
        return f"{self.url}/telmetrics/v3/api"

    @property
    def messagemedia_url(self) -> str:
        return f"{self.url}/messagemedia/v1/messaging/numbers/dedicated"

    def start(self) -> None:
        """Starts the process and returns when it listens; a second start takes the port of the first."""
        command = [sys.executable, "-m", "worker.sandbox", "--port", str(self._port), "--seed", str(self._seed)]
        command += self._options
        if self._ledger is not None:
            command += ["--ledger", str(self._ledger)]
        root = Path(__file__).resolve().parents[1]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root)
        self.url = _first_line(self._process).removeprefix(_READY).strip()
        self._port = httpx.URL(self.url).port or 0
        self._client = httpx.Client(base_url=self.url, timeout=30)

    def stop(self) -> int:
        """Ends the process by SIGTERM and returns its exit status."""
        return self._end(subprocess.Popen.terminate)

    def kill(self) -> int:
        return self._end(subprocess.Popen.kill)

    def script(self, **fields: Any) -> dict[str, Any]:
        """Replaces the script; what is left out takes its default."""
        return _read(self._client.put("/_sandbox", json=fields))

    def reset(self, **script: Any) -> None:
        self._client.post("/_sandbox/reset", json=script).raise_for_status()

    def ledger(self, **where: Any) -> list[dict[str, Any]]:
        return list(_pages(self._client, "/_sandbox/ledger", where))

    def summary(self) -> dict[str, Any]:
        return _read(self._client.get("/_sandbox/ledger/summary"))

    def call(self, number: str, **details: Any) -> dict[str, Any]:
        return _read(self._client.post("/_sandbox/calls", json={"number": number, **details}))

    def message(self, number: str, **details: Any) -> dict[str, Any]:
        return _read(self._client.post("/_sandbox/messages", json={"number": number, **details}))

    def requester(self, name: str) -> RequesterView:
        return RequesterView(f"{self.url}/requester/{name}", self._client, name)

    @contextmanager
    def avanser(self, timeout: float = 10) -> Iterator[httpx.Client]:
        """A plain client of the simulated AVANSER, with the right credentials."""
        with httpx.Client(base_url=self.avanser_url, auth=(USERNAME, PASSWORD), timeout=timeout) as client:
            yield client

    @contextmanager
    def telmetrics(self, timeout: float = 10) -> Iterator[httpx.Client]:
        """A plain client of the simulated Telmetrics, with the right token."""
        headers = {"x-organization-token": TELMETRICS_TOKEN}
        with httpx.Client(base_url=self.telmetrics_url, headers=headers, timeout=timeout) as client:
            yield client

    @contextmanager
    def messagemedia(self, timeout: float = 10) -> Iterator[httpx.Client]:
        """A plain client of the simulated MessageMedia, with the right key."""
        auth = (MESSAGEMEDIA_KEY, MESSAGEMEDIA_SECRET)
        with httpx.Client(base_url=self.messagemedia_url, auth=auth, timeout=timeout) as client:
            yield client

    def portal(self, upstream: str, **addresses: str) -> None:
        """Enters where `upstream` reports `calls` and `messages`, as a customer does in the vendor's portal."""
        _read(self._client.put(f"/_sandbox/portal/{upstream}", json=addresses))

    def _end(self, how: Callable[["subprocess.Popen[str]"], None]) -> int:
        process = self._process
        if process is None:
            return 0
        self._client.close()
        how(process)
        status = process.wait(timeout=10)
        if process.stdout is not None:
            process.stdout.close()
        self._process = None
        return status


def eventually(look: Callable[[], T], within: float = 30.0) -> T:
    """What `look` returns, as soon as that is true; an AssertionError with the last answer after `within` seconds."""
    deadline = monotonic() + within
    while True:
        seen = look()
        if seen:
            return seen
        if monotonic() > deadline:
            raise AssertionError(f"still {seen!r} after {within} s")
        sleep(0.02)


def _first_line(process: "subprocess.Popen[str]") -> str:
    """The line that says where the sandbox listens, read in a thread so that a silent start ends too."""
    stdout = process.stdout
    assert stdout is not None
    lines: Queue[str] = Queue()
    Thread(target=lambda: lines.put(stdout.readline()), daemon=True).start()
    try:
        line = lines.get(timeout=_START)
    except Empty:
        line = ""
    if not line.startswith(_READY):
        process.kill()
        stdout.close()
        raise RuntimeError(f"the sandbox did not start (exit status {process.wait()}, said {line!r})")
    return line


def _read(answer: httpx.Response) -> dict[str, Any]:
    if answer.is_error:
        raise AssertionError(f"{answer.request.method} {answer.url}: {answer.status_code} {answer.text}")
    content: dict[str, Any] = answer.json()
    return content


def _pages(client: httpx.Client, path: str, where: dict[str, Any]) -> Iterator[dict[str, Any]]:
    since: int | None = where.get("since", 0)
    while since is not None:
        page = _read(client.get(path, params={**where, "since": since, "limit": 10_000}))
        yield from page["data"]
        since = page["next"]
