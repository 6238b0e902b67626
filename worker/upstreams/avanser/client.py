"""AVANSER's Telco API: an order is acknowledged at once with its number, and completed by a callback minutes later.

What its page (version of 2017) and blueprint do not say is inferred here and nowhere else in the code:

| what | taken as |
| --- | --- |
| refusal | the envelope with `response` `{code, message}`, by HTTP 4xx or by HTTP 200 with a code ≥ 400 |
| code 404 on a new service | nothing in stock fits |
| code 409 on a new service | the number is taken, perhaps by ourselves: looked at before it is believed |
| list of requests | `GET /requests`, a map keyed by request_id; `status` `failed` and `completed` are ends |
| list of services | `GET /services`, a map keyed by number, whole: of pages nothing is known |
| stock search | by `country` and `szu` as on the page, and by `type`, `location`, `latitude`, `longitude`, `prefix` |
| release | `DELETE /services/{number}?callback_uri=…`, acknowledged like an update |
| nothing found | `{}` or, as PHP writes an empty map, `[]` |
| search types | `location`, `coordinates`, `prefix`, `type` (`spec`); any may be narrowed by a `type` |
| `szu` | refused by us outside Australia: "Australia Only", says the page |
| service types | `voicemail` and `prompt`, without an answer point (`spec`) |
| options | `missed_call` `{emails, sms}`, `call_greeting`, `call_whisper`, `voicemail_greeting` (`spec`) |
| SMSForward-URI | `smsforward_uri` beside `call_uri`; for mobile numbers alone, so for others it is not sent |
| forwarded message | the names of its fields (`messages`) |
| failure | a callback with status `failed` and a `message`; any other status than that and `completed` is a note |

What carries no envelope is nobody's word: behind a proxy's 404 the order may stand. `@transaction.account-id` is
compared on every reply that is read, since one user may reach several accounts and buying on another is real money:
so the stock is looked at before a number is ordered, once a minute for all that search alike (`stock`). A
search that fails keeps no order back: then it is the acknowledgement that tells, after one purchase.
"""

from __future__ import annotations

import math
import time
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

from models.request import Kind
from worker.fault import Fault
from worker.upstream_settings import AvanserSettings
from worker.upstreams.ask import Asker, Question, judge
from worker.upstreams.avanser import body, check, drift, events, messages, replies, stock
from worker.upstreams.avanser.replies import Envelope
from worker.upstreams.avanser.spec import HOME, Provision
from worker.upstreams.base import (
    Accepted,
    Answer,
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
    WrongAccount,
)
from worker.upstreams.e164 import to_digits

NAME = "avanser"

A = TypeVar("A", bound=Answer)

LONGEST_LIST = 64 * 1024 * 1024
"""Bytes of a list of services: more than 100,000 of them."""


class AvanserDialect(Dialect):
    name = NAME
    home = "AU"
    repeated_by_updates = ("smsforward_uri",)  # an update without it points a mobile number's messages at us

    def check(self, kind: Kind, spec: Mapping[str, Any]) -> list[Fault]:
        return check.check(kind, spec)

    def stock_query(self, spec: Mapping[str, Any]) -> Mapping[str, str]:
        return stock.criteria(Provision.model_validate(dict(spec)))

    def is_met_by(self, spec: Mapping[str, Any], row: StockRow) -> bool:
        """Country and class once more: that AVANSER's search knows `type` is inferred, and a wrong class is money."""
        wanted = Provision.model_validate(dict(spec)).service_number
        return _suits(wanted.country, row.country) and _suits(wanted.type, row.type)

    def drift(self, held: Held, shown: OwnedNumber) -> list[Difference]:
        return drift.differences(held, shown)

    def read_completion(self, incoming: Incoming) -> Answer:
        return events.read_completion(incoming)

    def read_calls(self, incoming: Incoming) -> list[FinishedCall]:
        return [events.read_call(incoming)]

    def read_messages(self, incoming: Incoming) -> list[InboundMessage]:
        return [messages.read_message(incoming)]


