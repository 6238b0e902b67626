"""What was said to an upstream and what it answered: heard by whoever wants to keep it, and masked when it is kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from worker.masking import beginning

MOST_KEPT = 3
"""The last ones of an attempt: an order of several steps fails at one of these."""

MOST_BYTES = 1_000
"""Of each body."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One call. `status` None: no answer came, and `answer` says what happened."""

    method: str
    path: str  # behind the base URL, without a query
    document: Any  # that was sent as JSON; None: no body
    status: int | None
    answer: bytes


exchanges: ContextVar[list[Exchange] | None] = ContextVar("exchanges", default=None)
"""Where calls are noted; None where nobody wants them. Whoever asks sets it, for the task in which it asks."""


def note(exchange: Exchange) -> None:
    if (heard := exchanges.get()) is not None:
        heard.append(exchange)


def view(heard: Sequence[Exchange]) -> list[dict[str, Any]]:
    """The last of them, masked, ready for JSON."""
    return [_view(one) for one in heard[-MOST_KEPT:]]


def _view(one: Exchange) -> dict[str, Any]:
    sent = b"" if one.document is None else json.dumps(one.document, ensure_ascii=False).encode()
    return {
        "request": beginning(f"{one.method} {one.path}".encode(), MOST_BYTES),
        "sent": beginning(sent, MOST_BYTES),
        "status": one.status,
        "answer": beginning(one.answer, MOST_BYTES),
    }
