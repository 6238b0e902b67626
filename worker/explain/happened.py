"""What happened to a request, entry by entry, in a few words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def what(entry: Mapping[str, Any]) -> str:
    """Of an entry of a timeline: `queued → submitting`, `submit: accepted, 312 ms`."""
    reason = entry["reason"] or ""
    match entry["type"]:
        case "state":
            return f"{entry['from'] or 'new'} → {entry['to']}" + (f" ({reason})" if reason else "")
        case "attempt":
            return f"{entry['call']}: {entry['answer']}, {entry['latency_ms']:.0f} ms"
        case "callback":
            return f"{entry['purpose']}: {entry['says']}"
        case "delivery":
            return f"{entry['event']}: {entry['status'] or 'no answer'}, {entry['latency_ms']:.0f} ms"
        case _:
            return str(reason)
