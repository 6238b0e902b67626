"""What processes cost: CPU time, and memory at its highest."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

LOOK = 0.5
"""Seconds between two looks at the memory, where nobody says otherwise."""


def cpu(root: int) -> float:
    """CPU seconds, user and system, of a process and of all its descendants, those that have ended among them."""
    return sum(map(_seconds, processes(root)))


def memory(root: int) -> int:
    """Bytes of a process and its descendants. What they share counts once, divided among all who share it (PSS)."""
    return sum(map(_pss, processes(root)))


@dataclass
class Meter:
    """From `with` to its end: what each role used. A role is a process with its descendants.

    A thread of this process looks at the memory every `look` seconds; the CPU time is exact.
    """

    roles: Mapping[str, int]
    look: float = LOOK
    cpu: dict[str, float] = field(default_factory=dict, init=False)  # seconds
    peak: dict[str, int] = field(default_factory=dict, init=False)  # bytes

    def __enter__(self) -> Self:
        self._before = {role: cpu(pid) for role, pid in self.roles.items()}
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()
        self.cpu = {role: cpu(pid) - self._before[role] for role, pid in self.roles.items()}

    def _watch(self) -> None:
        while True:
            for role, pid in self.roles.items():
                self.peak[role] = max(self.peak.get(role, 0), memory(pid))
            if self._is_over.wait(self.look):
                return


def processes(root: int) -> list[int]:
    """A process and its descendants, or nothing where it has ended."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(root)
        return [root, *(child.pid for child in process.children(recursive=True))]
    return []


def _seconds(pid: int) -> float:
    with suppress(psutil.NoSuchProcess):
        times = psutil.Process(pid).cpu_times()
        return float(times.user + times.system + times.children_user + times.children_system)
    return 0.0


def _pss(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
