"""What all simulated vendors share, and what each of them is to the rest of the sandbox."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiohttp import web

from worker.sandbox.faults import FaultBook, Strikes, Subject
from worker.sandbox.ledger import Entry, Ledger, Record
from worker.sandbox.outbound import Outbound
from worker.sandbox.script import Fault, Script
from worker.sandbox.wire import Refusals, Refuse, perform

Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]
Work = Callable[[Strikes], web.Response]
Instead = Mapping[Fault, Callable[[], web.Response]]


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

    async def attend(self, upstream: str, request: web.Request, handle: Handle) -> web.StreamResponse:
        """Takes one call of a client as soon as it is said whole: counts it, and lets it take as long as the script
        says.

        It is done also when the client dies before it hears of it.
        """
        try:
            await request.read()  # kept by the request: once the client has gone it could not be read any more
        except ConnectionResetError:  # the client died with its question half said: nothing was done
            return web.Response(status=499)
        with self.traffic.count(f"{upstream} {request.method}"):
            latency = self.faults.latency(self.traffic.total)
            if latency:
                await asyncio.sleep(latency)
            return await handle(request)

    async def perform(
        self,
        request: web.Request,
        subject: Subject,
        work: Work,
        refuse: Refuse,
        refusals: Refusals,
        instead: Instead | None = None,
    ) -> web.StreamResponse:
        """Does the work of one call that is done at once, and whatever the script has go wrong with it.

        `instead` is what the vendor does itself where such a fault strikes.
        """
        strikes, run = self.faults.strike(subject), self.run
        if instead and strikes.answer and strikes.answer.fault in instead:
            return instead[strikes.answer.fault]()

        async def act() -> web.Response:
            return work(strikes) if run == self.run else refuse(503, "The sandbox was reset")

        return await perform(request, strikes.answer, act, refuse, refusals)


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
