"""Which batches a file has become: so that the same file, sent again, takes each of its rows once.

A row without a name of its own (no custom_id, no idempotency key) is known by the file that it stands in and its
place there. Who wants the whole file once more says so, and starts the file's next generation.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models.batch import Batch, BatchState
from models.requester import Requester


@dataclass(frozen=True, slots=True)
class Source:
    """A file, in one generation. `digest` is what its batches carry as `source_digest`."""

    digest: str
    interrupted: Batch | None  # its intake was broken off: to be carried on
    earlier: Batch | None  # the latest that took some of its rows


def find(session: Session, requester_id: UUID, file_digest: str, *, again: bool) -> Source:
    """Where the intake of a file stands; with `again` a new generation, unless the last one was broken off."""
    last = Source(file_digest, None, None)
    for generation in itertools.count():
        digest = _digest(file_digest, generation)
        batches = _batches(session, requester_id, digest)
        if not batches:
            finished = last.earlier is not None and last.interrupted is None
            return Source(digest, None, None) if again and finished else last
        last = Source(
            digest,
            next((batch for batch in batches if _is_interrupted(batch)), None),
            next((batch for batch in batches if batch.total), None),
        )
    raise AssertionError("unreachable")


def lock(session: Session, requester_id: UUID) -> None:
    """Let nobody else open a batch of this requester until the transaction ends: two that send the same file at
    the same moment must find the same batch. Rows that only refer to the requester are written meanwhile."""
    session.execute(sa.select(Requester.id).where(Requester.id == requester_id).with_for_update(key_share=True))


def _digest(file_digest: str, generation: int) -> str:
    if not generation:
        return file_digest
    return hashlib.sha256(f"{file_digest}:{generation}".encode()).hexdigest()


def _batches(session: Session, requester_id: UUID, digest: str) -> list[Batch]:
    """Newest first."""
    statement = sa.select(Batch).where(Batch.requester_id == requester_id, Batch.source_digest == digest)
    return list(session.scalars(statement.order_by(Batch.id.desc())))


def _is_interrupted(batch: Batch) -> bool:
    return batch.sealed_at is None and batch.state is not BatchState.CANCELLED
