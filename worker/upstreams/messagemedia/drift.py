"""Where MessageMedia's list of assignments shows a number otherwise than it was asked for: its label, its metadata.

There may be more metadata than was asked for, ours among them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.strict_json import escape
from worker.upstreams.base import Difference, Held, OwnedNumber


def differences(held: Held, shown: OwnedNumber) -> list[Difference]:
    """An assignment that carries nothing shows neither field: then what was asked for is not there."""
    asked = held.configuration
    written = shown.raw.get("assignment")
    if not isinstance(written, Mapping):
        return []
    found = []
    if asked.get("label") is not None and asked["label"] != written.get("label"):
        found.append(Difference("/spec/label", asked["label"], written.get("label")))
    metadata: Any = written.get("metadata")
    there = metadata if isinstance(metadata, Mapping) else {}
    for name, value in (asked.get("metadata") or {}).items():
        if there.get(name) != value:
            found.append(Difference(f"/spec/metadata/{escape(name)}", value, there.get(name)))
    return found
