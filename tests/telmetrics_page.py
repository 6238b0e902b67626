"""Telmetrics' page "Automatic Number Assignment", byte for byte: the texts in `tests/seeds/telmetrics`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SEEDS = Path(__file__).parent / "seeds" / "telmetrics"

GROUP = 11623282

# Each example's name and the path it is sent to; the page prints three forms of it.
EXAMPLES = {
    "number": f"/{GROUP}/numbers",
    "city": f"/groups/{GROUP}/numbers",
    "tollfree": f"/{GROUP}",
}


def text(name: str) -> str:
    return (SEEDS / f"{name}.json").read_text(encoding="utf-8")


def document(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(text(name))
    return read


def spec(example: str) -> dict[str, Any]:
    """What a requester asks for to have this example sent."""
    return {"group_id": GROUP, **document(f"{example}_request")}
