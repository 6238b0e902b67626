"""Keeps a set of child processes running: starts them in order, brings back one that dies, stops them all."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import FrameType

POLL = timedelta(milliseconds=100)

STEADY = timedelta(seconds=10)
"""A process that lived so long has not died of its start: it is brought back at once."""

LONGEST_PAUSE = timedelta(seconds=10)
"""Between tries to bring back a process that dies at its start."""

_PR_SET_PDEATHSIG = 1
"""prctl(2), Linux: signal this process when the parent that started it dies."""


class StartFailed(Exception):
    """A process did not come up; the message names it and its log."""


class Interrupted(Exception):
    """A signal asked to stop while things were still being started."""


@dataclass(frozen=True, slots=True)
class Program:
    """A child process to keep running. `grace` is how long it gets to end by itself when all is stopped."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    grace: timedelta = timedelta(seconds=5)
    wait_ready: Callable[[Callable[[], bool]], None] | None = None  # is given "is it still alive?"


@dataclass(slots=True)
class _Child:
    program: Program
    process: subprocess.Popen[bytes]
    started: float
    deaths: int = 0
    again_at: float | None = None


class Supervisor:
    """Run `start` for each program, in order; then `watch` until a signal; then `stop`."""

    def __init__(self, logs: Path, say: Callable[[str], None]) -> None:
        self._logs = logs
        self._say = say
        self._children: list[_Child] = []
        self._stopping = False
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)

    def start(self, program: Program) -> None:
        """Start a program and wait until it is ready. Raises StartFailed, and Interrupted after a signal."""
        if self._stopping:
            raise Interrupted
        child = _Child(program, self._spawn(program), time.monotonic())
        self._children.append(child)
        if program.wait_ready is not None:
            program.wait_ready(lambda: child.process.poll() is None and not self._stopping)
        if self._stopping:
            raise Interrupted
        if child.process.poll() is not None:
            raise StartFailed(f"{program.name} ended at its start ({_end_of(child.process)}): see {self._log(program)}")
        self._say(f"{program.name:<10} pid {child.process.pid}, log {self._log(program)}")

    def watch(self) -> None:
        """Bring back what dies, until SIGINT or SIGTERM."""
        while not self._stopping:
            self.look_after()
            time.sleep(POLL.total_seconds())

    def look_after(self) -> None:
        """Bring back, once, what has died. For a caller with a loop of its own."""
        for child in self._children:
            self._look_after(child)

    def stop_on_signals(self) -> None:
        """From now on SIGINT and SIGTERM end `watch` (and a `start` that waits) instead of this process."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    @property
    def is_stopping(self) -> bool:
        """Whether a signal asked to stop."""
        return self._stopping

    def names(self) -> list[str]:
        return [child.program.name for child in self._children]

    def pids(self, name: str) -> list[int]:
        return [child.process.pid for child in self._children if child.program.name == name]

    def stop(self) -> None:
        """End all, the last started first. One that does not end within its grace is killed: no work is lost by it."""
        self._stopping = True
        for child in reversed(self._children):
            _signal_group(child.process, signal.SIGTERM, whole_group=False)
            with suppress(subprocess.TimeoutExpired):
                child.process.wait(child.program.grace.total_seconds())
            _signal_group(child.process, signal.SIGKILL, whole_group=True)
            child.process.wait()
        self._children.clear()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _look_after(self, child: _Child) -> None:
        if child.process.poll() is None:
            return
        now = time.monotonic()
        if child.again_at is None:
            steady = now - child.started > STEADY.total_seconds()
            child.deaths = 0 if steady else child.deaths + 1
            pause = 0.0 if child.deaths <= 1 else min(0.5 * 2.0**child.deaths, LONGEST_PAUSE.total_seconds())
            child.again_at = now + pause
            # Its own children must not live on beside the ones that its successor makes.
            _signal_group(child.process, signal.SIGKILL, whole_group=True)
            ended = f"{child.program.name} (pid {child.process.pid}) ended: {_end_of(child.process)}"
            self._say(f"{ended}; it is brought back {f'in {pause:.0f} s' if pause else 'now'}")
        if now >= child.again_at:
            child.process, child.started, child.again_at = self._spawn(child.program), now, None
            self._say(f"{child.program.name:<10} pid {child.process.pid}, log {self._log(child.program)}")

    def _spawn(self, program: Program) -> subprocess.Popen[bytes]:
        with self._log(program).open("ab") as log:
            return subprocess.Popen(
                list(program.command),
                env={**os.environ, **program.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in the terminal reaches us alone, and we stop them in order
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 -- we have no threads
            )

    def _log(self, program: Program) -> Path:
        return self._logs / f"{program.name}.log"


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _signal_group(process: subprocess.Popen[bytes], number: int, *, whole_group: bool) -> None:
    with suppress(ProcessLookupError):
        if whole_group:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)


def _end_of(process: subprocess.Popen[bytes]) -> str:
    code = process.returncode
    return signal.Signals(-code).name if code is not None and code < 0 else f"exit status {code}"
