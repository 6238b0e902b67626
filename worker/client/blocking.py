"""Trunkline, asked from a program that waits for each answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from worker.client import calls
from worker.client.asking import Patience, Plan
from worker.client.shapes import Batch, BatchTaken, Number, Outcome, Request
from worker.client.transport import Blocking

Rows = str | Path | Iterable[Mapping[str, Any]]


class Client:
    """Asks a receiver in the name of an API key. Threads may share one; `with` closes its connections.

    `timeout`: seconds for one try without a sign of life; `deadline`: seconds for all tries of a question and the
    pauses between, after which Unanswered is raised; `batch_timeout`: in place of both for a batch, which is answered
    when all its rows are checked and taken. Tried again are broken connections, time-outs, 429 (after its Retry-After),
    502, 503 and 504: `submit` under one idempotency key, so that nothing is ordered twice. Every call may raise
    Refused or one of its kinds, and Unanswered.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        timeout: float = 10.0,
        deadline: float = 60.0,
        batch_timeout: float = 600.0,
    ) -> None:
        self._patience = Patience(timeout, deadline)
        self._batch_patience = Patience(batch_timeout, batch_timeout)
        self._transport = Blocking(base_url, api_key)

    def submit(self, request: Mapping[str, Any], *, idempotency_key: str | None = None) -> Request:
        """Ask for a change; returns the request, new or found.

        Give a key of your own that outlives your process (of your order, say): then a crash between asking and
        answer orders nothing twice either. Without one a key is made for this call. Raises KeyReused where the key
        was used for another body.
        """
        return self._run(calls.submit(request, idempotency_key, self._patience))

    def get(self, request_id: str) -> Request:
        return self._run(calls.one(calls.REQUESTS, request_id, self._patience))

    def list(self, **filters: str | int | bool | None) -> Iterator[Request]:
        """All requests, newest first, page by page as they are read.

        `filters`: state, upstream, kind, batch, reason, q, contradicted; `limit` is the size of a page.
        """
        return self._pages(calls.REQUESTS, filters)

    def submit_batch(
        self,
        rows: Rows,
        *,
        name: str | None = None,
        partial: bool = False,
        again: bool = False,
        max_numbers: int | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> BatchTaken:
        """Ask for many changes: a path (.csv, .ndjson, .jsonl, .json), or rows as `submit` takes them.

        Rows may have an `idempotency_key`. The same rows again take nothing twice (but with `again`) and answer with
        the batch that took them. `on_progress` gets the bytes sent and all bytes. Raises Invalid, whose `errors`
        names each bad row by its line; nothing is taken then, unless `partial`.
        """
        filters = {"name": name, "partial": partial, "again": again, "max_numbers": max_numbers}
        with calls.opened(rows, on_progress) as (upload, media):
            return self._run(calls.submit_batch(upload, media, filters, self._batch_patience))

    def batch(self, batch_id: str) -> Batch:
        return self._run(calls.one(calls.BATCHES, batch_id, self._patience))

    def wait(self, request_id: str, timeout: float = 300.0) -> Request:
        """The request, once it is completed, failed, cancelled or held (a person has to decide then).

        For a few; where there are many, let results come to an endpoint. Raises StillOpen after `timeout` seconds.
        """
        return self._run(calls.wait(request_id, timeout, self._patience))

    def wait_batch(self, batch_id: str, timeout: float = 3_600.0) -> Batch:
        """The batch, once it is finished or cancelled. Raises StillOpen after `timeout` seconds."""
        return self._run(calls.wait_batch(batch_id, timeout, self._patience))

    def cancel(self, request_id: str) -> Request:
        """Withdraw what is not ordered yet, or is held. Raises NotNow. After Unanswered, `get` it first."""
        return self._run(calls.steer(request_id, "cancel", None, self._patience))

    def retry(self, request_id: str) -> Request:
        """Have it looked at now: what may have been ordered is looked up, not ordered again. Raises NotNow."""
        return self._run(calls.steer(request_id, "retry", None, self._patience))

    def resolve(
        self, request_id: str, outcome: Outcome, *, number: str | None = None, note: str | None = None
    ) -> Request:
        """Settle a held request by hand; `retry` orders again, and so twice where the first order did land.

        Raises NotNow. After Unanswered, `get` it before anything else.
        """
        body = {"outcome": outcome, "number": number, "note": note}
        return self._run(calls.steer(request_id, "resolve", body, self._patience))

    def numbers(self, **filters: str | int | bool | None) -> Iterator[Number]:
        """The numbers held, the last that came first. `filters`: upstream, q, released (false, true, any), limit."""
        return self._pages(calls.NUMBERS, filters)

    def number(self, number: str) -> Number:
        """One number, written in any format, or by its id. Raises NotNow where it fits several."""
        return self._run(calls.one(calls.NUMBERS, number, self._patience))

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _pages(self, place: calls.Place[calls.T], filters: calls.Filters) -> Iterator[calls.T]:
        cursor: str | None = None
        while True:
            rows, cursor = self._run(calls.page(place, filters, cursor, self._patience))
            yield from rows
            if cursor is None:
                return

    def _run(self, plan: Plan[calls.T]) -> calls.T:
        return self._transport.run(plan)
