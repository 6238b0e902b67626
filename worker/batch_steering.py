"""What a person may do to a batch: pause it, resume it, cancel what of it is not ordered yet.

The batch says at once what is wanted, and from then on nothing new of it is claimed; its requests follow piece by piece
(`models.parking`), however many there are.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models.batch import Batch, BatchState
from worker.steering import NotNow


def pause(session: Session, batch_id: UUID, actor: str) -> Batch:
    """Order nothing more of it until it is resumed. Raises NotNow where it has ended, LookupError."""
    return _steer(session, batch_id, BatchState.PAUSED, actor)


def resume(session: Session, batch_id: UUID, actor: str) -> Batch:
    """Let it go on. Raises NotNow where it has ended, LookupError."""
    return _steer(session, batch_id, BatchState.RUNNING, actor)


def cancel(session: Session, batch_id: UUID, actor: str) -> Batch:
    """Withdraw all of it that is not ordered yet. Raises NotNow where it has ended, LookupError."""
    return _steer(session, batch_id, BatchState.CANCELLED, actor)


ACTS: dict[str, Callable[[Session, UUID, str], Batch]] = {"pause": pause, "resume": resume, "cancel": cancel}


def _steer(session: Session, batch_id: UUID, wanted: BatchState, actor: str) -> Batch:
    """To ask for what it is already changes nothing."""
    found = sa.select(Batch).where(Batch.id == batch_id).with_for_update()
    batch = session.scalar(found.execution_options(populate_existing=True))
    if batch is None:
        raise LookupError(str(batch_id))
    if batch.state is wanted:
        return batch
    if batch.finished_at is not None:
        raise NotNow(f"all its requests have ended: it is {batch.state}")
    if batch.state is BatchState.CANCELLED:
        raise NotNow("it was cancelled; submit the rows that are still wanted as a new batch")
    batch.state, batch.is_steered, batch.steered_by = wanted, True, actor
    session.flush()
    return batch
