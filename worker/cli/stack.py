"""Everything on one machine, with no server to install: the processes of `trunkline up` and `trunkline demo`.

The embedded default is SQLite and a broker from a wheel, both in the home folder. Where a database or broker is
set in the environment, that one is used, and only the rest is started.
"""

from __future__ import annotations

import fcntl
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from models import migrations, user
from models.base import make_engine, read
from worker import hints
from worker.app import RELAY, configure
from worker.embedded import EmbeddedBroker
from worker.sandbox.avanser import vendor as avanser
from worker.sandbox.messagemedia import access
from worker.sandbox.messagemedia import vendor as messagemedia
from worker.sandbox.telmetrics import vendor as telmetrics
from worker.secret_files import SUFFIX
from worker.settings import RUNNING, load
from worker.supervisor import Program, StartFailed, Supervisor
from worker.upstreams import DIALECTS

READY_WITHIN = timedelta(minutes=1)

WORKER_GRACE = timedelta(seconds=8)
"""A worker's chunk has usually ended by then. One that waits for a slow upstream is killed; its rows are looked up."""

SANDBOX_ACCOUNT = {
    "TRUNKLINE_AVANSER_USERNAME": avanser.USERNAME,
    "TRUNKLINE_AVANSER_PASSWORD": avanser.PASSWORD,
    "TRUNKLINE_AVANSER_ACCOUNT_ID": avanser.ACCOUNT,
    "TRUNKLINE_TELMETRICS_TOKEN": telmetrics.TOKEN,
    "TRUNKLINE_MESSAGEMEDIA_KEY": access.KEY,
    "TRUNKLINE_MESSAGEMEDIA_SECRET": access.SECRET,
}


class AlreadyRunning(Exception):
    """Another `up` holds this home; the message says which."""


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int

    @property
    def url(self) -> str:
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104 -- where to find it from here
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


@contextmanager
def home_lock(home: Path) -> Iterator[None]:
    """Hold the home folder. The lock goes with the process, however that ends. Raises AlreadyRunning."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (home / "up.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise AlreadyRunning(f"{home} is in use by a running `trunkline up` ({holder})") from None
        file.truncate(0)
        file.write(f"pid {os.getpid()}")
        file.flush()
        yield


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def require_free(address: Address) -> None:
    """Raise StartFailed where the receiver could not listen, before anything is started.

    The receiver's server shares its port between processes (SO_REUSEPORT), so a second `up` would not be refused:
    it would get half of the first one's callbacks.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address.host, address.port))
        except OSError as error:
            reason = error.strerror or str(error)
            raise StartFailed(f"cannot listen on {address.host} port {address.port}: {reason.lower()}") from None


