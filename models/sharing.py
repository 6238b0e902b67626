"""Fair shares: each requester with something due gets as much of a claim as any other, and so does each of its batches.

Else ten thousand rows of one would have to end before the hundred that came a second later were begun.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import cycle, islice
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models.batch import Batch, BatchState
from models.request import Request, line

MOST_LINES = 10
"""Served by one claim: a few rows of each are still a set. Of more, some are drawn, each time others."""

MOST_SEEN = 1_000
"""Lines with something due that are looked at, the oldest first: those behind them wait until one of these has none."""

_random = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class Line:
    """Requests that stand in one line: those of a batch, or what a requester asked for outside of any."""

    id: UUID
    requester_id: UUID
    is_kept_back: bool = False  # a batch that a person paused or cancelled: nothing new of it may be ordered


def lines(session: Session, upstream: str, priority: int, now: datetime) -> list[Line]:
    """Those with something due. It takes a look into an index for each line that waits, however long it is."""
    waiting = (Request.upstream == upstream, Request.priority == priority, Request.due_at.is_not(None))

    def next_line(*further: sa.ColumnElement[bool]) -> sa.ScalarSelect[UUID]:
        return sa.select(line()).where(*waiting, *further).order_by(line()).limit(1).scalar_subquery()

    seen = sa.select(next_line().label("id")).cte("seen", recursive=True)
    seen = seen.union_all(sa.select(next_line(line() > seen.c.id)).where(seen.c.id.is_not(None)))
    due = sa.select(Request.requester_id).where(*waiting, line() == seen.c.id, Request.due_at <= now)
    owner = due.order_by(Request.due_at).limit(1).scalar_subquery()
    kept_back = sa.exists().where(Batch.id == seen.c.id, Batch.state.in_((BatchState.PAUSED, BatchState.CANCELLED)))
    statement = sa.select(seen.c.id, owner, kept_back).where(seen.c.id.is_not(None), owner.is_not(None))
    return [Line(*row) for row in session.execute(statement.limit(MOST_SEEN))]


def shares(found: Sequence[Line], count: int) -> Counter[UUID]:
    """How many of `count` rows each line gets, by its id: dealt out in turn, to requesters and then to their lines."""
    of_requester: defaultdict[UUID, list[UUID]] = defaultdict(list)
    for one in _random.sample(found, len(found)):
        of_requester[one.requester_id].append(one.id)
    dealt = list(of_requester.values())[:MOST_LINES]
    most_of_one = max(1, MOST_LINES // max(1, len(dealt)))
    hands = [cycle(ids[:most_of_one]) for ids in dealt]
    return Counter(next(hand) for hand in islice(cycle(hands), count))
