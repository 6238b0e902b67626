"""A model requester: it logs what it is sent, and is at times as unreliable as real ones."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tests.simulation.scenario import Reply
from tests.simulation.world import Process, World
from worker.destinations import Destinations
from worker.upstreams import http
from worker.upstreams.http import NoAnswer

TOLERANCE = timedelta(minutes=5)
"""How far a result's timestamp may be off, as Standard Webhooks' libraries have it."""


@dataclass(frozen=True, slots=True)
class Result:
    """One that the requester has kept."""

    webhook_id: str
    type: str
    request_id: str
    data: Mapping[str, Any]


class Requester:
    """The requester's side."""

    def __init__(self, world: World, replies: list[Reply]) -> None:
        self._world, self._replies = world, replies
        self.kept: list[Result] = []

    def will(self, reply: Reply) -> None:
        """What it does with the result that comes next."""
        self._replies.append(reply)

    def take(self, headers: Mapping[str, str], content: bytes) -> Reply:
        reply = self._replies.pop(0) if self._replies else Reply.TAKES
        said = json.loads(content)
        if abs(int(headers["webhook-timestamp"]) - self._world.moment.timestamp()) > TOLERANCE.total_seconds():
            return Reply.FAILS
        if reply in (Reply.TAKES, Reply.TAKES_SILENTLY):
            self.kept.append(Result(headers["webhook-id"], said["type"], said["data"]["id"], said["data"]))
        return reply


class SimulatedDestinations(Destinations):
    """The way there, in one process. To send and to hear are points."""

    def __init__(self, process: Process, requester: Requester) -> None:
        self._process, self._requester = process, requester

    async def post(self, url: str, content: bytes, headers: Mapping[str, str], within: timedelta) -> http.Reply:
        self._process.point("delivers")
        reply = self._requester.take(headers, content)
        self._process.point(f"has delivered: {reply}")
        hangs = reply in (Reply.HANGS, Reply.TAKES_SILENTLY)
        await asyncio.sleep(within.total_seconds() if hangs else 0.02)
        self._process.point("hears of it")
        if hangs:
            raise NoAnswer("time-out", sent=True)
        status = 500 if reply is Reply.FAILS else 200
        return http.Reply(status, {}, b"", is_cut=False, latency=timedelta(milliseconds=20))

    async def close(self) -> None:
        """Has nothing to close."""
