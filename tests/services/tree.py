"""A process with all that it has started, whatever group or session those have moved to: stop, go on, kill."""

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

GONE_WITHIN = 10.0
"""Seconds. A killed process is gone at once, unless the disk holds it up."""

POLL = 0.005  # seconds


def freeze(pid: int) -> list[int]:
    """SIGSTOP to all of it; returns its process ids, the root's first."""
    stopped: list[int] = []
    # The root first, so that it starts no more; then again, for what was started while we looked.
    while new := [one for one in _tree(pid) if one not in stopped]:
        _signal(new, signal.SIGSTOP)
        stopped += new
    return stopped


def thaw(pid: int) -> None:
    """SIGCONT to all of it."""
    _signal(_tree(pid), signal.SIGCONT)


def kill(pid: int) -> list[int]:
    """SIGKILL to all of it at one moment, as when the machine loses power; returns its process ids.

    Nobody can say good-bye: PostgreSQL's children, for one, would notice that their parent is gone and tidy up.
    """
    members = freeze(pid)
    _signal(members, signal.SIGKILL)
    return members


def wait(members: Iterable[int]) -> None:
    """Return when none of these processes runs any more. Those of ours must have been waited for, or be zombies."""
    give_up_at = time.monotonic() + GONE_WITHIN
    for pid in members:
        while _state(pid) not in ("", "Z", "X"):
            if time.monotonic() > give_up_at:
                raise RuntimeError(f"process {pid} outlives SIGKILL")
            time.sleep(POLL)


def _tree(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        if found := _stat(int(entry.name)):
            children.setdefault(int(found[1]), []).append(int(entry.name))
    members = [pid]
    for one in members:  # grows while we go
        members += children.get(one, [])
    return members


def _state(pid: int) -> str:
    found = _stat(pid)
    return found[0] if found else ""


def _stat(pid: int) -> list[str]:
    """Of proc(5): state, parent and so on; empty where there is no such process."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
