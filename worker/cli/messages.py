"""`trunkline messages`: who wrote to our numbers."""

from __future__ import annotations

from typing import Any

from models.message import Message, view
from worker.cli.number_events import Narrowed, narrowing, show_events
from worker.cli.run import command

COLUMNS = ("received_at", "sent_at", "number", "sender", "request", "text")


@command("messages", answers=True)
@narrowing
def messages(**asked: Any) -> None:
    """List text messages to our numbers, the last that we were told of first.

    \b
    Example: trunkline messages --number 0439742682 --since 2026-12-01T00:00:00Z
    """
    show_events(Narrowed(**asked), Message, view, COLUMNS)
