"""`trunkline calls`: who called our numbers."""

from __future__ import annotations

from typing import Any

from models.call import Call, view
from worker.cli.number_events import Narrowed, narrowing, show_events
from worker.cli.run import command

COLUMNS = ("received_at", "started_at", "number", "caller", "duration", "request", "status")


@command("calls", answers=True)
@narrowing
def calls(**asked: Any) -> None:
    """List calls on our numbers, the last that we were told of first. `duration` is in seconds.

    \b
    Example: trunkline calls --number 0280740801 --since 2026-12-01T00:00:00Z
    """
    show_events(Narrowed(**asked), Call, view, COLUMNS)
