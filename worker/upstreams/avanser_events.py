"""What AVANSER sends of its own accord: completion callbacks and call reports.

Its page says "HTTP GET" in prose and shows "HTTP Post with a JSON Body", so both are read. Whom an event is about is
known by the token in the URI alone: the ids that come back are another request's in two of the page's three
examples, and an update's callback has none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qsl, unquote

from worker.strict_json import unstorable
from worker.upstreams.base import Answer, Completed, FinishedCall, Incoming, Progress, Rejected, Unreadable
from worker.upstreams.e164 import NotANumber, to_e164
from worker.upstreams.http import read_json

HOME = "AU"

WITH_PLUS = {"bnum", "target", "ani", "tzdate", "service_number", "answer_point"}
"""Whose `+` is no space: AVANSER's page shows it as it is (`bnum = +61-0280740801`), and a form decoder eats it."""

LONGEST_DURATION = 2**31 - 1

_OFFSET_WITHOUT_PLUS = re.compile(r" (\d\d:?\d\d)$")


def read_completion(incoming: Incoming) -> Answer:
    """`status` `completed` and `failed` end a request (the second is inferred); anything else is a note.

    The reference stays unset, since the callback's request_id need not be the acknowledgement's. Raises Unreadable.
    """
    fields = _fields(incoming)
    status, message = fields.get("status", "").strip(), fields.get("message") or None
    match status.casefold():
        case "":
            raise Unreadable("the callback has no status")
        case "completed":
            return Completed(_required_number(fields), detail=message)
        case "failed":
            return Rejected(detail=message)
    return Progress(detail=f"{status}: {message}" if message else status)


def read_call(incoming: Incoming) -> FinishedCall:
    """A finished call; also AVANSER's own test call after a completion, which nothing marks. Raises Unreadable."""
    fields = _fields(incoming)
    reference = (fields.get("callid") or fields.get("uniqueid") or "").strip()
    if not 0 < len(reference) <= 255:
        raise Unreadable("the call has neither callid nor uniqueid")
    written = fields.get("tzdate", "").strip() or None
    return FinishedCall(
        reference=reference,
        number=_number(fields.get("bnum")),
        caller=_number_or_as_sent(fields.get("ani")),
        answer_point=_number_or_as_sent(fields.get("target")),
        status=(fields.get("callstatus") or "")[:64] or None,
        duration=_duration(fields.get("duration", "")),
        started_at=_moment(written),
        started_at_raw=written[:64] if written else None,
        parameters=fields,
    )


def _fields(incoming: Incoming) -> Mapping[str, str]:
    """Every field that came, as text."""
    fields = _of_query(incoming.query) if incoming.method == "GET" else _of_json(incoming.body)
    for name, value in fields.items():
        if trouble := unstorable(name) or unstorable(value):
            raise Unreadable(f"a field holds {trouble}")
    return fields


def _of_query(query: str) -> dict[str, str]:
    try:
        fields = dict(parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=200))
        plain = dict(_undecoded(query))
    except ValueError as error:
        raise Unreadable(f"the query cannot be read: {error}") from None
    return fields | {name: unquote(plain[name]) for name in WITH_PLUS & plain.keys()}


def _undecoded(query: str) -> list[tuple[str, str]]:
    pairs = (part.partition("=") for part in query.split("&"))
    return [(name, value) for name, _, value in pairs]


def _of_json(body: bytes) -> dict[str, str]:
    document = read_json(body)
    if not isinstance(document, dict):
        raise Unreadable("the body is no JSON object")
    return {name: _text(value) for name, value in document.items()}


def _text(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str() | int() | float():
            return str(value)
    raise Unreadable("the body has a nested value")


def _required_number(fields: Mapping[str, str]) -> str:
    try:
        return to_e164(fields.get("service_number", ""), HOME)
    except NotANumber as error:
        raise Unreadable(f"service_number: {error}") from None


def _number(text: str | None) -> str | None:
    try:
        return to_e164(text or "", HOME)
    except NotANumber:
        return None


def _number_or_as_sent(text: str | None) -> str | None:
    """A caller may be `anonymous`, an answer point a name."""
    return _number(text) or (text or "").strip()[:32] or None


def _duration(text: str) -> int | None:
    """Whole seconds."""
    return min(int(text), LONGEST_DURATION) if re.fullmatch(r"[0-9]{1,12}", text.strip()) else None


def _moment(text: str | None) -> datetime | None:
    """UTC. None where it cannot be read, or names no offset: whose time it is would be a guess."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(_OFFSET_WITHOUT_PLUS.sub(r"+\1", text))
        return moment.astimezone(UTC) if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
