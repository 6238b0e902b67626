"""What the asynchronous peers send: an order to the upstream, a signed result to the customer."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Self

import aiohttp
from standardwebhooks import Webhook

from tests.bench.peers.orders import Acknowledgement, Order, Refusal, Result
from tests.bench.peers.settings import PeerSettings


class Settings(PeerSettings):
    """What the asynchronous peers are told besides."""

    concurrency: int = 100  # of each worker process
    connections: int = 10  # of each process to PostgreSQL

    @property
    def conninfo(self) -> str:
        """The database, in libpq's form."""
        return self.database_url.replace("postgresql+psycopg://", "postgresql://")


settings = Settings()


class Busy(Exception):
    """The upstream is busy or broken; it may go better next time."""


TRANSIENT: tuple[type[Exception], ...] = (aiohttp.ClientError, TimeoutError, Busy)
"""What is worth another attempt, of an order and of a delivery."""


def token_of(order_id: str) -> str:
    return hmac.digest(settings.secret.encode(), order_id.encode(), "sha256").hex()


class Calls:
    """One process's connections to the upstream and to the customer; `open` makes it."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._auth = aiohttp.BasicAuth(settings.avanser_username, settings.avanser_password)
        self._webhook = Webhook(settings.deliver_secret)
        # Here, and not by the pool's limit, so that waiting for a place does not count as the call's time.
        self._places = asyncio.Semaphore(settings.concurrency)

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator[Self]:
        timeout = aiohttp.ClientTimeout(total=settings.timeout)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            yield cls(session)

    async def place(self, order: Order) -> Acknowledgement | Refusal:
        """Order a number. Raises one of TRANSIENT when no answer came, or none that says yes or no."""
        body = {
            "name": order.custom_id,
            "custom_id": order.custom_id,
            "service_number": {"country": "AU", "search_type": "szu", "szu": "sydney"},
            "service": {"type": "transfer", "answer_point": order.answer_point},
            "callback_uri": f"{settings.public_url}/callbacks/{order.id}/{token_of(order.id)}",
        }
        url = f"{settings.avanser_url}/requests"
        async with self._places, self._session.post(url, json=body, auth=self._auth) as reply:
            if reply.status == 429 or reply.status >= 500:
                raise Busy(reply.status)
            if not reply.ok:
                return Refusal((await reply.text())[:500])
            said = (await reply.json())["response"]
        return Acknowledgement(said["service_number"], said["request_id"])

    async def deliver(self, result: Result) -> None:
        """Tell the customer, under the same webhook-id each time. Raises one of TRANSIENT if that went wrong."""
        now = datetime.now(UTC)
        data = {
            "id": result.order_id, "custom_id": result.custom_id, "state": result.state, "number": result.number
        }  # fmt: skip
        content = json.dumps({"type": f"request.{result.state}", "timestamp": now.isoformat(), "data": data})
        webhook_id = f"msg_{result.order_id}"
        headers = {
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._webhook.sign(webhook_id, now, content),
            "content-type": "application/json",
        }
        async with self._session.post(settings.deliver_to, data=content, headers=headers) as reply:
            reply.raise_for_status()
