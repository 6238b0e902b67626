"""What AVANSER's replies mean: the envelope, the acknowledgement, the refusal, the lists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from models.request import Kind
from models.state import Reason
from worker.signing import BadToken, claimed_by
from worker.upstreams.ask import Question
from worker.upstreams.avanser.body import custom_id
from worker.upstreams.avanser.spec import HOME
from worker.upstreams.base import (
    Accepted,
    Answer,
    Completed,
    NotFound,
    Order,
    OwnedNumber,
    Rejected,
    StockRow,
    Unavailable,
    Undecidable,
    Unreadable,
)
from worker.upstreams.e164 import NotANumber, to_e164
from worker.upstreams.http import Reply

LONGEST_REFERENCE = 255
"""Characters of a request_id; 40 are usual."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A reply of AVANSER's. `code` is the worse of HTTP's and its own."""

    account: str
    code: int
    message: str
    response: Any
    headers: Mapping[str, str]

    @classmethod
    def of(cls, reply: Reply) -> Envelope:
        """Raises Unreadable where the reply is not AVANSER's."""
        document = reply.json()
        if not isinstance(document, dict) or not isinstance(document.get("@transaction"), dict):
            raise Unreadable("no @transaction")
        account = document["@transaction"].get("account-id")
        if not isinstance(account, str | int) or not str(account) or "response" not in document:
            raise Unreadable("no account-id or no response")
        response = document["response"]
        said = response if isinstance(response, dict) else {}
        return cls(
            account=str(account),
            code=max(reply.status, _whole(said.get("code"))),
            message=str(said.get("message", "")),
            response=response,
            headers=reply.headers,
        )

    def rows(self) -> Mapping[str, Mapping[str, Any]]:
        """A map of rows. Raises Unreadable."""
        rows = {} if self.response == [] else self.response
        if not isinstance(rows, dict) or not all(isinstance(row, dict) for row in rows.values()):
            raise Unreadable("not a map of rows")
        return rows


def acknowledged(question: Question, order: Order, envelope: Envelope) -> Accepted:
    """Submitted, not done. The number is already ours; its configuration takes minutes."""
    said = envelope.response if isinstance(envelope.response, dict) else {}
    reference, number = said.get("request_id"), _e164(said.get("service_number"))
    if not isinstance(reference, str) or not 0 < len(reference) <= LONGEST_REFERENCE or number is None:
        raise question.unclear("AVANSER's acknowledgement has no request_id or no service_number")
    if order.number is not None and number != order.number:
        if order.kind is not Kind.PROVISION:
            raise question.unclear(f"AVANSER acknowledged {number} where {order.number} was meant")
        return Accepted(number, reference, f"AVANSER gave {number}, the closest to {order.number}")
    return Accepted(number, reference)


def refusal(order: Order, envelope: Envelope) -> Rejected:
    detail = f"AVANSER answered {envelope.code}: {envelope.message or 'no reason given'}"
    if envelope.code == 404 and order.kind is Kind.PROVISION:
        return Rejected(Reason.OUT_OF_STOCK, detail)
    if envelope.code == 409 and not _names_a_number(order):
        # Another customer was quicker with the number that AVANSER picked; it will pick another.
        raise Unavailable(detail)
    return Rejected(detail=detail)


def may_be_our_own_doing(order: Order, code: int) -> bool:
    """A number is taken because we took it; a service is gone because we gave it up."""
    return (code == 409 and _names_a_number(order)) or (code == 404 and order.kind is Kind.RELEASE)


def _names_a_number(order: Order) -> bool:
    """An order for one given number, as the requester's or because an earlier attempt was given it."""
    return order.number is not None or "number" in order.spec.get("service_number", {})


def found(order: Order, rows: Mapping[str, Mapping[str, Any]]) -> Answer:
    """What the list of requests says about this order, told by our own token in `callback_uri`."""
    ours = {reference: row for reference, row in rows.items() if _is_ours(order, row)}
    if not ours:
        nameless = {
            reference: row for reference, row in rows.items() if not row.get("callback_uri") and _fits(order, row)
        }
        if not nameless:
            return NotFound()
        if len(nameless) > 1 or order.custom_id is not None or order.kind is not Kind.PROVISION:
            raise Undecidable(f"{len(nameless)} requests at AVANSER may be this one; none shows our URI")
        ours = nameless  # of one that carries our own id as its custom_id there is no doubt
    answers = [_answer(reference, row) for reference, row in ours.items()]
    standing = [answer for answer in answers if not isinstance(answer, Rejected)]
    if len({answer.number for answer in standing}) > 1:
        numbers = ", ".join(sorted(str(answer.number) for answer in standing))
        raise Undecidable(f"AVANSER has this order more than once: {numbers}")
    done = [answer for answer in standing if isinstance(answer, Completed)]
    return (done or standing or answers)[-1]


def _is_ours(order: Order, row: Mapping[str, Any]) -> bool:
    """By the request that the URI's token names, not by the whole URI: keys are rotated and public URLs change."""
    return _request_of(row.get("callback_uri")) == order.request_id


def _request_of(uri: Any) -> UUID | None:
    if not isinstance(uri, str):
        return None
    try:
        return claimed_by(urlsplit(uri).path.rpartition("/")[2])
    except (BadToken, ValueError):
        return None


def _fits(order: Order, row: Mapping[str, Any]) -> bool:
    if order.kind is Kind.PROVISION:
        return row.get("custom_id") in (custom_id(order), None, "")
    return _e164(row.get("service_number")) in (order.number, None)


def _answer(reference: str, row: Mapping[str, Any]) -> Completed | Accepted | Rejected:
    number, message = _e164(row.get("service_number")), str(row.get("message") or "") or None
    status = str(row.get("status", "")).casefold()
    match status:
        case "completed":
            return Completed(number, reference[:LONGEST_REFERENCE], message)
        case "failed":
            return Rejected(detail=message)
    return Accepted(number, reference[:LONGEST_REFERENCE], message or status or None)


def stock(rows: Mapping[str, Mapping[str, Any]]) -> list[StockRow]:
    """What could be ordered; rows whose key is no phone number are left out."""
    return [row for number, fields in rows.items() if (row := _stock_row(number, fields)) is not None]


def _stock_row(number: str, fields: Mapping[str, Any]) -> StockRow | None:
    def text(name: str) -> str | None:
        return None if fields.get(name) is None else str(fields[name])

    e164 = _e164(number)
    if e164 is None:
        return None
    return StockRow(e164, text("country"), text("region"), text("type"), text("pool"), raw={"number": number, **fields})


def owned(rows: Mapping[str, Mapping[str, Any]]) -> list[OwnedNumber]:
    """The services; rows whose key is no phone number are left out."""
    return [one for number, fields in rows.items() if (one := _owned(number, fields)) is not None]


def _owned(number: str, fields: Mapping[str, Any]) -> OwnedNumber | None:
    def text(name: str) -> str | None:
        return str(fields[name]) if fields.get(name) else None

    e164 = _e164(number)
    if e164 is None:
        return None
    return OwnedNumber(
        e164,
        reference=None,
        name=text("name"),
        custom_id=text("custom_id"),
        custom_group=text("custom_group"),
        order=_request_of(fields.get("callback_uri")),
        raw={"number": number, **fields},
    )


def _whole(written: Any) -> int:
    """PHP writes some numbers as text. 0 for what is none."""
    text = str(written)
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 3 else 0


def _e164(written: Any) -> str | None:
    try:
        return to_e164(str(written), HOME) if isinstance(written, str | int) else None
    except NotANumber:
        return None