class AvanserClient(Upstream):
    """Needs a username, a password and an account."""

    name = NAME

    def __init__(self, settings: AvanserSettings) -> None:
        assert settings.username is not None
        assert settings.password is not None
        assert settings.account_id is not None
        self._account = settings.account_id
        login = f"{settings.username}:{settings.password.get_secret_value()}".encode()
        headers = {"Authorization": f"Basic {b64encode(login).decode()}"}
        self._asker = Asker(settings.url, settings.max_in_flight, lambda *_: headers)
        self._stock = stock.Stock(self._stock_rows)
        self._answered_at = -math.inf  # monotonic seconds, when a reply last named our account

    async def submit(self, order: Order, deadline: timedelta) -> Answer:
        until = time.monotonic() + deadline.total_seconds()
        try:
            question = _question(order)
        except ValueError as error:
            return Rejected(detail=f"Not sent: {error}")
        stock_asked = _likely_stock(order)
        await self._look_before_buying(order, stock_asked, deadline)
        envelope = await self._ask(question, timedelta(seconds=until - time.monotonic()))
        if envelope.code < 400:
            return self._with_pool(stock_asked, replies.acknowledged(question, order, envelope))
        refusal = replies.refusal(order, envelope)
        if not replies.may_be_our_own_doing(order, envelope.code):
            return refusal
        return await self._unless_ours(order, refusal, timedelta(seconds=until - time.monotonic()))

    async def look_up(self, order: Order, deadline: timedelta) -> Answer:
        if order.kind is Kind.PROVISION:
            params = {"custom_id": body.custom_id(order)}
        else:
            params = {"service_number": _digits_of(order)}
        question = Question("GET", "/requests", params)
        return self._with_pool(_likely_stock(order), replies.found(order, await self._rows(question, deadline)))

    async def stock(self, query: Mapping[str, str], deadline: timedelta) -> list[StockRow]:
        return replies.stock(await self._stock_rows(query, deadline))

    async def owned(self, deadline: timedelta) -> list[OwnedNumber]:
        rows = await self._rows(Question("GET", "/services", most=LONGEST_LIST), deadline)
        return replies.owned(rows)

    async def check_access(self, deadline: timedelta) -> None:
        await self.stock({"country": HOME}, deadline)

    async def close(self) -> None:
        await self._stock.close()
        await self._asker.close()

    async def _look_before_buying(self, order: Order, asked: Mapping[str, str] | None, deadline: timedelta) -> None:
        """Raises WrongAccount and Misconfigured."""
        is_ours = time.monotonic() - self._answered_at < stock.FRESH_FOR.total_seconds()
        if asked is not None and (order.number is None or not is_ours):  # stock does not show what we may own already
            await self._stock.look(asked, deadline)

    def _with_pool(self, asked: Mapping[str, str] | None, answer: A) -> A:
        if asked is None or not isinstance(answer, Accepted | Completed) or answer.number is None:
            return answer
        return replace(answer, pool=self._stock.pool_of(asked, answer.number))

    async def _stock_rows(self, query: Mapping[str, str], deadline: timedelta) -> Mapping[str, Mapping[str, Any]]:
        return await self._rows(Question("GET", "/numbers", dict(query)), deadline)

    async def _rows(self, question: Question, deadline: timedelta) -> Mapping[str, Mapping[str, Any]]:
        envelope = await self._ask(question, deadline)
        if envelope.code >= 400:
            raise Unavailable(f"AVANSER answered {envelope.code}: {envelope.message or 'no reason given'}")
        try:
            return envelope.rows()
        except Unreadable as error:
            raise Unavailable(f"AVANSER's list cannot be read: {error}") from None

    async def _ask(self, question: Question, deadline: timedelta) -> Envelope:
        """Whatever AVANSER itself answered, success or refusal."""
        reply = await self._asker.ask(question, deadline)
        try:
            envelope = Envelope.of(reply)
        except Unreadable as error:
            hint = "" if reply.is_success else "; is TRUNKLINE_AVANSER_URL right?"
            raise question.unclear(f"HTTP {reply.status}, but not in AVANSER's words: {error}{hint}") from None
        if envelope.account != self._account:
            raise WrongAccount(f"AVANSER answered for account {envelope.account}, ours is {self._account}")
        self._answered_at = time.monotonic()
        judge(question, envelope.code, envelope.headers)  # a 200 may carry a 401, 429 or 500 within
        return envelope

    async def _unless_ours(self, order: Order, refusal: Rejected, deadline: timedelta) -> Answer:
        """The refusal, unless it is about what an earlier attempt of this very order has done.

        Raises Unavailable where that cannot be looked at now: the order was refused, so asking again is safe.
        """
        found = await self.look_up(order, deadline)
        if not isinstance(found, NotFound):
            return found
        if order.repeated:
            raise Undecidable(f"{refusal.detail}. An earlier attempt may have done it, but is not to be seen")
        return refusal


def _question(order: Order) -> Question:
    """Raises ValueError for a spec that `check` would refuse."""
    match order.kind:
        case Kind.PROVISION:
            return Question("POST", "/requests", document=body.provision_body(order))
        case Kind.UPDATE:
            path = f"/services/{_digits_of(order)}"
            return Question("POST", path, document=body.update_body(order))
        case Kind.RELEASE:
            return Question("DELETE", f"/services/{_digits_of(order)}", {"callback_uri": order.callback_uri})


def _likely_stock(order: Order) -> Mapping[str, str] | None:
    """None for what takes nothing from stock, and for a spec of an earlier version that cannot be read any more."""
    if order.kind is not Kind.PROVISION:
        return None
    try:
        return stock.likely(Provision.model_validate(dict(order.spec)))
    except ValueError:
        return None


def _suits(wanted: str | None, shown: str | None) -> bool:
    """Where one of them says nothing, nothing speaks against it."""
    return wanted is None or shown is None or wanted.casefold() == shown.casefold()


def _digits_of(order: Order) -> str:
    if order.number is None:
        raise ValueError("an update or a release needs the number that it is about")
    return to_digits(order.number)
