"""Telmetrics' API, version 3 (version 5 as Marchex Marketing Edge): an order is answered at once, with its number.

What its pages do not say is inferred here, and nowhere else in the code:

| what | taken as |
| --- | --- |
| refusal | HTTP 4xx with a JSON object that has a `message`, in any case |
| 409 on a new number | nothing in stock fits |
| 404 and 410 on a number | Telmetrics has no such number; for one to be given up, its list decides |
| `GET /numbers/{id}` | answers as the creation did. What it shows is believed; that it shows nothing is not |
| `status` | `Active`, or none: in service. Anything else: not in service |
| order of the list | the same from page to page, but for rows that come and go |
| `PUT /numbers/{id}` | answers with the number as it is then |
| `DELETE /numbers/{id}` | answers with nothing, or with any JSON |
| `page_variable_triggers`, `*_trigger_operator`, `transcript_enabled` | as in a public client |
| end of a call | Action `…CallPreprocessed` or `…CallProcessed` (only the first is seen), or an `EndTime` |
| start of a call | any other Action: no call yet |
| `CallerNumber`, `CallDuration` | the caller, and seconds; the page's example breaks off before them |
| `StartTime` | in the time of a place; `MonitorStartTime` the same in UTC, see `events._started` |
| `MessageDate` | UTC |
| what SMS-To-Webhook posts | a JSON object; every field is kept, likely names are read |

An order carries our key at the beginning of its number's name, and is looked for by it in the list of all numbers.
Telmetrics has no envelope to know its replies by: a success must show the number that was meant, and a 4xx without a
message may come from anybody between us, so it proves nothing.

To read a list of N numbers takes N / 1,000 requests, one after the other, and all of them have to be answered within
the upstream's time-out (TRUNKLINE_TELMETRICS_TIMEOUT): with 100,000 numbers and more that may have to grow.
Version 5 wants a subscription key, and its own address: https://edgeapi.marchex.io/marketingedge/v5/api.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pydantic import ValidationError as Invalid

from models.request import Kind
from worker.fault import Fault
from worker.upstream_settings import TelmetricsSettings
from worker.upstreams.ask import Asker, Question
from worker.upstreams.base import (
    Answer,
    BadQuery,
    Completed,
    Dialect,
    Difference,
    FinishedCall,
    Held,
    InboundMessage,
    Incoming,
    NotFound,
    Order,
    OwnedNumber,
    Rejected,
    StockRow,
    Unavailable,
    Undecidable,
    Unreadable,
    Upstream,
)
from worker.upstreams.telmetrics import drift, events, replies
from worker.upstreams.telmetrics.body import number_path, numbers_path, provision_body, shows, update_body
from worker.upstreams.telmetrics.listing import Shared, read_all
from worker.upstreams.telmetrics.replies import GONE, Listed, Page, Row
from worker.upstreams.telmetrics.spec import check as check_spec

NAME = "telmetrics"

LONGEST_PAGE = 16 * 1024 * 1024
"""Bytes of 1,000 numbers: 16 KB for each."""


class TelmetricsDialect(Dialect):
    name = NAME
    home = "US"

    def check(self, kind: Kind, spec: Mapping[str, Any]) -> list[Fault]:
        return check_spec(kind, spec)

    def stock_query(self, spec: Mapping[str, Any]) -> Mapping[str, str]:
        return {name: str(value).casefold() for name, value in spec["phone_number_request"].items()}

    def drift(self, held: Held, shown: OwnedNumber) -> list[Difference]:
        return drift.differences(held, shown)

    def read_calls(self, incoming: Incoming) -> list[FinishedCall]:
        return events.read_calls(incoming)

    def read_messages(self, incoming: Incoming) -> list[InboundMessage]:
        return events.read_messages(incoming)


class TelmetricsClient(Upstream):
    """Needs a token; version 5 a subscription key as well."""

    name = NAME

    def __init__(self, settings: TelmetricsSettings) -> None:
        assert settings.token is not None
        headers = {"x-organization-token": settings.token.get_secret_value()}
        if settings.subscription_key is not None:
            headers["subscription-key"] = settings.subscription_key.get_secret_value()
        self._asker = Asker(settings.url, settings.max_in_flight, lambda *_: headers)
        self._answer_within = settings.answer_within
        self._numbers = Shared(self._read_numbers)

    async def submit(self, order: Order, deadline: timedelta) -> Answer:
        until = time.monotonic() + deadline.total_seconds()
        try:
            match order.kind:
                case Kind.PROVISION:
                    return await self._provision(order, until)
                case Kind.UPDATE:
                    return await self._update(order, until)
                case Kind.RELEASE:
                    return await self._release(order, until)
        except Invalid as error:
            return Rejected(detail=f"Not sent, for the spec cannot be read any more: {error}")

    async def look_up(self, order: Order, deadline: timedelta) -> Answer:
        until = time.monotonic() + deadline.total_seconds()
        if order.kind is Kind.PROVISION:
            return (await self._numbers.get(deadline)).found(order)
        row = await self._find(order, until)
        if order.kind is Kind.RELEASE:
            return Completed(order.number) if row is None else NotFound()
        if row is not None and _is_as_asked(row, order):
            return Completed(order.number, row.reference)
        return NotFound()

    async def stock(self, query: Mapping[str, str], deadline: timedelta) -> list[StockRow]:
        """Raises BadQuery, always."""
        raise BadQuery("Telmetrics has no stock that could be searched: it picks a number when one is ordered")

    async def owned(self, deadline: timedelta) -> list[OwnedNumber]:
        return (await self._numbers.get(deadline)).owned()

    async def check_access(self, deadline: timedelta) -> None:
        await self._page(1, 1)

    async def close(self) -> None:
        await self._asker.close()

    async def _provision(self, order: Order, until: float) -> Answer:
        question = Question("POST", numbers_path(order), document=provision_body(order))
        reply = await self._asker.ask(question, _left(until))
        if reply.is_success:
            return replies.created(question, order, reply)
        refusal = replies.refusal(question, order, reply)
        if order.repeated:
            # It may be refused for what an earlier attempt of this very order has done, such as taking the name.
            found = await self.look_up(order, _left(until))
            return refusal if isinstance(found, NotFound) else found
        return refusal

    async def _update(self, order: Order, until: float) -> Answer:
        reference, key = order.number_reference, None
        if reference is None or order.spec.get("name") is not None:
            row = await self._find(order, until)  # its name begins with a key that is to stay
            if row is None:
                return replies.not_there(order)
            reference, key = row.reference, row.order
        question = Question("PUT", number_path(reference), document=update_body(order, key))
        reply = await self._asker.ask(question, _left(until))
        if reply.is_success:
            return replies.updated(question, order, reply)
        return replies.refusal(question, order, reply)

    async def _release(self, order: Order, until: float) -> Answer:
        reference = order.number_reference
        if reference is None:
            row = await self._find(order, until)
            if row is None:
                return Completed(order.number) if order.repeated else replies.not_there(order)
            reference = row.reference
        question = Question("DELETE", number_path(reference))
        reply = await self._asker.ask(question, _left(until))
        if reply.is_success:
            return replies.released(question, order, reply)
        refusal = replies.refusal(question, order, reply)
        if not (order.repeated and reply.status in GONE):
            return refusal
        left = await self._find(order, until)
        if left is not None and left.is_active:
            raise Unavailable(f"{refusal.detail} And yet its list shows it.")
        return Completed(order.number, reference)

    async def _find(self, order: Order, until: float) -> Row | None:
        """The number to update or release; None where the list of all numbers does not have it. Raises Undecidable."""
        if order.number_reference is None:
            return (await self._numbers.get(_left(until))).in_service(order.number or "")
        row = await self._by_id(order.number_reference, until)
        if row is None:
            row = (await self._numbers.get(_left(until))).by_reference.get(order.number_reference)
        if row is not None and row.number != order.number:
            raise Undecidable(f"Telmetrics has {row.number} under the id {row.reference}, and not {order.number}")
        return row

    async def _by_id(self, reference: str, until: float) -> Row | None:
        reply = await self._asker.ask(Question("GET", number_path(reference)), _left(until))
        try:
            row = Row.of(reply.json()) if reply.is_success else None
        except Unreadable:
            return None
        return row if row is not None and row.reference == reference else None

    async def _read_numbers(self) -> Listed:
        return Listed((await read_all(self._page)).values())

    async def _page(self, number: int, size: int) -> Page:
        params = {"pagesize": str(size), "pagenumber": str(number)}
        question = Question("GET", "/numbers", params, most=LONGEST_PAGE)
        reply = await self._asker.ask(question, self._answer_within)
        try:
            return Page.of(reply)
        except Unreadable as error:
            raise Unavailable(f"Telmetrics' list cannot be read: {error}") from None


def _left(until: float) -> timedelta:
    return timedelta(seconds=until - time.monotonic())


def _is_as_asked(row: Row, order: Order) -> bool:
    """Raises Undecidable."""
    try:
        return shows(row.document, update_body(order, row.order))
    except Invalid as error:
        raise Undecidable(f"The spec cannot be read any more: {error}") from None
