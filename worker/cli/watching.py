"""Following requests to their end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from uuid import UUID

from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models import counter
from models.base import read
from models.batch import Batch
from models.state import FINAL, OPEN, State
from worker.cli.progress import Board, Snapshot

POLL = 0.5
"""Seconds between two looks. The counts are kept, not counted: a look costs less than a millisecond."""

Counts = Mapping[State, int]


def watch_batch(engine: Engine, batch_id: UUID, shown: Board) -> Counts:
    """Return when all of a batch has ended, or only a person can end the rest (`held`)."""

    def look(session: Session) -> tuple[Counts, bool]:
        batch = session.get_one(Batch, batch_id)
        return counter.of_batch(session, batch_id), batch.sealed_at is not None

    return _follow(engine, look, shown)


def watch_all(engine: Engine, shown: Board) -> Counts:
    """Return when every request that there is has ended, or only a person can end the rest."""
    return _follow(engine, lambda session: (counter.of_all(session), True), shown)


def _follow(engine: Engine, look: Callable[[Session], tuple[Counts, bool]], shown: Board) -> Counts:
    while True:
        counts, is_whole = read(engine, look)
        shown.show("ended", snapshot(counts))
        if is_whole and not any(counts[state] for state in OPEN - {State.HELD}):
            return counts
        time.sleep(POLL)


def snapshot(counts: Counts) -> Snapshot:
    ended = sum(counts[state] for state in FINAL)
    return Snapshot(ended, sum(counts.values()), {str(state): count for state, count in counts.items()})


def has_failures(counts: Counts) -> bool:
    """Whether anything did not end well, or waits for a person."""
    return any(counts.get(state, 0) for state in (State.FAILED, State.CANCELLED, State.HELD))


def summary(counts: Counts) -> str:
    """`2,000 requests: 1,990 completed, 10 failed.`"""
    total = sum(counts.values())
    told = ", ".join(f"{count:,} {state}" for state, count in counts.items() if count)
    sentence = f"{total:,} requests: {told}." if total else "No requests."
    held = counts.get(State.HELD, 0)
    return sentence + (" Those held wait for a person: trunkline list --state held" if held else "")
