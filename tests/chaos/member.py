"""A process of ours, started as in production, that tests hurt from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.sandbox import eventually

ROOT = Path(__file__).resolve().parents[2]


class Member:
    """`trunkline WORDS…` in a process group of its own. Its log is kept over restarts."""

    def __init__(
        self,
        name: str,
        words: Sequence[str],
        environment: Mapping[str, str],
        logs: Path,
        *,
        wrapped_in: Sequence[str] = (),
        code: Path = ROOT,
    ) -> None:
        """`wrapped_in` is a command that runs it (`faketime -f +10m`); `code` is the tree whose code it runs."""
        self.name = name
        self.environment = environment
        self.log = logs / f"{name}.log"
        self._words = words
        self._command = [*wrapped_in, sys.executable, "-m", "worker.cli", *words]
        self._code = code
        self._process: subprocess.Popen[bytes] | None = None
        self._began = 0  # where in its log its present life begins

    def wrapped_in(self, *command: str, name: str) -> Member:
        """The same again under another name, not started, to be run by this command."""
        return Member(name, self._words, self.environment, self.log.parent, wrapped_in=command, code=self._code)

    def start(self) -> None:
        """Start it where it is not running; go on where it is frozen. Returns at once."""
        if self.is_alive:
            self.thaw()
            return
        with self.log.open("ab") as log:
            self._began = log.tell()
            self._process = subprocess.Popen(
                self._command,
                cwd=self._code,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def is_ready(self) -> bool:
        """Whether a worker or a relay, since it was last started, has got to work."""
        if not self.is_alive:
            return False
        with self.log.open("rb") as log:
            log.seek(self._began)
            said = log.read()
        return b" ready." in said or b"beat: Starting" in said

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def children(self) -> list[int]:
        """The processes that it forked and that still run."""
        with suppress(FileNotFoundError):
            return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]
        return []

    def kill(self) -> None:
        """SIGKILL to the whole group: as when the machine loses power."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()

    def stop(self, within: float = 30.0) -> bool:
        """SIGTERM, as a platform does it: what has not ended then is killed. Says whether it ended by itself."""
        if self._process is None:
            return True
        self.thaw()
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(within)
        is_over = self._process.poll() is not None
        self.kill()
        return is_over

    def freeze(self) -> None:
        """SIGSTOP to the whole group: it stands still and knows nothing of it."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def says(self, text: str, within: float = 30.0) -> None:
        """Wait until its log holds this text."""
        eventually(lambda: self.log.exists() and text in self.log.read_text(errors="replace"), within=within)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
