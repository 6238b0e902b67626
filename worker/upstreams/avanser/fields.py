"""The fields of what AVANSER sends of its own accord, whichever way it sends them, and what they can hold.

Its page says "HTTP GET" in prose and shows "HTTP Post with a JSON Body", so both are read, and a form as well. What
begins like a JSON object is one, whatever its Content-Type says: the page's own examples send JSON called a form.
"""

from __future__ import annotations

import re
from collections.abc import Container
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, unquote_plus

from worker.strict_json import unstorable
from worker.upstreams.avanser.spec import HOME
from worker.upstreams.base import Incoming, Unreadable
from worker.upstreams.e164 import NotANumber, to_e164
from worker.upstreams.http import read_json

MOST_FIELDS = 200

LONGEST_NUMBER = 32
"""Characters of a caller or an answer point that is no phone number, such as `anonymous`."""

_FORM = "application/x-www-form-urlencoded"

_OFFSET_WITHOUT_PLUS = re.compile(r" (\d\d:?\d\d)$")


def fields_of(incoming: Incoming, with_plus: Container[str]) -> list[tuple[str, Any]]:
    """Every field that came, in order: texts of a query or a form, values of a JSON object.

    `with_plus` are the fields whose `+` is no space: AVANSER's page shows it as it is (`bnum = +61-0280740801`),
    and a form decoder eats it. Raises Unreadable.
    """
    if incoming.method == "GET":
        return _of_query(incoming.query, with_plus)
    is_form = (incoming.content_type or "").partition(";")[0].strip().casefold() == _FORM
    if is_form and not incoming.body.lstrip().startswith(b"{"):
        try:
            return _of_query(incoming.body.decode().strip(), with_plus)
        except UnicodeDecodeError:
            raise Unreadable("the form is not UTF-8") from None
    document = read_json(incoming.body)
    if not isinstance(document, dict):
        raise Unreadable("the body is no JSON object")
    return list(document.items())


def _of_query(query: str, with_plus: Container[str]) -> list[tuple[str, str]]:
    parts = [part for part in query.split("&") if part]
    if len(parts) > MOST_FIELDS:
        raise Unreadable(f"more than {MOST_FIELDS} fields")
    fields = []
    for part in parts:
        name, _, value = part.partition("=")
        try:
            name = unquote_plus(name, errors="strict")
            value = unquote(value, errors="strict") if name in with_plus else unquote_plus(value, errors="strict")
        except UnicodeDecodeError:
            raise Unreadable("a field is not UTF-8") from None
        if trouble := unstorable(name) or unstorable(value):
            raise Unreadable(f"a field holds {trouble}")
        fields.append((name, value))
    return fields


def text(value: object) -> str | None:
    """A plain value as text, "" for null; None for a list or an object."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str() | int() | float():
            return str(value)
    return None


def number(written: str | None) -> str | None:
    """E.164; None for what is no phone number."""
    try:
        return to_e164(written or "", HOME)
    except NotANumber:
        return None


def number_or_as_sent(written: str | None) -> str | None:
    """A caller may be `anonymous`, an answer point a name."""
    return number(written) or (written or "").strip()[:LONGEST_NUMBER] or None


def moment(written: str | None) -> datetime | None:
    """UTC. None where it cannot be read, or names no offset: whose time it is would be a guess."""
    if written is None:
        return None
    try:
        read = datetime.fromisoformat(_OFFSET_WITHOUT_PLUS.sub(r"+\1", written))
        return read.astimezone(UTC) if read.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
