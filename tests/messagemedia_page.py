"""MessageMedia's guide, byte for byte: the texts in `tests/seeds/messagemedia` as they stand on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SEEDS = Path(__file__).parent / "seeds" / "messagemedia"

FIRST = "06edf0e7-5856-43b7-b1f7-ddd1ba5a7431"
SECOND = "0707e86b-efa2-45f7-a5aa-9ac8cb84eb15"
CHOSEN = "073fb6bd-f054-4644-aada-8fb204145d77"
"""The ids of the guide's page of stock; the last is the number that it goes on with."""

CHOSEN_NUMBER = "+61438851616"

NEXT_TOKEN = "074b8bfd-f420-4168-a9f0-530cf1ba2523"


def text(name: str) -> str:
    return (SEEDS / name).read_text(encoding="utf-8")


def document(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(text(name))
    return read
