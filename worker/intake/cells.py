"""What the text in a CSV's cells means: text, unless the upstream wants a boolean, a number or a list there.

We do not guess from the look of a cell (`0280740801` is no number to calculate with, and `1` may be a name): the
upstream's own check decides. Text that it takes stays text; text that it refuses is offered once more as what
it may mean, and what was taken is remembered for the column.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from typing import Any

from models.request import Kind
from worker.fault import Fault
from worker.strict_json import Unreadable, parse_line
from worker.upstreams.base import Dialect

_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}

Meaning = Callable[[str], Any]
"""Reads a cell; None where it cannot be read so."""


def _boolean(text: str) -> bool | None:
    return _WORDS.get(text.lower())


def _whole(text: str) -> int | None:
    return int(text) if len(text) <= 18 and text.removeprefix("-").isdecimal() and text.isascii() else None


def _fraction(text: str) -> float | None:
    try:
        return float(text) if len(text) <= 40 and json.loads(text) is not None else None
    except (ValueError, TypeError):
        return None


def _nested(text: str) -> Any:
    """A list or an object, written as JSON: there is no other way to write one in a cell."""
    try:
        value, faults = parse_line(text) if text.startswith(("[", "{")) else (None, [])
    except Unreadable:
        return None
    return None if faults else value


_MEANINGS: Sequence[Meaning] = (_boolean, _whole, _fraction, _nested)


class Cells:
    """Reads the cells of one file, and learns its columns on the way."""

    def __init__(self) -> None:
        self._learnt: dict[tuple[str, Kind], dict[tuple[str, ...], Meaning]] = {}

    def settle(self, dialect: Dialect, kind: Kind, spec: dict[str, Any]) -> tuple[dict[str, Any], list[Fault]]:
        """The spec with its cells read, and what is still wrong with it."""
        learnt = self._learnt.setdefault((dialect.name, kind), {})
        for path, meaning in learnt.items():
            _read(spec, path, meaning)
        faults = dialect.check(kind, spec)
        for pointer in dict.fromkeys(fault.pointer for fault in faults):
            path = _path(pointer)
            meaning_found = self._meaning(dialect, kind, spec, path, pointer)
            if meaning_found is not None:
                _read(spec, path, meaning_found)
                learnt[path] = meaning_found
                faults = dialect.check(kind, spec)
        return spec, faults

    def _meaning(
        self, dialect: Dialect, kind: Kind, spec: dict[str, Any], path: tuple[str, ...], pointer: str
    ) -> Meaning | None:
        for meaning in _MEANINGS:
            trial = copy.deepcopy(spec)
            if _read(trial, path, meaning) and not _refused(dialect.check(kind, trial), pointer):
                return meaning
        return None


def _refused(faults: Sequence[Fault], pointer: str) -> bool:
    """A list that is taken but for one of its items was meant as a list; a scalar must be taken whole."""
    return any(fault.pointer == pointer for fault in faults)


def _path(pointer: str) -> tuple[str, ...]:
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[2:])


def _read(spec: dict[str, Any], path: Sequence[str], meaning: Meaning) -> bool:
    """Replace the text at `path` by what it means; False where there is no text, or none with such a meaning."""
    place: Any = spec
    for step in path[:-1]:
        place = place.get(step) if isinstance(place, dict) else None
    text = place.get(path[-1]) if path and isinstance(place, dict) else None
    value = meaning(text) if isinstance(text, str) else None
    if value is None:
        return False
    place[path[-1]] = value
    return True
