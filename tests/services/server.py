"""A real server for tests: on a free port, in a folder of its own, to be frozen, killed and started again."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from tests.services import tree

START_DEADLINE = 60.0
"""Seconds. PostgreSQL and Redis answer within one or two, RabbitMQ within eight; CI's disk is at times slow."""

STOP_DEADLINE = 10.0
"""Seconds after which a server that was asked to stop is killed."""

POLL = 0.01
"""Seconds between two looks at a server that starts."""

PORT_TRIES = 5
"""A free port can be taken between looking and listening; then the server is started on another."""


class ServiceMissing(Exception):
    """This machine has no such server; the message says what would provide it."""


LOCAL = "127.0.0.1"


class Place(Protocol):
    """A host of the tests' own, for servers and processes that are not to stand on this one."""

    @property
    def address(self) -> str: ...

    def prefix(self, owner: pwd.struct_passwd | None = None) -> list[str]:
        """What runs a command there, as this user."""


def address_of(place: Place | None) -> str:
    return LOCAL if place is None else place.address


@dataclass(frozen=True)
class Program:
    """How a server is run. What depends on its port is asked with the port."""

    command: Callable[[int], Sequence[str]]
    url: Callable[[int], str]
    answers: Callable[[int], bool]
    folder: Path
    stop: signal.Signals = signal.SIGTERM
    at_once: signal.Signals = signal.SIGKILL
    """Ends it without a farewell, as `restart` does."""
    data: Sequence[str] = ()
    """What holds its data, by name in the folder; without it, it starts empty."""
    environment: Mapping[str, str] | None = None
    owner: pwd.struct_passwd | None = None
    place: Place | None = None

    def start(self, port: int) -> subprocess.Popen[bytes]:
        return spawn(self.command(port), self.folder / "log", self.owner, self.environment, self.place)


class Server:
    """A server that runs. Over `kill`, `restart` and `start` its URL stays the same; so does its data, if it keeps any.

    Each call returns when it is done: the process has ended, or it answers.
    """

    def __init__(self, program: Program, port: int, process: subprocess.Popen[bytes]) -> None:
        self._program, self.port, self.process = program, port, process

    @property
    def url(self) -> str:
        return self._program.url(self.port)

    @property
    def address(self) -> str:
        return address_of(self._program.place)

    def answers(self) -> bool:
        return self._program.answers(self.port)

    def freeze(self) -> None:
        """It and its children stand still and know nothing of it: connections stay open, and nobody answers."""
        tree.freeze(self.process.pid)

    def thaw(self) -> None:
        tree.thaw(self.process.pid)

    def kill(self) -> None:
        """SIGKILL to it and its children at one moment. A server that has ended already is left so."""
        if self.process.poll() is None:
            members = tree.kill(self.process.pid)
            self.process.wait()
            tree.wait(members)

    def start(self, *, empty: bool = False) -> None:
        """Start it again after `kill` or `stop`; `empty` throws its data away first. RuntimeError if it does not come
        up."""
        assert self.process.poll() is not None, "it runs"
        if empty:
            for name in self._program.data:
                shutil.rmtree(self._program.folder / name, ignore_errors=True)
        self.process = self._program.start(self.port)
        if not self._comes_up():
            raise RuntimeError(f"a server does not come back:\n{_end_of(self._program.folder / 'log')}")

    def restart(self, *, empty: bool = False) -> None:
        """End it at once, also where it is frozen, and start it again. PostgreSQL's is its "immediate" shutdown:
        every connection is cut, what was committed is recovered from the log."""
        self._end(self._program.at_once)
        self.start(empty=empty)

    def stop(self) -> None:
        """End it in good order; it is killed when it takes too long."""
        self._end(self._program.stop)

    def _end(self, how: signal.Signals) -> None:
        if self.process.poll() is not None:
            return
        if how == signal.SIGKILL:
            self.kill()
            return
        self.thaw()
        self.process.send_signal(how)
        try:
            self.process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            self.kill()

    def _comes_up(self) -> bool:
        """Whether it answered before it ended or the deadline passed."""
        give_up_at = time.monotonic() + START_DEADLINE
        while self.process.poll() is None and time.monotonic() < give_up_at:
            if self.answers():
                return True
            time.sleep(POLL)
        return False


Kind = TypeVar("Kind", bound=Server)


@contextlib.contextmanager
def running(kind: type[Kind], program: Program) -> Iterator[Kind]:
    """Start a server on a free port, wait until it answers, and end it on the way out."""
    log = program.folder / "log"
    for _ in range(PORT_TRIES):
        server = kind(program, port := free_port(), program.start(port))
        try:
            if server._comes_up():
                yield server
                return
        finally:
            server.stop()
        if "in use" not in log.read_text(errors="replace"):
            break
    raise RuntimeError(f"a server does not start:\n{_end_of(log)}")


def spawn(
    command: Sequence[str],
    log: Path,
    owner: pwd.struct_passwd | None = None,
    environment: Mapping[str, str] | None = None,
    place: Place | None = None,
) -> subprocess.Popen[bytes]:
    """Start a process in the folder of its log, as `owner` where we may choose."""
    if place is not None:
        command, owner = [*place.prefix(owner), *command], None
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=log.parent,
            env=environment,
            start_new_session=True,  # a Ctrl-C is for the tests; they stop their servers themselves
            user=owner.pw_uid if owner else None,
            group=owner.pw_gid if owner else None,
            extra_groups=[] if owner else None,
        )


def unprivileged(*names: str) -> pwd.struct_passwd | None:
    """Whom to run as when we are root, the first of these that there is, or nobody; None when we are not root."""
    if os.geteuid() != 0:
        return None
    for name in names:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    return pwd.getpwnam("nobody")


def give(paths: Sequence[Path], owner: pwd.struct_passwd | None) -> None:
    if owner:
        for path in paths:
            os.chown(path, owner.pw_uid, owner.pw_gid)


@contextlib.contextmanager
def own_folder(inside: Path | None = None) -> Iterator[Path]:
    """A folder outside pytest's, which is closed to the users that servers run as; `inside` says where else."""
    path = Path(tempfile.mkdtemp(prefix="trunkline-", dir=inside))
    try:
        yield path
    finally:
        shutil.rmtree(path)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-4_000:]
