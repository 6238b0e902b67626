"""AVANSER's page, byte for byte: the texts in `tests/seeds/avanser` as they stand on it, and how to read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SEEDS = Path(__file__).parent / "seeds" / "avanser"

ACCOUNT = "7xxx"

OURS = ("call_uri", "callback_uri")


def text(name: str) -> str:
    """The text with the page's no-break spaces, which only lay it out, as spaces."""
    return (SEEDS / name).read_text(encoding="utf-8").replace("\u00a0", " ")


def document(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(text(name))
    return read


def call_parameters() -> dict[str, str]:
    """The Call-URI example's parameters, less the first: that is the URI's own query."""
    lines = [line.split(" = ", 1) for line in text("call.txt").splitlines() if line.strip()]
    return {name: value for name, value in lines if name != "call_uri"}
