"""AVANSER's completion callbacks and call reports.

Whom an event is about is known by the token in the URI alone: the ids that come back are another request's in two of
the page's three examples, and an update's callback has none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from worker.upstreams.avanser.fields import fields_of, moment, number, number_or_as_sent, text
from worker.upstreams.avanser.spec import HOME
from worker.upstreams.base import Answer, Completed, FinishedCall, Incoming, Progress, Rejected, Unreadable
from worker.upstreams.e164 import NotANumber, to_e164

WITH_PLUS = {"bnum", "target", "ani", "tzdate", "service_number", "answer_point"}
"""Whose `+` is no space."""

LONGEST_DURATION = 2**31 - 1


def read_completion(incoming: Incoming) -> Answer:
    """`status` `completed` and `failed` end a request (the second is inferred); anything else is a note.

    The reference stays unset, since the callback's request_id need not be the acknowledgement's. Raises Unreadable.
    """
    fields = _texts(incoming)
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
    fields = _texts(incoming)
    reference = (fields.get("callid") or fields.get("uniqueid") or "").strip()
    if not 0 < len(reference) <= 255:
        raise Unreadable("the call has neither callid nor uniqueid")
    written = fields.get("tzdate", "").strip() or None
    return FinishedCall(
        reference=reference,
        number=number(fields.get("bnum")),
        caller=number_or_as_sent(fields.get("ani")),
        answer_point=number_or_as_sent(fields.get("target")),
        status=(fields.get("callstatus") or "")[:64] or None,
        duration=_duration(fields.get("duration", "")),
        started_at=moment(written),
        started_at_raw=written[:64] if written else None,
        parameters=fields,
    )


def _texts(incoming: Incoming) -> Mapping[str, str]:
    """Every field that came, as text."""
    fields = {}
    for name, value in fields_of(incoming, WITH_PLUS):
        written = text(value)
        if written is None:
            raise Unreadable("the body has a nested value")
        fields[name] = written
    return fields


def _required_number(fields: Mapping[str, str]) -> str:
    try:
        return to_e164(fields.get("service_number", ""), HOME)
    except NotANumber as error:
        raise Unreadable(f"service_number: {error}") from None


def _duration(written: str) -> int | None:
    """Whole seconds."""
    return min(int(written), LONGEST_DURATION) if re.fullmatch(r"[0-9]{1,12}", written.strip()) else None
