"""What MessageMedia's replies mean: a page of a list, a number in stock, an assignment, a refusal.

Its pages show one phone number as `"+61439742682"`, `"61436489205"` and as a JSON integer: all are read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from worker.upstreams.base import Candidate, OwnedNumber, StockRow, Unreadable
from worker.upstreams.e164 import NotANumber, to_e164
from worker.upstreams.http import Reply
from worker.upstreams.messagemedia.spec import KEY

AN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,254}")
"""The id of a number: a UUID, or whatever else stands in a path as it is."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A 4xx in MessageMedia's own words: `{"message": …}`, with 400 also `"details": […]`."""

    status: int
    message: str
    details: Sequence[str] = ()

    @classmethod
    def of(cls, reply: Reply) -> Refusal:
        """Raises Unreadable where the reply is not MessageMedia's."""
        document = reply.json()
        message = document.get("message") if isinstance(document, dict) else None
        if not isinstance(message, str):
            raise Unreadable("no message")
        details = document.get("details")
        return cls(reply.status, message, [str(one) for one in details] if isinstance(details, list) else ())

    def __str__(self) -> str:
        more = f" ({'; '.join(self.details)})" if self.details else ""
        return f"MessageMedia answered {self.status}: {self.message}{more}"


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list. `next_token` is None on the last."""

    rows: Sequence[Mapping[str, Any]]
    next_token: str | None

    @classmethod
    def of(cls, reply: Reply) -> Page:
        """Raises Unreadable."""
        document = reply.json()
        rows = document.get("data") if isinstance(document, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise Unreadable("no data")
        pagination = document.get("pagination") or {}
        token = pagination.get("next_token") if isinstance(pagination, dict) else None
        return cls(rows, str(token) if token else None)


@dataclass(frozen=True, slots=True)
class Offer:
    """A number in stock, and the id that it is ordered by."""

    id: str
    row: StockRow
    available_after: datetime | None

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Offer | None:
        """None for what cannot be ordered or held: a row without an id, a short code."""
        number, id_ = _number(raw), _id(raw.get("id"))
        if number is None or id_ is None:
            return None
        capabilities = raw.get("capabilities")
        row = StockRow(
            number,
            country=_word(raw.get("country")),
            region=None,
            type=_word(raw.get("type")),
            classification=_word(raw.get("classification")),
            capabilities=tuple(str(one).upper() for one in capabilities) if isinstance(capabilities, list) else (),
            raw=raw,
        )
        return cls(id_, row, available_after(row))

    @property
    def candidate(self) -> Candidate:
        return Candidate(self.id, self.row.number)


@dataclass(frozen=True, slots=True)
class Assignment:
    """What is written on a number of our account."""

    number_id: str | None
    label: str | None
    metadata: Mapping[str, Any]
    fields: Mapping[str, Any]  # all of them

    @classmethod
    def of(cls, document: Any) -> Assignment:
        """Raises Unreadable."""
        if not isinstance(document, dict) or not {"id", "number_id"} & document.keys():
            raise Unreadable("no assignment")
        number_id, label, metadata = (document.get(name) for name in ("number_id", "label", "metadata"))
        return cls(
            _id(number_id),
            label if isinstance(label, str) else None,
            metadata if isinstance(metadata, dict) else {},
            document,
        )

    @property
    def order(self) -> UUID | None:
        """The request of ours that it was made for; None where it does not say."""
        try:
            return UUID(str(self.metadata.get(KEY)))
        except ValueError:
            return None

    def shows(self, asked: Mapping[str, Any]) -> bool:
        """Whether all that was asked for is there; there may be more, as after a PATCH that adds to the metadata."""
        metadata = asked.get("metadata", {})
        rest = {name: value for name, value in asked.items() if name != "metadata"}
        return _has_all(self.metadata, metadata) and _has_all(self.fields, rest)


def _has_all(shown: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    return all(name in shown and shown[name] == value for name, value in asked.items())


def owned(raw: Mapping[str, Any]) -> OwnedNumber | None:
    """A row of the list of assignments; None for one without a phone number, and for a short code."""
    written, shown = raw.get("assignment"), raw.get("number")
    number = _number(shown) if isinstance(shown, dict) else None
    if number is None or not isinstance(shown, dict):
        return None
    try:
        assignment = Assignment.of(written)
    except Unreadable:
        return OwnedNumber(number, _id(shown.get("id")), raw=raw)
    reference = assignment.number_id or _id(shown.get("id"))
    return OwnedNumber(number, reference, name=assignment.label, order=assignment.order, raw=raw)


def available_after(row: StockRow) -> datetime | None:
    """UTC. None where the row does not say, or cannot be read: then an order tells."""
    written = row.raw.get("available_after")
    try:
        moment = datetime.fromisoformat(written) if isinstance(written, str) else None
        return moment.astimezone(UTC) if moment is not None and moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def _number(raw: Mapping[str, Any]) -> str | None:
    """All spellings are international. With a country given, a short code would be read as a number there."""
    written = raw.get("phone_number")
    if isinstance(written, bool) or not isinstance(written, str | int) or raw.get("type") == "SHORT_CODE":
        return None
    try:
        return to_e164(str(written))
    except NotANumber:
        return None


def _word(written: Any) -> str | None:
    return written.upper() if isinstance(written, str) and written else None


def _id(written: Any) -> str | None:
    return written if isinstance(written, str) and AN_ID.fullmatch(written) else None
