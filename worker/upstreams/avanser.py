"""AVANSER's Telco API: an order is acknowledged at once with its number, and completed by a callback minutes later.

What its page (version of 2017) and blueprint do not say is inferred here and nowhere else in the code:

| what | taken as |
| --- | --- |
| refusal | the envelope with `response` `{code, message}`, by HTTP 4xx or by HTTP 200 with a code ≥ 400 |
| code 404 on a new service | nothing in stock fits |
| code 409 on a new service | the number is taken, perhaps by ourselves: looked at before it is believed |
| list of requests | `GET /requests`, a map keyed by request_id; `status` `failed` and `completed` are ends |
| release | `DELETE /services/{number}?callback_uri=…`, acknowledged like an update |
| nothing found | `{}` or, as PHP writes an empty map, `[]` |

What carries no envelope is nobody's word: behind a proxy's 404 the order may stand. `@transaction.account-id` is
compared on every reply that is read, since one user may reach several accounts and buying on another is real money.
"""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from models.request import Kind
from worker.fault import Fault
from worker.upstream_settings import AvanserSettings
from worker.upstreams import avanser_body, avanser_events, avanser_replies, avanser_spec
from worker.upstreams.ask import Asker, Question, judge
from worker.upstreams.avanser_replies import Envelope
from worker.upstreams.base import (
    Answer,
    Dialect,
    FinishedCall,
    Incoming,
    NotFound,
    Order,
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


class AvanserDialect(Dialect):
    name = NAME

    def check(self, kind: Kind, spec: Mapping[str, Any]) -> list[Fault]:
        return avanser_spec.check(kind, spec)

    def read_completion(self, incoming: Incoming) -> Answer:
        return avanser_events.read_completion(incoming)

    def read_call(self, incoming: Incoming) -> FinishedCall:
        return avanser_events.read_call(incoming)


class AvanserClient(Upstream):
    """Needs a username, a password and an account."""

    name = NAME

    def __init__(self, settings: AvanserSettings) -> None:
        assert settings.username is not None
        assert settings.password is not None
        assert settings.account_id is not None
        self._account = settings.account_id
        login = f"{settings.username}:{settings.password.get_secret_value()}".encode()
        headers = {"Authorization": f"Basic {b64encode(login).decode()}", "Accept": "application/json"}
        self._asker = Asker(settings.url, settings.max_in_flight, headers)

    async def submit(self, order: Order, deadline: timedelta) -> Answer:
        until = time.monotonic() + deadline.total_seconds()
        try:
            question = _question(order)
        except ValueError as error:
            return Rejected(detail=f"Not sent, for the spec cannot be read any more: {error}")
        envelope = await self._ask(question, deadline)
        if envelope.code < 400:
            return avanser_replies.acknowledged(question, order, envelope)
        refusal = avanser_replies.refusal(order, envelope)
        if not avanser_replies.may_be_our_own_doing(order, envelope.code):
            return refusal
        return await self._unless_ours(order, refusal, timedelta(seconds=until - time.monotonic()))

    async def look_up(self, order: Order, deadline: timedelta) -> Answer:
        if order.kind is Kind.PROVISION:
            params = {"custom_id": avanser_body.custom_id(order)}
        else:
            params = {"service_number": _digits_of(order)}
        question = Question("GET", "/requests", params)
        return avanser_replies.found(order, await self._rows(question, deadline))

    async def stock(self, query: Mapping[str, str], deadline: timedelta) -> list[StockRow]:
        question = Question("GET", "/numbers", dict(query))
        return avanser_replies.stock(await self._rows(question, deadline))

    async def close(self) -> None:
        await self._asker.close()

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
            return Question("POST", "/requests", document=avanser_body.provision_body(order))
        case Kind.UPDATE:
            path = f"/services/{_digits_of(order)}"
            return Question("POST", path, document=avanser_body.update_body(order))
        case Kind.RELEASE:
            return Question("DELETE", f"/services/{_digits_of(order)}", {"callback_uri": order.callback_uri})


def _digits_of(order: Order) -> str:
    if order.number is None:
        raise ValueError("an update or a release needs the number that it is about")
    return to_digits(order.number)
