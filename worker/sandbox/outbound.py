"""Everything that the simulated upstreams send of their own accord: callbacks, call reports, forwarded messages."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from yarl import URL

from worker.sandbox.ledger import Entry, Ledger
from worker.sandbox.script import CallbackScript

# The last answer's head and 2xx are all that is looked at, so a connection is soon free for the next callback.
_CONNECTIONS = 128


class Outbound:
    """Sends in the background and remembers nothing that the ledger does not."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_CONNECTIONS), cookie_jar=aiohttp.DummyCookieJar()
        )

    async def close(self) -> None:
        self.forget()
        if self._session is not None:
            await self._session.close()

    def forget(self) -> None:
        """Stops everything that is still to be sent."""
        for task in self._tasks:
            task.cancel()

    def launch(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def report(
        self, ledger: Ledger, entry: Entry, method: str, fields: Mapping[str, str], policy: CallbackScript
    ) -> None:
        """Sends one completion callback until it is answered 2xx or `policy.attempts` are used up."""
        wait = policy.backoff
        for attempt in range(policy.attempts):
            if attempt:
                await asyncio.sleep(min(wait, policy.backoff_cap))
                wait *= 2
            status = await self.send(method, entry.callback_uri, fields, within=policy.timeout)
            acknowledged = _is_taken(status)
            ledger.callback_sent(entry, acknowledged=acknowledged)
            if acknowledged:
                return

    async def insist(self, uri: str, body: Callable[[int], Mapping[str, Any]], policy: CallbackScript) -> int | None:
        """POSTs a webhook and returns the status of the first attempt; goes on in the background until it gets a 2xx.

        `body` is asked for each attempt, counted from 1: vendors say in it which one it is.
        """
        status = await self.send("POST", uri, body(1), within=policy.timeout)
        if not _is_taken(status):
            self.launch(self._go_on(uri, body, policy))
        return status

    async def _go_on(self, uri: str, body: Callable[[int], Mapping[str, Any]], policy: CallbackScript) -> None:
        wait = policy.backoff
        for attempt in range(2, policy.attempts + 1):
            await asyncio.sleep(min(wait, policy.backoff_cap))
            wait *= 2
            if _is_taken(await self.send("POST", uri, body(attempt), within=policy.timeout)):
                return

    async def send(
        self, method: str, uri: str, fields: Mapping[str, Any], *, raw_plus: bool = False, within: float = 10
    ) -> int | None:
        """The status that came back, or None when nothing did `within` seconds. A GET carries fields in its query."""
        if self._session is None:
            raise RuntimeError("the sandbox is not running")
        body = json.dumps(fields).encode() if method == "POST" else None
        target = uri if method == "POST" else with_query(uri, fields, raw_plus=raw_plus)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        limit = aiohttp.ClientTimeout(total=within)
        try:
            async with self._session.request(
                method,
                URL(target, encoded=True),
                data=body,
                headers=headers,
                timeout=limit,
                allow_redirects=False,
            ) as answer:
                await answer.read()
                return answer.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return None


def _is_taken(status: int | None) -> bool:
    return status is not None and 200 <= status < 300


def with_query(uri: str, fields: Mapping[str, Any], *, raw_plus: bool) -> str:
    """`uri` with `fields` behind the query it has; `raw_plus` leaves a `+` as it is, which decodes to a space."""
    query = urlencode(fields, quote_via=quote, safe="+" if raw_plus else "")
    return f"{uri}{'&' if '?' in uri else '?'}{query}"
