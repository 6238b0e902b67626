"""Where Telmetrics' list shows a number otherwise than it was asked for.

Its rows are the numbers whole, but for what stands at its default. Our key in front of the name and the number that
Telmetrics puts behind it are no difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError as Invalid

from worker.upstreams.base import Difference, Held, OwnedNumber
from worker.upstreams.telmetrics.body import WORDS
from worker.upstreams.telmetrics.models import Update
from worker.upstreams.telmetrics.names import is_called
from worker.upstreams.telmetrics.numbers import read_number

COMPARED = ("features", "sms_routes", "call_routes", "replacement_configuration")
"""What of a spec is still there once the number is made, besides its name."""


def differences(held: Held, shown: OwnedNumber) -> list[Difference]:
    asked, found = _as_sent(held.configuration), []
    if asked.get("name") is not None and not is_called(asked["name"], shown.name or ""):
        found.append(Difference("/spec/name", asked["name"], shown.name))
    for name in COMPARED:
        if name in asked and name in shown.raw:
            found += _compared(f"/spec/{name}", asked[name], shown.raw[name])
    return found


def _as_sent(configuration: Mapping[str, Any]) -> Mapping[str, Any]:
    """In the words that our orders have for it, which write each number in one way."""
    about = {name: configuration[name] for name in ("name", *COMPARED) if name in configuration}
    try:
        return Update.model_validate(about).model_dump(mode="json", exclude_none=True, exclude={"extra"})
    except Invalid:  # a spec of an earlier version, or updates that do not add up to one
        return about


def _compared(pointer: str, asked: Any, shown: Any) -> Iterator[Difference]:
    if isinstance(asked, Mapping) and isinstance(shown, Mapping):
        for name, value in asked.items():
            if name in shown:
                yield from _compared(f"{pointer}/{name}", value, shown[name])
    elif asked is not None and not _is_same(pointer.rpartition("/")[2], asked, shown):
        yield Difference(pointer, asked, shown)


def _is_same(name: str, asked: Any, shown: Any) -> bool:
    if asked == shown:
        return True
    if name in WORDS:
        return str(asked).casefold() == str(shown).casefold()
    number = read_number(asked)
    return number is not None and number == read_number(shown)
