"""What MessageMedia sends of its own accord: text messages to our numbers, by a webhook of its messages API.

What a webhook posts is up to the template that it was set up with. Read here is that of MessageMedia's example, in
JSON; an MMS has `attachments` and no `content`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from worker.upstreams.base import InboundMessage, Incoming, Unreadable
from worker.upstreams.e164 import NotANumber, to_e164
from worker.upstreams.http import read_json

LONGEST_REFERENCE = 255


def read_message(incoming: Incoming) -> InboundMessage:
    """An inbound message. `message_id` is that of the message it replies to, so it is no reference. Raises
    Unreadable where the body is no JSON object or is about no message."""
    fields = read_json(incoming.body)
    if not isinstance(fields, dict):
        raise Unreadable("the body is no JSON object")
    if not {"reply_id", "source_number", "content"} & fields.keys():
        raise Unreadable("the body has neither reply_id, source_number nor content")
    content, written = fields.get("content"), fields.get("date_received")
    return InboundMessage(
        reference=_reference(fields, incoming.body),
        number=_number(fields.get("destination_number")),
        sender=_number(fields.get("source_number")) or _as_sent(fields.get("source_number")),
        text=content if isinstance(content, str) else None,
        sent_at=_moment(written),
        sent_at_raw=written[:64] if isinstance(written, str) and written else None,
        parameters=fields,
    )


def _reference(fields: Mapping[str, Any], body: bytes) -> str:
    given = fields.get("reply_id")
    if isinstance(given, str) and 0 < len(given) <= LONGEST_REFERENCE:
        return given
    return hashlib.sha256(body).hexdigest()


def _number(written: Any) -> str | None:
    """As text, or as a JSON integer."""
    if isinstance(written, bool) or not isinstance(written, str | int):
        return None
    try:
        return to_e164(str(written))
    except NotANumber:
        return None


def _as_sent(written: Any) -> str | None:
    """A sender may be a name."""
    return str(written).strip()[:32] or None if isinstance(written, str | int) else None


def _moment(written: Any) -> datetime | None:
    """UTC. None where it cannot be read, or names no offset."""
    if not isinstance(written, str):
        return None
    try:
        moment = datetime.fromisoformat(written)
        return moment.astimezone(UTC) if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
