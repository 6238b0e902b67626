"""A requester that goes on asking, as a careful client does: each order again with its key until it is taken."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.chaos.case import Case

PAUSE = 0.2
"""Seconds between two orders."""

PATIENCE = 3.0
"""Seconds that an answer may take."""

GIVES_UP_AFTER = 60.0
"""Seconds after its first try that an order is given up."""

AGAIN_AFTER = 0.3
"""Seconds between two tries of one order."""


@dataclass(frozen=True)
class Asked:
    """One order: how often it was sent, and seconds from its first try until it was taken; None where it never was."""

    custom_id: str
    tries: int
    waited: float | None


@dataclass
class Asker:
    case: Case
    asked: list[Asked] = field(default_factory=list)
    is_over: threading.Event = field(default_factory=threading.Event)

    def summary(self) -> dict[str, Any]:
        """What the requester saw."""
        taken = [one for one in self.asked if one.waited is not None]
        return {
            "first_try": sum(one.tries == 1 for one in taken),
            "other_try": sum(one.tries > 1 for one in taken),
            "not_taken": len(self.asked) - len(taken),
            "longest_wait": round(max(one.waited or 0.0 for one in taken), 1),
        }

    def run(self) -> None:
        """Until it is over; then whatever was asked has been taken, or given up."""
        api = self.case.cluster.api
        with (
            httpx.Client(base_url=api.base_url, headers=api.headers, timeout=PATIENCE) as client,
            ThreadPoolExecutor(40) as hands,
        ):
            while not self.is_over.wait(PAUSE):
                hands.submit(self._ask, client, self.case.order())

    def _ask(self, client: httpx.Client, order: dict[str, Any]) -> None:
        began, tries = time.monotonic(), 0
        while time.monotonic() < began + GIVES_UP_AFTER:
            tries += 1
            if self._is_taken(client, order):
                self.asked.append(Asked(order["custom_id"], tries, time.monotonic() - began))
                return
            time.sleep(AGAIN_AFTER)
        self.asked.append(Asked(order["custom_id"], tries, None))

    @staticmethod
    def _is_taken(client: httpx.Client, order: dict[str, Any]) -> bool:
        try:
            answer = client.post("/v1/requests", json=order, headers={"Idempotency-Key": order["custom_id"]})
        except httpx.TransportError:
            return False
        return answer.is_success


@contextmanager
def asking(case: Case) -> Iterator[Asker]:
    """One that asks while this is open."""
    asker = Asker(case)
    thread = threading.Thread(target=asker.run)
    thread.start()
    try:
        yield asker
    finally:
        asker.is_over.set()
        thread.join()
