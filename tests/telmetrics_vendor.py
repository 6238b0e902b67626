"""A Telmetrics that answers as a test tells it to, and orders and a client for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from pydantic import SecretStr

from models.base import new_id
from models.request import Kind
from tests import picking, telmetrics_page
from tests.raw_server import Connection, RawServer
from tests.sandbox import TELMETRICS_TOKEN
from worker.signing import Tokens, Uris
from worker.upstream_settings import TelmetricsSettings
from worker.upstreams.base import Order, OutcomeUnknown, Unavailable
from worker.upstreams.telmetrics.client import TelmetricsClient
from worker.upstreams.telmetrics.listing import PAGE_SIZE

T = TypeVar("T")
Work = Callable[[TelmetricsClient], Awaitable[T]]

LONG = timedelta(seconds=10)
TOKENS = Tokens([SecretStr("k" * 43)])
NUMBER, REFERENCE = "+12898122093", "8660466"
ROUTES = {"route": {"termination_number": "4165551234"}}


def with_client(url: str, work: Work[T], **settings: Any) -> T:
    """What `work` returns, done with a client of the Telmetrics at `url`."""

    async def story() -> T:
        client = client_of(url, **settings)
        try:
            return await work(client)
        finally:
            await client.close()

    return asyncio.run(story())


def client_of(url: str, **settings: Any) -> TelmetricsClient:
    return TelmetricsClient(TelmetricsSettings(url=url, token=SecretStr(TELMETRICS_TOKEN), **settings))


def order(kind: Kind = Kind.PROVISION, public_url: str = "http://127.0.0.1:9", **fields: Any) -> Order:
    request_id: UUID = new_id()
    uris = Uris(public_url, TOKENS)
    specs = {Kind.PROVISION: telmetrics_page.spec("number"), Kind.UPDATE: {"call_routes": ROUTES}, Kind.RELEASE: {}}
    given: dict[str, Any] = {
        "spec": specs[kind],
        "number": None if kind is Kind.PROVISION else NUMBER,
        "number_reference": None if kind is Kind.PROVISION else REFERENCE,
        "upstream_reference": None,
        "custom_id": None,
        "custom_group": None,
    } | fields
    return Order(
        request_id=request_id,
        kind=kind,
        callback_uri=uris.callback("telmetrics", request_id),
        call_uri=uris.call("telmetrics", request_id),
        sms_uri=uris.sms("telmetrics", request_id),
        pick=picking.first,
        **given,
    )


class Vendor:
    """Answers each question by its method and path with the replies (status, text) set for it, the last for ever."""

    def __init__(self) -> None:
        self.replies: dict[str, list[tuple[str, str]]] = {}
        self.asked: list[tuple[str, dict[str, str], Any]] = []
        self.heads: list[bytes] = []

    def on(self, question: str, *replies: tuple[str, Any]) -> Vendor:
        self.replies[question] = [
            (status, text if isinstance(text, str) else json.dumps(text)) for status, text in replies
        ]
        return self

    async def serve(self, connection: Connection) -> None:
        while request := await connection.read_request():
            head, _, body = request.partition(b"\r\n\r\n")
            method, target, _ = head.decode().split("\r\n")[0].split(" ")
            parts = urlsplit(target)
            self.heads.append(head)
            question = f"{method} {parts.path.removeprefix('/v3/api')}"
            self.asked.append((question, _query(parts.query), json.loads(body) if body else None))
            left = self.replies.get(question, [("404 Not Found", json.dumps({"message": "no such path"}))])
            status, text = left[0] if len(left) == 1 else left.pop(0)
            await connection.answer(text.encode(), status, "Content-Type: application/json")

    def tell(self, work: Work[T], **settings: Any) -> T:
        async def story() -> T:
            async with RawServer(self.serve) as server:
                client = client_of(f"{server.url}/v3/api", **settings)
                try:
                    return await work(client)
                finally:
                    await client.close()

        return asyncio.run(story())

    def submit(self, asked: Order) -> Any:
        return self.tell(lambda client: client.submit(asked, LONG))

    def look_up(self, asked: Order) -> Any:
        return self.tell(lambda client: client.look_up(asked, LONG))

    @property
    def questions(self) -> list[str]:
        return [question for question, _, _ in self.asked]


def _query(raw: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(raw).items()}


def number(**changes: Any) -> dict[str, Any]:
    """The page's first answer, as a number of ours or with changes."""
    return telmetrics_page.document("number_answer") | changes


def listing(*numbers: Mapping[str, Any]) -> tuple[str, Any]:
    paging = {"pageNumber": 1, "pageSize": PAGE_SIZE, "total": len(numbers)}
    return "200 OK", {"results": list(numbers), "paging": paging}


ANY_ORDER = ("POST /groups/11623282/numbers", f"PUT /numbers/{REFERENCE}", f"DELETE /numbers/{REFERENCE}")


async def answer_to(asked: Awaitable[Any]) -> Any:
    """The answer, or what was raised in its place."""
    try:
        return await asked
    except (Unavailable, OutcomeUnknown) as failure:
        return failure


def refused(status: str, message: str = "m") -> tuple[str, Any]:
    return status, {"message": message}


class Directory(Vendor):
    """Pages a list of numbers as Telmetrics does; `meanwhile` may change it after each page."""

    def __init__(self, rows: list[dict[str, Any]], meanwhile: Callable[[Directory], None] = lambda _: None) -> None:
        super().__init__()
        self.rows, self._meanwhile = rows, meanwhile

    async def serve(self, connection: Connection) -> None:
        while request := await connection.read_request():
            target = request.split(b" ")[1].decode()
            query = _query(urlsplit(target).query)
            self.asked.append((f"GET {urlsplit(target).path}", query, None))
            size, page = int(query["pagesize"]), int(query["pagenumber"])
            paging = {"pageNumber": page, "pageSize": size, "total": len(self.rows)}
            shown = self.rows[(page - 1) * size : page * size]
            await connection.answer(json.dumps({"paging": paging, "results": shown}).encode())
            self._meanwhile(self)


def rows(count: int) -> list[dict[str, Any]]:
    return [number(id=id_, phone_number=f"{2890000000 + id_}") for id_ in range(1, count + 1)]
