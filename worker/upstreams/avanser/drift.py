"""Where AVANSER's list of services shows a number otherwise than it was asked for.

Its rows are inferred (`client`), so only what a row shows is compared, and PHP's spellings of true and false count as
those.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from worker.signing import BadToken, claimed_by
from worker.upstreams.avanser.spec import HOME
from worker.upstreams.base import Difference, Held, OwnedNumber
from worker.upstreams.e164 import NotANumber, country_of, to_e164

_TRUE, _FALSE = {"true", "1", "yes"}, {"false", "0", "no", "none", ""}


def differences(held: Held, shown: OwnedNumber) -> list[Difference]:
    """In the order of the page's body. None for a number that was adopted: nothing was asked for."""
    return [*_beside_the_spec(held, shown), *_in_the_spec(held, shown.raw)] if held.configuration else []


def _beside_the_spec(held: Held, shown: OwnedNumber) -> Iterator[Difference]:
    pairs = (("custom_id", held.custom_id, shown.custom_id), ("custom_group", held.custom_group, shown.custom_group))
    for name, asked, found in pairs:
        if asked is not None and name in shown.raw and asked != found:
            yield Difference(f"/{name}", asked, found)


def _in_the_spec(held: Held, row: Mapping[str, Any]) -> Iterator[Difference]:
    asked = held.configuration
    if asked.get("name") is not None and "name" in row and str(row["name"] or "") != asked["name"]:
        yield Difference("/spec/name", asked["name"], row["name"])
    service, found = asked.get("service"), row.get("service")
    if isinstance(service, Mapping) and isinstance(found, Mapping):
        for name, value in service.items():
            if value is not None and name in found and not _is_same(value, found[name], held.number):
                yield Difference(f"/spec/service/{name}", value, found[name])
    if row.get("call_uri") and not _is_ours(row["call_uri"]):
        yield Difference("/spec/call_uri", "Trunkline's own", _place(row["call_uri"]))
    wanted, forward = asked.get("smsforward_uri"), row.get("smsforward_uri")
    if forward and forward != wanted and not _is_ours(forward):
        yield Difference("/spec/smsforward_uri", _place(wanted) if wanted else "Trunkline's own", _place(forward))


def _is_same(asked: Any, shown: Any, about: str) -> bool:
    """Whether two values mean the same: numbers in any spelling, truth in PHP's, what is empty and what is not set."""
    if asked == shown:
        return True
    if isinstance(asked, bool):
        return str(shown).casefold() in (_TRUE if asked else _FALSE)
    if isinstance(asked, Mapping):
        found = shown if isinstance(shown, Mapping) else {}
        return all(_is_same(value, found.get(name), about) for name, value in asked.items() if value is not None)
    if isinstance(asked, list):
        there = shown if isinstance(shown, list) else []
        return {_one_way(one, about) for one in asked} == {_one_way(one, about) for one in there}
    return _one_way(asked, about) == _one_way(shown, about)


def _one_way(written: Any, about: str) -> str:
    """A phone number in E.164, one without a country code being of the same country as the number that it is about;
    anything else as it is."""
    return _in_e164(str(written or ""), country_of(about) or HOME)


@lru_cache(maxsize=10_000)
def _in_e164(text: str, country: str) -> str:
    """Remembered: thousands of numbers are answered at a few places, and to read one takes a tenth of a millisecond."""
    try:
        return to_e164(text, country)
    except NotANumber:
        return text


def _is_ours(uri: Any) -> bool:
    """By the form of our token, not by the whole: keys are rotated and public URLs change."""
    try:
        claimed_by(urlsplit(str(uri)).path.rpartition("/")[2])
    except (BadToken, ValueError):
        return False
    return True


def _place(uri: Any) -> str:
    """Where a URI leads, without what may be as good as a password in it."""
    try:
        parts = urlsplit(str(uri))
        return f"{parts.scheme}://{parts.hostname}/…"
    except ValueError:
        return "somewhere else"
