"""Replaying a range for one endpoint, in portions, each a transaction of its own."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models import act, delivery
from models.base import read, rfc3339, write
from models.delivery import Delivery
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


def replay(engine: Engine, wanted: Range, start: datetime, actor: str, why: str | None = None) -> int:
    """Make due from `start` on, some each second, what the range holds; returns how many.

    Asked for again after it broke off, it goes on with what is left, and sends what it had reached once more. Raises
    TooMany.
    """
    found = count_replay(engine, wanted)
    if not found:
        return 0
    told = {"since": rfc3339(wanted.since), "until": rfc3339(wanted.until), "results": found}
    told |= {"state": "all" if wanted.also_delivered else "failed"}
    # Before its portions, each of which is a transaction: what was begun is known, also where it breaks off.
    write(engine, lambda session: act.record(session, actor, "endpoint.replay", wanted.endpoint.id, start, why, told))
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


def replay_one(session: Session, row: Delivery, actor: str, now: datetime, why: str | None = None) -> None:
    """Send one result again under the same id, whether or not it arrived. For a row that the caller has locked."""
    delivery.replay(row, now)
    told = {} if row.request_id is None else {"request": str(row.request_id)}
    act.record(session, actor, "delivery.replay", row.id, now, why, told | {"type": row.type})
