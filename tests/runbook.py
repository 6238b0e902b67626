"""`deploy/runbook.md`, as it is read at 3 a.m.: the command to look and the command to act of each alert."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"

ALERTS = DEPLOY / "prometheus" / "alerts.yml"

PARTS = ("**It means:**", "**Look:**", "**Decide:**", "**Act:**", "**It worked when:**")
"""Of each section, in this order."""


@dataclass(frozen=True)
class Section:
    text: str
    look: str
    act: str


def sections() -> dict[str, Section]:
    """By alert."""
    _, *parts = re.split(r"^## (Trunkline\w+)$", (DEPLOY / "runbook.md").read_text(), flags=re.MULTILINE)
    return {name: _section(text) for name, text in zip(parts[::2], parts[1::2], strict=True)}


def _section(text: str) -> Section:
    look, act = re.findall(r"^```sh\n(.+)\n```$", text, re.MULTILINE)
    return Section(text, look, act)


def alert_names() -> list[str]:
    return re.findall(r"^ +- alert: (\w+)$", ALERTS.read_text(), re.MULTILINE)
