"""MessageMedia's Numbers API: search the stock, pick a number, assign it with its label; all answered at once.

What its guide and reference do not say is inferred here and nowhere else in the code:

| what | taken as |
| --- | --- |
| conflict on assigning ("already assigned, or `available_after` in the future: choose another") | HTTP 409 |
| 404 on assigning a number that the search has shown | gone meanwhile: as a conflict |
| the assignment of a number that another account has | 404, as of one that nobody has |
| several `service_types` | `SMS,MMS`, as documented for `types`; whether all or any are meant is judged by us |
| `matching` | digits of the international form, or of the national one with its trunk 0 |
| `metadata` given at assignment | shown when the assignment is read, at the latest after the settling time |
| `metadata` of a PATCH | may replace all ("edit or add"): our key may go then, which is missed by a listing only |
| limits of label and metadata | none are documented; what is refused is passed on in MessageMedia's words |
| 404 on changing or giving up a number | our account has not got it |

Contradictions on its own pages, each with a test of ours: the guide's PATCH answers 200 with a label that was not
sent, the reference's answers 204 with none: what comes back is not compared. The reference requires label and
metadata for an assignment, the guide sends neither: the label is left out where none was given. The search's path is
printed with and without a slash at its end: sent with it, as the clients of `api.messagemedia.com` do.

What stays open: if MessageMedia shows an assignment later than the settling time allows for, a number ordered again
is answered by a conflict and read as somebody else's, and a second one is bought.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from models.request import Kind
from worker.fault import Fault
from worker.upstream_settings import MessageMediaSettings
from worker.upstreams.ask import Asker
from worker.upstreams.base import (
    Answer,
    BadQuery,
    Completed,
    Dialect,
    Difference,
    Held,
    InboundMessage,
    Incoming,
    NotFound,
    Order,
    OwnedNumber,
    Rejected,
    StockRow,
    Upstream,
)
from worker.upstreams.e164 import to_digits
from worker.upstreams.messagemedia import auth, choice, drift, events, replies
from worker.upstreams.messagemedia.api import Listing, NumbersApi, Refused, Until
from worker.upstreams.messagemedia.provision import MOST_PAGES, STOCK, Purchase, is_for, picked
from worker.upstreams.messagemedia.replies import Offer
from worker.upstreams.messagemedia.spec import Provision, Update, check, query_of

NAME = "messagemedia"

ASSIGNMENTS = "/assignments"

MOST_PAGES_OWNED = 10_000
"""Half a million numbers: more is a list that does not end."""

TELLING_DIGITS = 8
"""The last ones of a number, in which its national and international forms agree."""


class MessageMediaDialect(Dialect):
    name = NAME
    home = "AU"

    def check(self, kind: Kind, spec: Mapping[str, Any]) -> list[Fault]:
        return check(kind, spec)

    def price_class(self, spec: Mapping[str, Any]) -> str:
        """Which class is bought is known after the order alone, so an order counts as the dearest that it may buy."""
        return str(spec.get("max_classification") or Provision.model_fields["max_classification"].default)

    def stock_query(self, spec: Mapping[str, Any]) -> Mapping[str, str]:
        return Provision.model_validate(dict(spec)).search.params()

    def stock_terms(self, spec: Mapping[str, Any]) -> Mapping[str, str]:
        return {"max_classification": Provision.model_validate(dict(spec)).max_classification}

    def is_met_by(self, spec: Mapping[str, Any], row: StockRow) -> bool:
        return choice.would_do(Provision.model_validate(dict(spec)), row, datetime.now(UTC))

    def drift(self, held: Held, shown: OwnedNumber) -> list[Difference]:
        return drift.differences(held, shown)

    def read_messages(self, incoming: Incoming) -> list[InboundMessage]:
        return [events.read_message(incoming)]


class MessageMediaClient(Upstream):
    """Needs an API key and its secret."""

    name = NAME

    def __init__(self, settings: MessageMediaSettings) -> None:
        self._asker = Asker(settings.url, settings.max_in_flight, auth.authorize(settings))
        self._api = NumbersApi(self._asker)

    async def submit(self, order: Order, deadline: timedelta) -> Answer:
        try:
            work = self._work(order, Until(deadline))
        except ValueError as error:
            return Rejected(detail=f"Not sent, for the spec cannot be read any more: {error}")
        return await work

    async def look_up(self, order: Order, deadline: timedelta) -> Answer:
        until = Until(deadline)
        if order.kind is Kind.PROVISION:
            before = picked(order)
            # Nothing is ordered that was not picked, and written down, before.
            found = None if before is None else await self._api.read(before.reference, until)
            if before is None or found is None or not is_for(order, before, found):
                return NotFound()
            return Completed(before.number, before.reference)
        number_id = await self._number_id(order, until)
        found = None if number_id is None else await self._api.read(number_id, until)
        if order.kind is Kind.RELEASE:
            return Completed(order.number) if found is None else NotFound()
        asked = Update.model_validate(dict(order.spec)).body()
        return Completed(order.number) if found is not None and found.shows(asked) else NotFound()

    async def stock(self, query: Mapping[str, str], deadline: timedelta) -> list[StockRow]:
        """The first pages of it, up to 500 numbers where the query does not say how long a page is."""
        listing = Listing(self._api, STOCK, query_of(query).params(), MOST_PAGES)
        try:
            rows = await listing.rows(Until(deadline))
        except Refused as error:
            if error.is_about_what_was_asked:
                raise BadQuery(str(error)) from None
            raise
        offers = {offer.id: offer for offer in map(Offer.of, rows) if offer is not None}
        return [offer.row for offer in offers.values()]

    async def owned(self, deadline: timedelta) -> list[OwnedNumber]:
        return await self._assigned({}, Until(deadline))

    async def check_access(self, deadline: timedelta) -> None:
        await Listing(self._api, STOCK, {"page_size": "1"}, 1).next_page(Until(deadline))

    async def close(self) -> None:
        await self._asker.close()

    def _work(self, order: Order, until: Until) -> Coroutine[Any, Any, Answer]:
        """Raises ValueError for a spec that `check` would refuse."""
        match order.kind:
            case Kind.PROVISION:
                return Purchase(self._api, order, until).make()
            case Kind.UPDATE:
                return self._change(order, Update.model_validate(dict(order.spec)).body(), until)
            case Kind.RELEASE:
                return self._give_up(order, until)

    async def _change(self, order: Order, body: Mapping[str, Any], until: Until) -> Answer:
        number_id = await self._number_id(order, until)
        if number_id is None:
            return Rejected(detail=_not_ours(order))
        refusal = await self._api.change(number_id, body, until)
        return Completed(order.number) if refusal is None else Rejected(detail=str(refusal))

    async def _give_up(self, order: Order, until: Until) -> Answer:
        number_id = await self._number_id(order, until)
        refusal = None if number_id is None else await self._api.give_up(number_id, until)
        if number_id is not None and refusal is None:
            return Completed(order.number)
        is_gone = refusal is None or refusal.status == 404
        if is_gone and order.repeated:
            return Completed(order.number, detail="It was given up before; an earlier attempt must have done it")
        return Rejected(detail=_not_ours(order) if refusal is None else str(refusal))

    async def _number_id(self, order: Order, until: Until) -> str | None:
        """MessageMedia's own id of the number; None where our account has not got it."""
        if order.number_reference is not None or order.number is None:
            return order.number_reference
        params = {"matching": to_digits(order.number)[-TELLING_DIGITS:]}
        rows = await self._assigned(params, until)
        return next((row.reference for row in rows if row.number == order.number), None)

    async def _assigned(self, params: Mapping[str, str], until: Until) -> list[OwnedNumber]:
        rows = await Listing(self._api, ASSIGNMENTS, params, MOST_PAGES_OWNED).rows(until)
        return [one for one in map(replies.owned, rows) if one is not None]


def _not_ours(order: Order) -> str:
    return f"{order.number} is not among the numbers of our MessageMedia account"
