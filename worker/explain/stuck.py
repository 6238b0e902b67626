"""Why what should have happened has not: nobody works, or those who do are behind."""

from __future__ import annotations

from datetime import datetime, timedelta

from models.due import COUNTED
from models.state import FINAL, State
from worker.explain.explanation import clock, span
from worker.explain.facts import Facts

SILENT_AFTER = timedelta(seconds=30)
"""The relay's sign of life comes every second; without one for so long nothing works."""


def silence(last_beat: datetime | None, now: datetime) -> str | None:
    """The sentence that nobody works, and what to do; None where somebody does."""
    if last_beat is not None and now - last_beat <= SILENT_AFTER:
        return None
    since = "ever" if last_beat is None else f"since {clock(last_beat)}"
    return f"No worker has been heard of {since}: does `trunkline up` run, or `trunkline worker` and `trunkline relay`?"


def why(facts: Facts, now: datetime) -> str | None:
    """None where nothing is late and nothing stands in the way."""
    row = facts.request
    if row.state in FINAL or row.state is State.HELD:
        return None
    late = timedelta() if row.due_at is None else now - row.due_at
    overdue = f"It has been due for {span(late)}. " if late > SILENT_AFTER else ""
    if (nobody := silence(facts.last_beat, now)) is not None:
        return f"{overdue}{nobody} Until then nothing of this happens."
    if not overdue:
        return None
    count = f"{COUNTED:,} or more" if facts.backlog >= COUNTED else f"{facts.backlog:,}"
    limits = f"TRUNKLINE_{row.upstream.upper()}_RATE and _MAX_IN_FLIGHT"
    return f"{overdue}The workers live and are behind: {count} are due at {row.upstream}. Its limits are {limits}."
