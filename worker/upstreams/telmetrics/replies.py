"""What Telmetrics' replies mean: a number, a page of numbers, a refusal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from models.request import Kind
from models.state import Reason
from worker.upstreams.ask import Question
from worker.upstreams.base import (
    Answer,
    Completed,
    NotFound,
    Order,
    OwnedNumber,
    Rejected,
    Undecidable,
    Unreadable,
)
from worker.upstreams.http import Reply
from worker.upstreams.telmetrics.names import key_of, read_name
from worker.upstreams.telmetrics.numbers import read_number

ACTIVE = "active"

GONE = (404, 410)
"""What Telmetrics answers about a number that it does not have."""

LONGEST_REFERENCE = 255

LONGEST_MESSAGE = 500
"""Characters of a refusal that are kept."""


@dataclass(frozen=True, slots=True)
class Row:
    """A number as Telmetrics shows it, alone or in its list."""

    reference: str  # its id at Telmetrics
    number: str | None  # E.164
    name: str  # without our key
    order: UUID | None  # whose key the name begins with
    status: str | None
    document: Mapping[str, Any]

    @classmethod
    def of(cls, document: Any) -> Row:
        """Raises Unreadable where it is no object with an id."""
        if not isinstance(document, dict):
            raise Unreadable("a number is no JSON object")
        reference = document.get("id")
        if isinstance(reference, bool) or not isinstance(reference, int | str):
            raise Unreadable("a number has no id")
        if not 0 < len(str(reference)) <= LONGEST_REFERENCE:
            raise Unreadable("a number has no id of usable length")
        order, name = read_name(str(document.get("name") or ""))
        status = document.get("status")
        return cls(
            reference=str(reference),
            number=read_number(document.get("phone_number")),
            name=name,
            order=order,
            status=None if status is None else str(status),
            document=document,
        )

    @property
    def is_active(self) -> bool:
        return self.status is None or self.status.casefold() == ACTIVE


@dataclass(frozen=True, slots=True)
class Page:
    rows: list[Row]
    size: int  # rows that a full page has
    total: int  # rows in the whole list

    @classmethod
    def of(cls, reply: Reply) -> Page:
        """Raises Unreadable where it is not of the documented form."""
        document = reply.json() if reply.is_success else None
        if not isinstance(document, dict) or not isinstance(document.get("results"), list):
            raise Unreadable(f"HTTP {reply.status}, and no results")
        paging = document.get("paging")
        size, total = (paging.get("pageSize"), paging.get("total")) if isinstance(paging, dict) else (None, None)
        if not isinstance(size, int) or not isinstance(total, int) or size < 0 or total < 0:
            raise Unreadable("no paging")
        return cls([Row.of(row) for row in document["results"]], size, total)


class Listed:
    """The numbers of a list, for many who look for one of them."""

    def __init__(self, rows: Collection[Row]) -> None:
        self.rows = rows
        self.by_reference = {row.reference: row for row in rows}
        self._by_order: defaultdict[UUID | None, list[Row]] = defaultdict(list)
        self._by_number: defaultdict[str | None, list[Row]] = defaultdict(list)
        for row in rows:
            self._by_order[row.order].append(row)
            self._by_number[row.number].append(row)

    def found(self, order: Order) -> Answer:
        """What this says about an order for a new number, told by our own key. Raises Undecidable."""
        ours = self._by_order.get(order.request_id, [])
        if not ours:
            return NotFound()
        standing = [row for row in ours if row.is_active]
        numbers = sorted({str(row.number) for row in standing or ours})
        if not standing:
            raise Undecidable(f"Telmetrics has {', '.join(numbers)} for this order, but as {ours[0].status}")
        if len(numbers) > 1:
            raise Undecidable(f"Telmetrics has this order more than once: {', '.join(numbers)}")
        mine = standing[0]
        if mine.number is None:
            raise Undecidable(f"Telmetrics has number {mine.reference} for this order, and does not say which it is")
        return Completed(mine.number, mine.reference)

    def in_service(self, number: str) -> Row | None:
        """The row of a number, E.164. Raises Undecidable where there are two."""
        standing = [row for row in self._by_number.get(number, []) if row.is_active]
        if len(standing) > 1:
            references = ", ".join(row.reference for row in standing)
            raise Undecidable(f"Telmetrics has {number} more than once: {references}")
        return standing[0] if standing else None

    def owned(self) -> list[OwnedNumber]:
        """The numbers in service; rows without a phone number are left out."""
        return [
            OwnedNumber(row.number, row.reference, row.name or None, order=row.order, raw=row.document)
            for row in self.rows
            if row.number is not None and row.is_active
        ]


def created(question: Question, order: Order, reply: Reply) -> Completed:
    """The number that was made for this order. Raises OutcomeUnknown where the reply does not prove that."""
    row = _row(question, reply)
    if row.order != order.request_id:
        raise question.unclear(
            f"Telmetrics answered with a number whose name does not begin with {key_of(order.request_id)}"
        )
    if row.number is None:
        raise question.unclear(f"Telmetrics answered with {row.reference}, which has no phone number")
    return Completed(row.number, row.reference)


def updated(question: Question, order: Order, reply: Reply) -> Completed:
    """Raises OutcomeUnknown where the reply is about another number, or about none that can be read."""
    row = _row(question, reply)
    if row.number != order.number:
        raise question.unclear(f"Telmetrics answered about {row.number} where {order.number} was meant")
    return Completed(row.number, row.reference)


def released(question: Question, order: Order, reply: Reply) -> Completed:
    """Raises OutcomeUnknown where the reply is not empty and yet cannot be read: somebody between us wrote it."""
    if reply.body.strip():
        try:
            reply.json()
        except Unreadable as error:
            raise question.unclear(f"HTTP {reply.status}, but not in Telmetrics' words: {error}") from None
    return Completed(order.number, order.number_reference)


def _row(question: Question, reply: Reply) -> Row:
    try:
        return Row.of(reply.json())
    except Unreadable as error:
        raise question.unclear(f"HTTP {reply.status}, but not in Telmetrics' words: {error}") from None


def refusal(question: Question, order: Order, reply: Reply) -> Rejected:
    """A 4xx with Telmetrics' own message. Raises OutcomeUnknown where it has none: it may be somebody else's."""
    try:
        detail = f"Telmetrics answered {reply.status}: {_message(reply.json())}"
    except Unreadable as error:
        hint = "is TRUNKLINE_TELMETRICS_URL right?"
        raise question.unclear(f"HTTP {reply.status}, but not in Telmetrics' words: {error}; {hint}") from None
    if order.kind is Kind.PROVISION:
        return Rejected(Reason.OUT_OF_STOCK if reply.status == 409 else Reason.UPSTREAM_REJECTED, detail)
    return Rejected(detail=f"{not_there(order).detail} {detail}" if reply.status in GONE else detail)


def _message(document: Any) -> str:
    said = {str(name).casefold(): value for name, value in document.items()} if isinstance(document, dict) else {}
    message = said.get("message")
    if not isinstance(message, str) or not message.strip():
        raise Unreadable("no message")
    return message.strip()[:LONGEST_MESSAGE]


def not_there(order: Order) -> Rejected:
    return Rejected(detail=f"Telmetrics has no number {order.number} in this organization.")
