"""Which of MessageMedia's numbers would do for an order, the cheapest first, and why none of them does.

The search knows neither price nor time: class and `available_after` are judged here. So is what it was asked for,
since the reference leaves open whether several service types mean all or any of them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from worker.upstreams.base import StockRow
from worker.upstreams.e164 import to_digits
from worker.upstreams.messagemedia.replies import Offer, available_after
from worker.upstreams.messagemedia.spec import CLASSES, Provision, Search


def would_do(spec: Provision, row: StockRow, now: datetime) -> bool:
    """Whether the number is one that was searched for, costs no more than allowed, and can be had now."""
    return _is_wanted(spec.search, row) and _is_cheap_enough(spec, row) and not _is_later(row, now)


def is_cheapest(row: StockRow) -> bool:
    return row.classification == CLASSES[0]


def best_first(offers: Iterable[Offer], order: UUID) -> list[Offer]:
    """The cheapest class first. Within a class each order has an order of its own.

    MessageMedia lists its stock by id, the same for everybody: who takes the first is the most likely to come second.
    """
    return sorted(offers, key=lambda offer: (_rank(offer.row), _lot(order, offer.id)))


@dataclass
class Survey:
    """What a search came to, told where it came to nothing."""

    spec: Provision
    seen: int = 0
    dearer: Counter[str] = field(default_factory=Counter)
    later: list[datetime] = field(default_factory=list)

    def sift(self, offers: Sequence[Offer], now: datetime) -> list[Offer]:
        """Those that would do."""
        self.seen += len(offers)
        for offer in offers:
            if not _is_wanted(self.spec.search, offer.row):
                continue
            if not _is_cheap_enough(self.spec, offer.row):
                self.dearer[offer.row.classification or "unclassified"] += 1
            elif offer.available_after is not None and offer.available_after > now:
                self.later.append(offer.available_after)
        return [offer for offer in offers if would_do(self.spec, offer.row, now)]

    def why_nothing(self, is_cut: bool, lost: int) -> str:
        """A sentence for people. `lost` are those that others were quicker with."""
        most = self.spec.max_classification
        parts = [f"No number that fits among the {'first ' if is_cut else ''}{self.seen} that MessageMedia shows"]
        if self.dearer:
            counted = ", ".join(f"{count} {name}" for name, count in sorted(self.dearer.items(), key=_by_price))
            parts.append(f"only dearer ones than max_classification {most}: {counted}")
        if self.later:
            parts.append(f"{len(self.later)} not before {min(self.later).isoformat(timespec='seconds')}")
        if lost:
            parts.append(f"{lost} that others were quicker with")
        return "; ".join(parts)


def _is_wanted(search: Search, row: StockRow) -> bool:
    return (
        row.country in (None, search.country)
        and set(search.service_types or ()) <= set(row.capabilities)
        and (search.types is None or row.type in search.types)
        and _matches(search.matching, row.number)
    )


def _matches(pattern: str | None, number: str) -> bool:
    """MessageMedia may match the international or the national form, whose trunk 0 is in no E.164 number."""
    return pattern is None or any(one in to_digits(number) for one in (pattern, pattern.removeprefix("0")))


def _is_cheap_enough(spec: Provision, row: StockRow) -> bool:
    return _rank(row) <= CLASSES.index(spec.max_classification)


def _rank(row: StockRow) -> int:
    """A class that we do not know may cost anything."""
    return CLASSES.index(row.classification) if row.classification in CLASSES else len(CLASSES)


def _by_price(counted: tuple[str, int]) -> int:
    return CLASSES.index(counted[0]) if counted[0] in CLASSES else len(CLASSES)


def _is_later(row: StockRow, now: datetime) -> bool:
    moment = available_after(row)
    return moment is not None and moment > now


def _lot(order: UUID, number_id: str) -> bytes:
    return hashlib.sha256(order.bytes + number_id.encode()).digest()
