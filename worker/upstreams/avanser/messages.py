"""AVANSER's forwarded text messages (SMSForward-URI).

Its page says only that the URI "will be called with all SMS information", so every parameter is kept, and the names
are guessed: those of the Call-URI first, since the same system sends both, then what is usual elsewhere. Of each
line the first that is there and not empty counts; case, `_` and `-` do not.

| what | names |
| --- | --- |
| its id | smsid, id, messageid, msgid, uniqueid, uuid; none: a digest of what came, so that a repeat is known as one |
| our number | bnum, to, destination, destinationnumber, recipient, servicenumber, called, number |
| the sender | ani, from, sender, source, sourcenumber, caller, originator |
| the text | message, text, body, content, sms, msg |
| when | tzdate, date, datetime, time, timestamp, receivedat, sentat |
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from worker.upstreams.avanser.fields import fields_of, moment, number, number_or_as_sent, text
from worker.upstreams.base import InboundMessage, Incoming, Unreadable

ID = ("smsid", "id", "messageid", "msgid", "uniqueid", "uuid")
NUMBER = ("bnum", "to", "destination", "destinationnumber", "recipient", "servicenumber", "called", "number")
SENDER = ("ani", "from", "sender", "source", "sourcenumber", "caller", "originator")
TEXT = ("message", "text", "body", "content", "sms", "msg")
SENT_AT = ("tzdate", "date", "datetime", "time", "timestamp", "receivedat", "sentat")

LONGEST_REFERENCE = 255


class _WithPlus:
    """The fields whose `+` is no space: numbers and times. In the text it is one, as in any form."""

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and _plain(name) in {*NUMBER, *SENDER, *SENT_AT}


def read_message(incoming: Incoming) -> InboundMessage:
    """A text message to one of our numbers. Raises Unreadable for what has no fields at all."""
    parameters = _parameters(incoming)
    texts = {_plain(name): value for name, value in parameters.items()}
    written = _first(texts, SENT_AT)
    return InboundMessage(
        reference=_reference(texts, incoming),
        number=number(_first(texts, NUMBER)),
        sender=number_or_as_sent(_first(texts, SENDER)),
        text=_first(texts, TEXT),
        sent_at=moment(written.strip() if written else None),
        sent_at_raw=written.strip()[:64] if written else None,
        parameters=parameters,
    )


def _parameters(incoming: Incoming) -> dict[str, Any]:
    """Everything that came; a list where a name stands more than once."""
    parameters: dict[str, Any] = {}
    repeated = set()
    for name, value in fields_of(incoming, _WithPlus()):
        if name not in parameters:
            parameters[name] = value
        elif name in repeated:
            parameters[name].append(value)
        else:
            parameters[name] = [parameters[name], value]
            repeated.add(name)
    if not parameters:
        raise Unreadable("the message has no fields")
    return parameters


def _first(texts: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    for name in names:
        value = texts.get(name)
        written = text(value[0] if isinstance(value, list) and value else value)
        if written is not None and written.strip():
            return written
    return None


def _reference(texts: Mapping[str, Any], incoming: Incoming) -> str:
    found = (_first(texts, ID) or "").strip()
    if 0 < len(found) <= LONGEST_REFERENCE:
        return found
    came = incoming.query.encode(errors="surrogatepass") if incoming.method == "GET" else incoming.body
    return f"sha256:{sha256(came).hexdigest()}"


def _plain(name: str) -> str:
    return name.casefold().replace("_", "").replace("-", "")
