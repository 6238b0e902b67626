"""The relay: finds what is due and says so. Nobody waits for it while all is well.

It heals what hints cannot: a broker that lost its messages, a worker that died with a claim, a backoff that has
run out. Safe to run twice, since it changes nothing but finished batches, each once.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from models import (
    counter,
    delivery,
    dispatch,
    heartbeat,
    lineage,
    outage,
    parking,
    partitioning,
    personal,
    pulse,
    reservation,
)
from models.base import read, write
from models.batch import Batch, BatchState, view
from models.due import count_due, count_due_requests
from models.endpoint import EventType
from models.inbox import Received
from models.state import OPEN, State
from worker import deliver, hints, inbox, stock
from worker.app import DELIVERIES, INBOX, UPSTREAM_QUEUES
from worker.pace import CHUNK
from worker.runtime import Runtime

log = logging.getLogger(__name__)

HEARTBEAT = "relay"
"""Beaten when a tick went from beat through the broker to a worker: a sign that all three live."""


def tick(runtime: Runtime) -> None:
    """One round: sign of life, batches that have finished, personal data that is too old, hints for what is due."""
    now = runtime.clock.now()
    finished = write(runtime.engine, lambda session: _beat_and_finish(session, now, runtime.settings.ceilings))
    notice_restore(runtime, now)
    forget_people(runtime, now)
    make_room(runtime, now)
    due = read(runtime.engine, lambda session: count_all(session, now))
    waiting = hints.waiting_in(queue for queue, (count, _, _) in due.items() if count)
    for queue, (count, chunk, hint) in due.items():
        wanted = min(hints.MOST_AT_ONCE, math.ceil(count / chunk)) - waiting.get(queue, 0)
        if wanted > 0:
            hint(wanted)
    if finished:
        hints.deliveries()


def notice_restore(runtime: Runtime, now: datetime) -> bool:
    """Also behind a pooler, whose connections outlive the database's. Workers ask by themselves before they order."""
    may_go_on = not runtime.settings.environment.pause_after_failover
    is_another = write(runtime.engine, lambda session: lineage.check(session, now, may_go_on=may_go_on))
    if is_another:
        log.error("the database is not the one that it was: restored, or a standby took over. %s", lineage.DETAIL)
    return is_another


def forget_people(runtime: Runtime, now: datetime) -> int:
    """Delete some of what we were told of people longer ago than the settings let us keep it; returns how many rows."""
    kept_for = runtime.settings.environment.calls_kept_for
    if not kept_for:
        return 0
    return write(runtime.engine, lambda session: personal.forget(session, now - timedelta(days=kept_for)))


def make_room(runtime: Runtime, now: datetime) -> None:
    """Make the partitions of the months ahead, where tables are divided. All else goes on where that fails: there is
    room for three months."""
    try:
        made = partitioning.look_after(runtime.engine, now)
    except DBAPIError:
        log.exception(
            "partitions of the months ahead could not be made: run `trunkline partition` as the tables' owner"
        )
        return
    if made:
        log.info("made the partitions %s", ", ".join(made))


def count_all(session: Session, now: datetime) -> dict[str, tuple[int, int, Callable[[int], None]]]:
    """For each queue: how much is due, how much a worker takes at once, and how to say so."""
    due: dict[str, tuple[int, int, Callable[[int], None]]] = {
        queue: (_due_at(session, name, now), CHUNK, _hint_upstream(name)) for name, queue in UPSTREAM_QUEUES.items()
    }
    due[INBOX] = (count_due(session, Received, now), inbox.CHUNK, hints.inbox)
    due[DELIVERIES] = (dispatch.count_due(session, now), deliver.CHUNK, hints.deliveries)
    return due


def _due_at(session: Session, name: str, now: datetime) -> int:
    return count_due_requests(session, name, now) + stock.count_due(session, name, now)


def _hint_upstream(name: str) -> Callable[[int], None]:
    return lambda count: hints.upstream(name, count)


def _beat_and_finish(session: Session, now: datetime, ceilings: Mapping[str, int]) -> int:
    heartbeat.beat(session, HEARTBEAT, now)
    parking.sort_out(session, now, ceilings)
    reservation.forget(session, now)
    outage.forget_hosts(session, now)
    pulse.beat(session, now)
    return finish_batches(session, now)


def finish_batches(session: Session, now: datetime) -> int:
    """End each batch whose requests have all ended, and tell its requester; returns how many.

    Not done where the last request ends: two that end at the same moment would each see the other still open.
    """
    ended = sa.select(Batch).where(
        Batch.finished_at.is_(None), Batch.sealed_at.is_not(None), counter.in_states(Batch.id, OPEN) == 0
    )
    batches = session.scalars(ended.with_for_update(skip_locked=True)).all()
    counts = counter.fold(session, [batch.id for batch in batches])
    for batch in batches:
        batch.finished_at = now
        batch.state = BatchState.CANCELLED if batch.state is BatchState.CANCELLED else BatchState.FINISHED
    delivery.file(session, [_finished(batch, counts.get(batch.id, {})) for batch in batches], now)
    session.flush()
    return len(batches)


def _finished(batch: Batch, counts: Mapping[State, int]) -> delivery.Notice:
    return delivery.Notice(EventType.BATCH_FINISHED, batch.requester_id, view(batch, counts), batch_id=batch.id)
