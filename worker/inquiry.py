"""A question to an upstream outside of a worker: on a loop and a connection of its own, and nothing is left behind.

Rare enough for that. It counts against no limit of ours: a person asks, and waits for the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from worker.settings import Settings
from worker.upstreams import make_client
from worker.upstreams.base import OwnedNumber, StockRow, Upstream

T = TypeVar("T")


def stock(name: str, settings: Settings, query: Mapping[str, str], within: timedelta) -> list[StockRow]:
    """What could be ordered now. Raises BadQuery, Unavailable, WrongAccount, and SettingsError where the upstream is
    not set up."""
    return asyncio.run(_ask(name, settings, lambda client: client.stock(query, within)))


def owned(name: str, settings: Settings, within: timedelta) -> list[OwnedNumber]:
    """All numbers that the upstream says are ours. Raises as `stock` does, but for BadQuery."""
    return asyncio.run(_ask(name, settings, lambda client: client.owned(within)))


async def _ask(name: str, settings: Settings, question: Callable[[Upstream], Awaitable[T]]) -> T:
    client = make_client(name, settings)
    try:
        return await question(client)
    finally:
        await client.close()


def view(row: StockRow) -> dict[str, Any]:
    """A number in stock as people and programs see it, ready for JSON."""
    return {
        "number": row.number,
        "country": row.country,
        "region": row.region,
        "type": row.type,
        "pool": row.pool,
        "classification": row.classification,
        "capabilities": list(row.capabilities),
    }