class Stack:
    """All processes of one `up`, and where they can be reached."""

    def __init__(self, address: Address, workers: int, *, sandbox: bool, say: Callable[[str], None]) -> None:
        self.address = address
        self.sandbox = Address("127.0.0.1", free_port()) if sandbox else None
        self._workers = workers
        self._say = say
        environment = self._environment()
        os.environ.update(environment)  # ours too: we look at the same database
        for name in environment:
            os.environ.pop(name + SUFFIX, None)  # nobody's file where we say it ourselves
        self.settings = load()
        configure(self.settings)
        self._running = self.settings.home / RUNNING
        _write_private(self._running, environment)
        self.supervisor = Supervisor(self.settings.home / "logs", say)

    def _environment(self) -> Mapping[str, str]:
        found = {}
        if not os.environ.get(f"TRUNKLINE_PUBLIC_URL{SUFFIX}"):
            found["TRUNKLINE_PUBLIC_URL"] = os.environ.get("TRUNKLINE_PUBLIC_URL") or self.address.url
        if self.sandbox is not None:
            found |= SANDBOX_ACCOUNT
            found["TRUNKLINE_AVANSER_URL"] = f"{self.sandbox.url}/avanser/v1"
            found["TRUNKLINE_TELMETRICS_URL"] = f"{self.sandbox.url}{telmetrics.BASE}"
            found["TRUNKLINE_MESSAGEMEDIA_URL"] = f"{self.sandbox.url}{messagemedia.BASE}"
            found["TRUNKLINE_ALLOW_PRIVATE_DESTINATIONS"] = "true"
        return found

    def start(self) -> None:
        """Start everything and return when requests are taken. Raises StartFailed, Interrupted."""
        require_free(self.address)
        migrations.upgrade(self.settings.database_url)
        if self.settings.is_embedded_broker:
            self.supervisor.start(self._broker())
        if self.sandbox is not None:
            self.supervisor.start(self._sandbox(self.sandbox))
            self._say(f"sandbox at {self.sandbox.url}: its script /_sandbox, its books /_sandbox/ledger")
        self.supervisor.start(Program("relay", _python("worker.cli", "relay")))
        for number in range(1, self._workers + 1):
            name = "worker" if self._workers == 1 else f"worker-{number}"
            self.supervisor.start(Program(name, _python("worker.cli", "worker"), grace=WORKER_GRACE))
        self.supervisor.start(self._receiver())

    def warnings(self) -> list[str]:
        """What will keep work from being done, though requests are taken."""
        found = []
        if all(self.settings.missing_for(name) for name in DIALECTS):
            found.append("no upstream is set up, so nothing can be ordered: see `trunkline doctor`, or use --sandbox")
        try:
            hints.waiting(RELAY)
        except Exception as error:  # noqa: BLE001 -- each transport has errors of its own; all mean the same here
            found.append(f"the broker does not answer, so nothing is worked on: {type(error).__name__}")
        if self.settings.environment.console and not self._has_users():
            found.append("nobody can sign in to the console yet: trunkline users create YOUR-NAME --role admin")
        return found

    def _has_users(self) -> bool:
        engine = make_engine(self.settings.database_url)
        try:
            return bool(read(engine, user.every))
        finally:
            engine.dispose()

    def stop(self) -> None:
        self.supervisor.stop()
        self._running.unlink(missing_ok=True)

    def _broker(self) -> Program:
        broker = EmbeddedBroker(self.settings.home / "broker")
        broker.stop_leftover(READY_WITHIN)
        return Program("broker", broker.command(), wait_ready=_until(broker.is_ready, "the broker"))

    def _sandbox(self, address: Address) -> Program:
        ledger = self.settings.home / "sandbox-ledger.jsonl"
        options = ["--host", address.host, "--port", str(address.port), "--ledger", str(ledger)]
        return Program(
            "sandbox", _python("worker.sandbox", *options), wait_ready=_until_answers(f"{address.url}/_sandbox")
        )

    def _receiver(self) -> Program:
        options = ["--host", self.address.host, "--port", str(self.address.port)]
        return Program(
            "receiver", _python("webhook_receiver", *options), wait_ready=_until_answers(f"{self.address.url}/readyz")
        )


def _write_private(path: Path, variables: Mapping[str, str]) -> None:
    """A file of settings that its owner alone can read; they include the sandbox's credentials."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "w") as file:
        file.writelines(f"{name}='{value}'\n" for name, value in variables.items())


def _python(module: str, *words: str) -> list[str]:
    return [sys.executable, "-m", module, *words]


def _until_answers(url: str) -> Callable[[Callable[[], bool]], None]:
    return _until(lambda: _answers(url), url)


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=2) as response:  # noqa: S310 -- our own address
            return bool(response.status == 200)
    except (HTTPError, URLError, OSError):
        return False


def _until(is_ready: Callable[[], bool], what: str) -> Callable[[Callable[[], bool]], None]:
    def wait(is_alive: Callable[[], bool]) -> None:
        give_up_at = time.monotonic() + READY_WITHIN.total_seconds()
        while is_alive() and not is_ready():
            if time.monotonic() > give_up_at:
                raise StartFailed(f"{what} did not answer within {READY_WITHIN.total_seconds():.0f} s")
            time.sleep(0.05)

    return wait
