"""What a person may do to a batch: pause it, resume it, cancel what of it is not ordered yet.

The batch says at once what is wanted, and from then on nothing new of it is claimed; its requests follow piece by piece
(`models.parking`), however many there are.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models import act
from models.batch import Batch, BatchState
from models.clock import time_of
from worker.steering import NotNow


def pause(session: Session, batch_id: UUID, actor: str, why: str | None = None) -> Batch:
    """Order nothing more of it until it is resumed. Raises NotNow where it has ended, LookupError."""
    return _steer(session, batch_id, "pause", BatchState.PAUSED, actor, why)


def resume(session: Session, batch_id: UUID, actor: str, why: str | None = None) -> Batch:
    """Let it go on. Raises NotNow where it has ended, LookupError."""
    return _steer(session, batch_id, "resume", BatchState.RUNNING, actor, why)


def cancel(session: Session, batch_id: UUID, actor: str, why: str | None = None) -> Batch:
    """Withdraw all of it that is not ordered yet. Raises NotNow where it has ended, LookupError."""
    return _steer(session, batch_id, "cancel", BatchState.CANCELLED, actor, why)


ACTS: dict[str, Callable[[Session, UUID, str], Batch]] = {"pause": pause, "resume": resume, "cancel": cancel}


def limit(session: Session, batch_id: UUID, max_numbers: int | None, actor: str, why: str | None = None) -> Batch:
    """Say how many numbers may be bought for it in all; None: any number. Raised, it spends. Raises LookupError."""
    batch = _locked(session, batch_id)
    told = {"max_numbers": max_numbers, "before": batch.max_numbers}
    batch.max_numbers = max_numbers
    act.record(session, actor, "batch.limit", batch_id, time_of(session), why, told)
    return batch


def _locked(session: Session, batch_id: UUID) -> Batch:
    found = sa.select(Batch).where(Batch.id == batch_id).with_for_update()
    batch = session.scalar(found.execution_options(populate_existing=True))
    if batch is None:
        raise LookupError(str(batch_id))
    return batch


def _steer(session: Session, batch_id: UUID, name: str, wanted: BatchState, actor: str, why: str | None) -> Batch:
    """To ask for what it is already changes nothing."""
    batch = _locked(session, batch_id)
    if batch.state is wanted:
        return batch
    if batch.finished_at is not None:
        raise NotNow(f"all its requests have ended: it is {batch.state}")
    if batch.state is BatchState.CANCELLED:
        raise NotNow("it was cancelled; submit the rows that are still wanted as a new batch")
    batch.state, batch.is_steered, batch.steered_by = wanted, True, actor
    act.record(session, actor, f"batch.{name}", batch_id, time_of(session), why)
    return batch
