"""Tallies: how often calls to upstreams and tries of results had which answer, and how long they took.

Kept in the database, in the transaction that writes the answers down: a worker's process has no port to be asked at,
and counts in its memory would be gone with it. One statement a set of answers; what it counts is exact, over all
processes, and never becomes less. Each is spread over slots, as `models.counter` is.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import sets
from models.base import Base

SLOTS = 16

BOUNDS_MS = (50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000)
"""Milliseconds. Rows hold the bound itself, so that another release may have others."""

NO_BOUND = 2**31 - 1
"""Of what took longer than the last of them."""

ONE_OFF = "one-off"
"""Stands for all hosts of `notify_url` together: there may be thousands, and each would be a series for ever."""


class What(StrEnum):
    CALL = "call"  # of an upstream
    TRY = "try"  # of a result at an endpoint


@dataclass(frozen=True, slots=True)
class Observation:
    """One call or try. `who` is an upstream's name, an endpoint's id, or `ONE_OFF`."""

    what: What
    who: str
    call: str
    answer: str
    took: timedelta


@dataclass(frozen=True, slots=True)
class Sum:
    """Of all slots. `up_to_ms` is the bound that they kept to and that the next smaller one did not hold."""

    who: str
    call: str
    answer: str
    up_to_ms: int
    n: int
    seconds: float


class Tally(Base):
    __tablename__ = "tallies"

    what: Mapped[str] = mapped_column(sa.String(8), primary_key=True)
    who: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    call: Mapped[str] = mapped_column(sa.String(16), primary_key=True)
    answer: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    up_to_ms: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    slot: Mapped[int] = mapped_column(sa.SmallInteger, primary_key=True, autoincrement=False)
    n: Mapped[int] = mapped_column(sa.BigInteger)
    seconds: Mapped[float] = mapped_column(sa.Double)


_TABLE: sa.Table = Tally.__table__  # type: ignore[assignment]
_KEY = ("what", "who", "call", "answer", "up_to_ms", "slot")


def add(session: Session, observations: Iterable[Observation]) -> None:
    """Count these. The last thing that a transaction does, so that others wait for its rows no longer than they must;
    in one order of keys for all, so that no two wait crosswise."""
    slot = random.randrange(SLOTS)  # noqa: S311 -- spreads load, protects nothing
    counts: Counter[tuple[str, str, str, str, int]] = Counter()
    seconds: dict[tuple[str, str, str, str, int], float] = {}
    for one in observations:
        key = (one.what.value, one.who, one.call, one.answer, _bound(one.took))
        counts[key] += 1
        seconds[key] = seconds.get(key, 0.0) + one.took.total_seconds()
    rows = [
        dict(zip(_KEY, (*key, slot), strict=True)) | {"n": n, "seconds": seconds[key]}
        for key, n in sorted(counts.items())
    ]
    sets.insert(session.connection(), _TABLE, rows, _added)


def _bound(took: timedelta) -> int:
    place = bisect_left(BOUNDS_MS, took / timedelta(milliseconds=1))
    return BOUNDS_MS[place] if place < len(BOUNDS_MS) else NO_BOUND


def _added(insert: Any) -> Any:
    """To what is there."""
    new = insert.excluded
    changes = {"n": _TABLE.c.n + new.n, "seconds": _TABLE.c.seconds + new.seconds}
    return insert.on_conflict_do_update(index_elements=list(_KEY), set_=changes)


def sums(session: Session, what: What) -> list[Sum]:
    """All of them, over slots: some hundred rows, however much has been counted."""
    key = (Tally.who, Tally.call, Tally.answer, Tally.up_to_ms)
    counted = sa.select(*key, sa.func.sum(Tally.n), sa.func.sum(Tally.seconds)).where(Tally.what == what.value)
    rows = session.execute(counted.group_by(*key))
    return [Sum(who, call, answer, up_to_ms, int(n), float(took)) for who, call, answer, up_to_ms, n, took in rows]
