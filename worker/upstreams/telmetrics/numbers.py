"""Phone numbers as Telmetrics writes them: ten digits in North America, E.164 elsewhere."""

from __future__ import annotations

import re

from worker.upstreams.e164 import NotANumber, to_e164

_PUNCTUATION = re.compile(r"[\s().\-\u2010-\u2015]")

_NORTH_AMERICAN = re.compile(r"(?:\+?1)?([2-9][0-9]{2}[2-9][0-9]{6})")
"""NPA-NXX-XXXX, where neither an area code nor an exchange begins with 0 or 1 (North American Numbering Plan)."""


def ten_digits(text: str) -> str:
    """`4165551234` from `416-555-1234`, `(416) 555 1234` or `+1 416 555 1234`. Raises NotANumber."""
    found = _NORTH_AMERICAN.fullmatch(_PUNCTUATION.sub("", text))
    if found is None:
        raise NotANumber(f"{text!r} is no number of the US, Canada or another country of +1")
    return found[1]


def read_number(written: object) -> str | None:
    """E.164 of what Telmetrics wrote; None where that is no phone number.

    Ten digits are always North American to Telmetrics, also where they could be another country's number in full.
    """
    if not isinstance(written, str):
        return None
    try:
        return f"+1{written}" if re.fullmatch(r"[0-9]{10}", written) else to_e164(written)
    except NotANumber:
        return None
