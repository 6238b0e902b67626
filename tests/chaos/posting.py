"""Sends callbacks in an upstream's place, many at once, as it would and as it never should."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

ANSWERED_WITHIN = 60.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Posting:
    """One callback: to a URI, with these fields, in a JSON body or in the query."""

    uri: str
    fields: Mapping[str, str] = field(default_factory=dict)
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Said:
    """What came back; status 0 where nothing did."""

    status: int
    content_type: str = ""
    body: bytes = b""


def completion(entry: Mapping[str, Any], **changes: str) -> Posting:
    """AVANSER's callback for this order of its ledger, completed, but for these changes."""
    fields = {
        "account_id": entry["account"],
        "request_id": entry["request_id"],
        "custom_id": entry["custom_id"],
        "custom_group": entry["custom_group"],
        "service_number": entry["number"],
        "answer_point": entry["answer_point"],
        "message": "Request completed successfully",
        "status": "completed",
    }
    return Posting(entry["callback_uri"], fields | changes)


def post(postings: Sequence[Posting], at_once: int = 50) -> list[Said]:
    """Send all, so many at the same time, and return what came back, in the order given."""
    return asyncio.run(_post(postings, at_once))


async def _post(postings: Sequence[Posting], at_once: int) -> list[Said]:
    limit = aiohttp.ClientTimeout(total=ANSWERED_WITHIN)
    turns = asyncio.Semaphore(at_once)  # aiohttp's own limit counts the wait for a connection as the answer's time

    async def one(posting: Posting) -> Said:
        async with turns:
            return await _one(session, posting)

    async with aiohttp.ClientSession(timeout=limit) as session:
        return await asyncio.gather(*map(one, postings))


async def _one(session: aiohttp.ClientSession, posting: Posting) -> Said:
    is_get = posting.method == "GET"
    carried: dict[str, Any] = {"params": posting.fields} if is_get else {"json": dict(posting.fields)}
    try:
        async with session.request(posting.method, posting.uri, **carried) as answer:
            return Said(answer.status, answer.headers.get("Content-Type", ""), await answer.read())
    except (aiohttp.ClientError, TimeoutError, OSError):
        return Said(0)
