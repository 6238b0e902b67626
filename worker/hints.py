"""Hints: telling the workers that something is due, without ever waiting for the broker.

Whoever has committed work says so here. A thread sends the hint; several that come while it is busy become one.
When the broker is away the hint is dropped and logged: the relay finds the rows.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from worker.app import DELIVERIES, INBOX, UPSTREAM_QUEUES, app, time_limits

log = logging.getLogger(__name__)

MOST_AT_ONCE = 4
"""Hints for one queue sent together: enough to set every process of a worker going."""

BREATH = timedelta(milliseconds=40)
"""After a hint for a queue, the next ones for it are gathered for so long: under load, a hundred become one message."""

LONGEST_BREATH = timedelta(milliseconds=160)
"""For what is read in sets: as long as hints for it keep coming each breath is twice the one before, up to this. Who
comes when all is quiet is hinted at once."""

_TASKS: Mapping[str, tuple[str, list[Any]]] = {
    INBOX: ("trunkline.read_inbox", []),
    DELIVERIES: ("trunkline.deliver", []),
    **{queue: ("trunkline.advance", [name]) for name, queue in UPSTREAM_QUEUES.items()},
}

_LONGEST: Mapping[str, timedelta] = {INBOX: LONGEST_BREATH, DELIVERIES: LONGEST_BREATH}


@dataclass(slots=True)
class _Breath:
    """Of one queue."""

    length: timedelta = BREATH
    until: float = 0.0  # monotonic seconds


class _Sender:
    """The thread of one process, and what it has still to send."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._wanted: dict[str, int] = {}
        self._breaths = {queue: _Breath() for queue in _TASKS}
        self._condition = threading.Condition()
        self._busy = False
        threading.Thread(target=self._run, name="hints", daemon=True).start()

    def want(self, queue: str, count: int) -> None:
        with self._condition:
            is_new = queue not in self._wanted
            self._wanted[queue] = min(MOST_AT_ONCE, max(count, self._wanted.get(queue, 0)))
            if is_new:  # else the thread knows: to wake it for every callback would cost each of them
                self._condition.notify_all()

    def flush(self, within: timedelta) -> bool:
        give_up_at = time.monotonic() + within.total_seconds()
        with self._condition:
            while self._wanted or self._busy:
                left = give_up_at - time.monotonic()
                if left <= 0:
                    return False
                self._condition.wait(left)
        return True

    def _run(self) -> None:
        while True:
            with self._condition:
                while not (due := self._due()):
                    self._condition.wait(self._until_next())
                self._busy = True
            for queue, count in due.items():
                _send(queue, count)
            with self._condition:
                for queue in due:
                    self._take_breath(queue)
                self._busy = False
                self._condition.notify_all()

    def _due(self) -> dict[str, int]:
        """What is wanted of queues that have had their breath; it is wanted no longer."""
        now = time.monotonic()
        return {queue: self._wanted.pop(queue) for queue in list(self._wanted) if self._breaths[queue].until <= now}

    def _until_next(self) -> float | None:
        ends = [self._breaths[queue].until for queue in self._wanted]
        return max(0.0, min(ends) - time.monotonic()) if ends else None

    def _take_breath(self, queue: str) -> None:
        breath, now = self._breaths[queue], time.monotonic()
        is_quiet = now - breath.until > breath.length.total_seconds()
        breath.length = BREATH if is_quiet else min(2 * breath.length, _LONGEST.get(queue, BREATH))
        breath.until = now + breath.length.total_seconds()


def _send(queue: str, count: int) -> None:
    task, args = _TASKS[queue]
    limit = int(time_limits[queue].total_seconds()) if queue in time_limits else None
    try:
        for _ in range(count):
            app.send_task(task, args=args, queue=queue, retry=False, ignore_result=True, time_limit=limit)
    except Exception as error:  # noqa: BLE001 -- the edge of a thread: a lost hint costs a second, a dead thread all
        log.warning("no hint for %s: the broker does not answer (%s)", queue, type(error).__name__)


_senders: dict[int, _Sender] = {}


def _sender() -> _Sender:
    """This process's own: a thread does not survive a fork."""
    pid = os.getpid()
    if pid not in _senders:
        _senders.setdefault(pid, _Sender())  # two threads may come here at once: all use the same one
    return _senders[pid]


def upstream(name: str, count: int = 1) -> None:
    """Requests are due at an upstream; `count` is how many workers could do with them."""
    _sender().want(UPSTREAM_QUEUES[name], count)


def inbox(count: int = 1) -> None:
    _sender().want(INBOX, count)


def deliveries(count: int = 1) -> None:
    _sender().want(DELIVERIES, count)


def flush(within: timedelta = timedelta(seconds=2)) -> bool:
    """Wait until all hints have been sent or given up; False where that took too long. For programs that end."""
    return _sender().flush(within)


def waiting(queue: str) -> int:
    """How many messages wait in a queue. Raises what the transport raises where the broker is away."""
    return waiting_in([queue])[queue]


def waiting_in(queues: Iterable[str]) -> dict[str, int]:
    """As `waiting`, over one connection: to make one takes longer than to ask."""
    with app.connection_for_read() as connection:
        return {queue: _waiting(connection, queue) for queue in queues}


def _waiting(connection: Any, queue: str) -> int:
    channel = connection.channel()
    try:
        return int(channel.queue_declare(queue=queue, passive=True).message_count)
    except connection.channel_errors:
        return 0  # on Redis an empty queue is no queue
