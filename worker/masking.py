"""Masking: what others wrote, before it is kept for people to read."""

from __future__ import annotations

import re
from collections.abc import Callable

_SECRETS = (
    # A key or signing secret of ours, or what a header of authorization holds.
    (re.compile(r"(?i)\b(whsec_|tk_|bearer\s+|basic\s+)[A-Za-z0-9+/=_.~-]{6,}"), r"\1…"),
    # The value of a field that is called like a secret, in JSON, a query or a form.
    (
        re.compile(
            r"""(?ix) ( ["']? [\w-]* (?:secret|token|password|passwd|api[_-]?key|authorization|signature) ["']?
            \s* [:=] \s* ["']? ) [^"'\s,&;}<]{3,}"""
        ),
        r"\1…",
    ),
    # Capability tokens, and whatever else nobody can read: long, with letters and digits mixed.
    (re.compile(r"\b(?=[A-Za-z_-]*\d)(?=[\d_-]*[A-Za-z])(?![0-9a-f]{8}-)[A-Za-z0-9_-]{32,}"), "…"),
)

_NUMBERS = (
    # A telephone number, in any usual form: its last three digits stay.
    (re.compile(r"(?<![\w:.-])\+?\(?\d(?:[ ().-]{0,2}\d){4,12}[ ().-]{0,2}(\d{3})(?![\w:-]|\.\d)"), r"…\1"),
)


def masked(text: str) -> str:
    """The same with secrets, tokens and telephone numbers made unreadable. It may mask too much: other long numbers."""
    return _without(_SECRETS + _NUMBERS, text)


def without_secrets(text: str) -> str:
    """As `masked`, for who may see telephone numbers."""
    return _without(_SECRETS, text)


def _without(masks: tuple[tuple[re.Pattern[str], str], ...], text: str) -> str:
    for pattern, mask in masks:
        text = pattern.sub(mask, text)
    return text


def beginning(body: bytes, most: int, mask: Callable[[str], str] = masked) -> str | None:
    """How a body begins, masked and fit for any database: at most `most` bytes of it; None where it is empty.

    What is cut in two at the end may be half of a secret, so the last word is left out.
    """
    text = body[: most + 1].decode("utf-8", "replace").replace("\x00", "\N{REPLACEMENT CHARACTER}")
    if len(body) > most:
        text = re.sub(r"[^\s\"'<>,;]*\Z", "", text)[:most] + "…"
    return mask(text).strip() or None
