"""What all simulated vendors share, and what each of them is to the rest of the sandbox."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiohttp import web

from worker.sandbox.faults import FaultBook
from worker.sandbox.ledger import Entry, Ledger, Record
from worker.sandbox.outbound import Outbound
from worker.sandbox.script import Script


class NotThere(Exception):
    """There is no such service, or it has nowhere to report to; the argument says which."""


@dataclass
class Traffic:
    """Calls that the vendors took, for judging the limits that a client keeps."""

    calls: Counter[str] = field(default_factory=Counter)  # by vendor and method: "avanser POST"
    total: int = 0
    in_flight: int = 0
    peak_in_flight: int = 0

    def reset(self) -> None:
        self.calls.clear()
        self.total = self.peak_in_flight = 0

    def shown(self) -> Record:
        return {
            "calls": dict(self.calls),
            "total": self.total,
            "in_flight": self.in_flight,
            "peak_in_flight": self.peak_in_flight,
        }

    @contextmanager
    def count(self, what: str) -> Iterator[None]:
        self.calls[what] += 1
        self.total += 1
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        try:
            yield
        finally:
            self.in_flight -= 1


@dataclass
class World:
    ledger: Ledger
    outbound: Outbound
    script: Script
    faults: FaultBook
    traffic: Traffic
    run: int = 1  # one more after every reset; an order that was held over a reset is dropped

    def follow(self, script: Script) -> None:
        self.script, self.faults = script, FaultBook(script)


class Vendor(Protocol):
    """One simulated upstream. Another one is a file with such a class and its line in `app.py`."""

    name: str

    @property
    def restore(self) -> Callable[[Entry, Record], None]:
        """Takes up an order of an earlier run of the sandbox, in the loop, and carries on with it."""

    @property
    def follow(self) -> Callable[[Script], None]:
        """Restocks as the script says, less what is taken."""

    @property
    def reset(self) -> Callable[[Script], None]:
        """Forgets all services and starts again with a full stock."""

    @property
    def call(self) -> Callable[[str, dict[str, Any]], Awaitable[Record]]:
        """Reports a finished call on a number to whoever asked for it. Raises NotThere."""

    @property
    def message(self) -> Callable[[str, dict[str, Any]], Awaitable[Record]]:
        """Forwards a text message to whoever asked for it. Raises NotThere."""

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        """Its HTTP interface, under `/{name}`."""
