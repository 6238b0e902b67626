"""Our key at the beginning of a number's name: by it an order is found again at Telmetrics.

Its page sends `ABC Company` and gets `ABC Company 4`: the end of a name is not ours to rely on, the beginning is.
"""

from __future__ import annotations

import re
from base64 import b32decode, b32encode
from uuid import UUID

MARK = "tl-"
"""So that a person who reads the name in Telmetrics' portal or reports sees whose it is, and we what is a key."""

_KEY = re.compile(r"tl-([a-z2-7]{26})(?:\s+(.*))?", re.IGNORECASE | re.ASCII | re.DOTALL)


def key_of(request_id: UUID) -> str:
    """`tl-` and the id in base32: 29 characters that stay the same whether or not somebody minds their case."""
    return MARK + b32encode(request_id.bytes).decode().rstrip("=").lower()


def named(request_id: UUID, name: str) -> str:
    return f"{key_of(request_id)} {name}"


def read_name(name: str) -> tuple[UUID | None, str]:
    """The request whose key the name begins with, and the rest; None and all of it where it begins with none."""
    found = _KEY.fullmatch(name.strip())
    if found is None:
        return None, name
    request_id = UUID(bytes=b32decode(found[1].upper() + "======"))
    # 26 characters have two bits to spare; what sets them was not made by us.
    return (request_id, (found[2] or "").strip()) if key_of(request_id) == f"{MARK}{found[1].lower()}" else (None, name)


def is_called(asked: str, shown: str) -> bool:
    """Whether this is the name that was asked for, with or without the number that Telmetrics puts behind it."""
    return re.fullmatch(re.escape(asked.strip()) + r"(\s+[0-9]+)?", shown.strip()) is not None
