"""How many requests to claim at once: as many as can be sent before the claim is nearly over."""

from __future__ import annotations

from dataclasses import dataclass

CHUNK = 50
"""Requests claimed and asked together at the most: enough that a transaction and a message cost little for each."""


@dataclass(slots=True)
class Pace:
    """One process's, at one upstream.

    To claim more than can be sent in time is to do nothing for any of it but make it slower: on a machine that is
    busy enough, searches of two hundred orders could all end too late, and all of them began anew. So what was sent
    last time is what is claimed next, and twice as much when all of it was sent.
    """

    room: int = CHUNK

    def heard(self, claimed: int, too_late: int) -> None:
        """Of so many that were claimed together, so many were not sent for want of time."""
        if too_late:
            self.room = max(1, claimed - too_late)
        elif claimed >= self.room:
            self.room = min(CHUNK, self.room * 2)
