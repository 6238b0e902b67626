"""How a number is bought from MessageMedia: search, pick, assign; and what a conflict means.

A number picked is written down before it is ordered, so an order of unknown outcome is about one known number: it is
asked for again first, and read before it is believed that somebody else has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from models.state import Reason
from worker.upstreams.base import Answer, Candidate, Completed, Order, Rejected, Unavailable, Undecidable
from worker.upstreams.messagemedia.api import Listing, NumbersApi, Refused, Until
from worker.upstreams.messagemedia.choice import Survey, best_first, is_cheapest
from worker.upstreams.messagemedia.replies import Assignment, Offer
from worker.upstreams.messagemedia.spec import KEY, Provision

STOCK = "/"
"""The search's path, with the slash that MessageMedia's page and the public clients send."""

MOST_PAGES = 10
"""Of a search. What is behind them is not seen; a narrower search (`matching`) finds it."""

SPOKEN_FOR = timedelta(seconds=15)
"""Until it is seen whether the others have bought what they are after."""

LEAST_TO_ASSIGN = 1 / 3
"""Of the deadline, without which no number is ordered: an answer that comes too late is an unknown outcome."""

NOT_ASSIGNED = {404, 409}
"""Answers to an assignment: no such number (any more); a conflict, which MessageMedia documents without its code."""


class Purchase:
    """One order's search for its number."""

    def __init__(self, api: NumbersApi, order: Order, until: Until) -> None:
        """Raises ValueError for a spec that `check` would refuse."""
        self._api, self._order, self._until = api, order, until
        self._spec = Provision.model_validate(dict(order.spec))
        self._survey = Survey(self._spec)
        self._seen: set[str] = set()
        self._spoken_for = self._lost = 0

    async def make(self) -> Answer:
        """Raises Unavailable, OutcomeUnknown, Undecidable."""
        before = picked(self._order)
        if before is not None:
            self._seen.add(before.reference)
            if answer := await self._assign(before):
                return answer
        try:
            return await self._from_stock()
        except Refused as error:
            if not error.is_about_what_was_asked:
                raise
            return Rejected(detail=str(error))

    async def _from_stock(self) -> Answer:
        """Page by page. Dearer numbers wait until no page has a cheaper one."""
        listing = Listing(self._api, STOCK, self._spec.search.params(), MOST_PAGES)
        dearer: list[Offer] = []
        while (rows := await listing.next_page(self._until)) is not None:
            offers = self._new(rows)
            if answer := await self._take_one([offer for offer in offers if is_cheapest(offer.row)]):
                return answer
            dearer += [offer for offer in offers if not is_cheapest(offer.row)]
        if answer := await self._take_one(dearer):
            return answer
        if self._spoken_for:
            detail = f"Other orders of ours are after all {self._spoken_for} numbers that fit"
            raise Unavailable(detail, retry_after=SPOKEN_FOR, is_failure=False)
        return Rejected(Reason.OUT_OF_STOCK, self._survey.why_nothing(listing.is_cut, self._lost))

    def _new(self, rows: Sequence[Mapping[str, Any]]) -> list[Offer]:
        """What would do of a page. The stock moves while it is read: one number may be on two pages."""
        offers = [offer for offer in map(Offer.of, rows) if offer is not None and offer.id not in self._seen]
        self._seen |= {offer.id for offer in offers}
        return self._survey.sift(offers, datetime.now(UTC))

    async def _take_one(self, offers: Sequence[Offer]) -> Answer | None:
        """Order one of these; None where every one of them is somebody else's."""
        left = {offer.id: offer for offer in best_first(offers, self._order.request_id)}
        while left:
            chosen = await self._order.pick([offer.candidate for offer in left.values()])
            if chosen is None:
                self._spoken_for += len(left)
                return None
            if answer := await self._assign(chosen, left.pop(chosen.reference).row.classification):
                return answer
        return None

    async def _assign(self, chosen: Candidate, classification: str | None = None) -> Answer | None:
        """Order this number; None where it is not to be had, and not ours either."""
        if not self._until.has(LEAST_TO_ASSIGN):
            raise Unavailable("The search left too little time to order in")
        refusal = await self._api.assign(chosen.reference, assignment_body(self._order, self._spec), self._until)
        if refusal is None:
            return Completed(chosen.number, chosen.reference, f"A {classification} number" if classification else None)
        if refusal.status not in NOT_ASSIGNED:
            return Rejected(detail=str(refusal))
        if await self._is_ours_already(chosen):
            return Completed(chosen.number, chosen.reference)
        self._lost += 1
        return None

    async def _is_ours_already(self, chosen: Candidate) -> bool:
        """Whether this order has the number that it was refused. Raises Undecidable."""
        found = await self._api.read(chosen.reference, self._until)
        if found is None:
            return False
        may_be = self._order.repeated and chosen.reference == self._order.upstream_reference
        return is_for(self._order, chosen, found) if may_be else found.order == self._order.request_id


def picked(order: Order) -> Candidate | None:
    """The number that an earlier attempt wrote down."""
    if order.upstream_reference is None or order.number is None:
        return None
    return Candidate(order.upstream_reference, order.number)


def is_for(order: Order, chosen: Candidate, found: Assignment) -> bool:
    """Whether an assignment of the number that was picked is this order's. Raises Undecidable.

    Ours carries our key from its first moment on. One that names another request of ours is that request's. One that
    names none may be the work of a person at MessageMedia's portal, or ours after such a person rewrote its metadata.
    """
    if found.order is None:
        raise Undecidable(f"{chosen.number} is assigned to our account, and nothing shows whether by this order")
    return found.order == order.request_id


def assignment_body(order: Order, spec: Provision) -> dict[str, Any]:
    """The body of `POST /{number_id}/assignment`: what was not given is left out."""
    label = {} if spec.label is None else {"label": spec.label}
    return {**label, "metadata": {**(spec.metadata or {}), KEY: str(order.request_id)}, **spec.extra}
