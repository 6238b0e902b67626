"""Replaying a range for one endpoint, in portions, each a transaction of its own."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.engine import Engine

from models.base import read, write
from models.replaying import MOST, PORTION, Range, count, send_filed, send_missed


class TooMany(Exception):
    """More than one replay may hold. Nothing was sent."""

    def __str__(self) -> str:
        return f"more than {MOST:,} results: give a later since, or an earlier until, and go on from there"


def count_replay(engine: Engine, wanted: Range) -> int:
    """How many results would be sent. Raises TooMany."""
    found = read(engine, lambda session: count(session, wanted))
    if found > MOST:
        raise TooMany
    return found


def replay(engine: Engine, wanted: Range, start: datetime) -> int:
    """Make due from `start` on, some each second, what the range holds; returns how many.

    Asked for again after it broke off, it goes on with what is left, and sends what it had reached once more. Raises
    TooMany.
    """
    count_replay(engine, wanted)
    sent = 0
    for send in (send_filed, send_missed):
        after, is_over = UUID(int=0), False
        while not is_over:
            ids = write(
                engine,
                lambda session, send=send, after=after, sent=sent: send(session, wanted, after, start, sent),  # type: ignore[misc]
            )
            sent += len(ids)
            is_over = len(ids) < PORTION
            after = ids[-1] if ids else after
    return sent
