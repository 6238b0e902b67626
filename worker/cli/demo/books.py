"""The demo's books: our database, the upstream's ledger and the requester's log, held against one another."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from models.state import State

ANSWER = 30.0
"""Seconds for one page of the sandbox's books."""


@dataclass(frozen=True, slots=True)
class Books:
    """What three witnesses say. Only the first is ours."""

    counts: Mapping[State, int]  # our database
    numbers_bought: int  # the upstream's ledger
    bought_twice: int
    results: Mapping[str, str]  # the requester's log: the state that each request's result told it
    bad_signatures: int
    completed: Mapping[str, str] = field(default_factory=dict)  # our database: number by custom_id
    ledger: Mapping[str, str] = field(default_factory=dict)  # the upstream's: number by custom_id

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def lost(self) -> int:
        """Requests that have not ended, or whose result has not reached the requester."""
        ended = self.counts[State.COMPLETED] + self.counts[State.FAILED] + self.counts[State.CANCELLED]
        return max(self.total - ended, self.total - len(self.results))

    def faults(self) -> list[str]:
        """What does not agree; empty when the books balance."""
        told = list(self.results.values())
        checks = {
            "numbers were bought twice": self.bought_twice == 0,
            "requests were lost": self.lost == 0,
            "the upstream sold other numbers than we hold": self.completed == self.ledger,
            "the upstream sold more or fewer numbers than we hold": self.numbers_bought == self.counts[State.COMPLETED],
            "the requester was told otherwise than what we hold": told.count("completed")
            == self.counts[State.COMPLETED],
            "results came with a bad signature": self.bad_signatures == 0,
        }
        return [fault for fault, holds in checks.items() if not holds]


class Sandbox:
    """The control side of the sandbox: its script, its ledger, its requester."""

    def __init__(self, url: str) -> None:
        self._url = url

    def follow(self, script: Mapping[str, Any]) -> None:
        self._ask("PUT", "/_sandbox", script)

    def expect_results(self, requester: str, secret: str) -> str:
        """Let the requester verify with this secret; returns the URL that takes its results."""
        self._ask("PUT", f"/_sandbox/requester/{requester}", {"secrets": [secret]})
        return f"{self._url}/requester/{requester}"

    def summary(self) -> dict[str, Any]:
        return self._ask("GET", "/_sandbox/ledger/summary")

    def orders(self) -> Iterator[dict[str, Any]]:
        return self._pages("/_sandbox/ledger")

    def counts(self, requester: str) -> dict[str, Any]:
        return self._ask("GET", f"/_sandbox/requester/{requester}")

    def results(self, requester: str) -> Iterator[dict[str, Any]]:
        return self._pages(f"/_sandbox/requester/{requester}/results")

    def _pages(self, path: str) -> Iterator[dict[str, Any]]:
        since: int | None = 0
        while since is not None:
            page = self._ask("GET", f"{path}?{urlencode({'since': since})}")
            yield from page["data"]
            since = page["next"]

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = Request(self._url + path, data, {"Content-Type": "application/json"}, method=method)  # noqa: S310
        with urlopen(request, timeout=ANSWER) as response:  # noqa: S310 -- our own child on loopback
            answer: dict[str, Any] = json.load(response)
            return answer
