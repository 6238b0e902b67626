"""JSON from outside, read so that nothing in it can surprise the code or the database behind it.

Python's reader takes more than RFC 8259 promises to mean the same everywhere: NaN, a name that stands twice,
numbers without end. And a JSON string may hold what no database keeps (U+0000) and no UTF-8 can spell (half of
a surrogate pair). Here each of these is found at the edge and has a name and, where it has one, a place.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NoReturn

from worker.fault import Fault

MOST_DEPTH = 32
"""Levels of nesting. The deepest documented body has five."""

LARGEST_INTEGER = 2**63 - 1

_LARGE = re.compile(r"(?:\A|[\s:,\[])-?(?:[0-9]{19}|[0-9.]+[eE])")
"""What a number beyond `LARGEST_INTEGER` has at the least: as many digits, or an exponent. Only where a number may
begin: the vendors' ids, such as `"a852e1"`, are none."""

_LIKE_LARGE = re.compile(r"[0-9](?:[eE]|[0-9]{18})")
"""The same wherever it stands. Most texts have nothing like it, and that is found out in a quarter of the time."""

_LONGEST_NUMBER = 400
"""Characters, beyond which a number is not even converted: Python takes quadratic time over them."""


class Unreadable(Exception):
    """It is not JSON, or not JSON that means one thing. The message says what is wrong and, if known, where."""


def parse(raw: bytes) -> tuple[Any, list[Fault]]:
    """The value, and what is wrong with it although it is JSON, each with its pointer. Raises Unreadable."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(f"not UTF-8: byte {error.start + 1} cannot be read") from None
    try:
        return _decoded(text)
    except json.JSONDecodeError as error:
        raise Unreadable(f"not JSON: {error.msg} (line {error.lineno}, column {error.colno})") from None
    except RecursionError:
        raise Unreadable(f"nested more than {MOST_DEPTH} levels deep") from None


def parse_line(text: str) -> tuple[Any, list[Fault]]:
    """As `parse`, for one line of a larger text: the place of an error is a column alone."""
    try:
        return _decoded(text)
    except json.JSONDecodeError as error:
        raise Unreadable(f"not JSON: {error.msg} (column {error.colno})") from None
    except RecursionError:
        raise Unreadable(f"nested more than {MOST_DEPTH} levels deep") from None


def _decoded(text: str) -> tuple[Any, list[Fault]]:
    value = DECODER.decode(text)
    return value, [] if _is_harmless(text) else faults_in(value)


def _is_harmless(text: str) -> bool:
    """Whether one look at the text shows that it holds nothing of what is looked for, as it does of nearly all."""
    can_spell_anything = "\\u" in text or "\0" in text or not text.isascii()
    is_shallow = text.count("{") + text.count("[") <= MOST_DEPTH
    may_be_large = _LIKE_LARGE.search(text) is not None and _LARGE.search(text) is not None
    return is_shallow and not can_spell_anything and not may_be_large


def faults_in(value: Any) -> list[Fault]:
    """What is wrong with a value that `DECODER` read. Raises Unreadable where it is nested too deeply."""
    return list(_faults(value, "", 1))


def escape(name: str) -> str:
    """A member's name as a step of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise Unreadable(f"the name {twice!a} stands twice in one object")
    return members


def _constant(word: str) -> NoReturn:
    raise Unreadable(f"not JSON: {word} is no JSON value")


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _LONGEST_NUMBER else math.inf


def _fraction(digits: str) -> float:
    return float(digits) if len(digits) <= _LONGEST_NUMBER else math.inf


DECODER = json.JSONDecoder(
    object_pairs_hook=_members, parse_constant=_constant, parse_int=_integer, parse_float=_fraction
)


def _faults(value: Any, pointer: str, depth: int) -> Iterator[Fault]:
    if depth > MOST_DEPTH:
        raise Unreadable(f"nested more than {MOST_DEPTH} levels deep")
    if isinstance(value, dict):
        for name, member in value.items():
            yield from _text_faults(name, pointer, "a member's name")
            yield from _faults(member, f"{pointer}/{escape(printable(name))}", depth + 1)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _faults(item, f"{pointer}/{index}", depth + 1)
    elif isinstance(value, str):
        yield from _text_faults(value, pointer, "text")
    elif isinstance(value, int | float) and not -LARGEST_INTEGER <= value <= LARGEST_INTEGER:
        yield Fault(pointer, f"a number beyond ±{LARGEST_INTEGER}")


def _text_faults(text: str, pointer: str, what: str) -> Iterator[Fault]:
    trouble = unstorable(text)
    if trouble:
        yield Fault(pointer, f"{what} holds {trouble}")


def unstorable(text: str) -> str | None:
    """What in this text no database keeps or no UTF-8 can spell; None where all is well."""
    if "\0" in text:
        return "the character U+0000"
    if not text.isascii() and printable(text) != text:
        return "half of a surrogate pair"
    return None


def printable(text: str) -> str:
    """The text with what UTF-8 cannot spell replaced, fit for an answer or a log."""
    return text.encode("utf-8", "replace").decode()
