"""Taking requests in: the one way for the API and the command line, for one request and for a million."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models.base import new_id, write
from models.intake import NewRequest, Taken, take
from worker.bulk.row import Row, RowFault
from worker.fault import Fault
from worker.intake.batch import BatchIntake, BatchOrder, BatchTaken, Progress
from worker.intake.examine import Candidate, Examiner
from worker.intake.judge import Standing, judge
from worker.settings import Settings
from worker.upstreams import DIALECTS
from worker.upstreams.base import Dialect

LONGEST_KEY = 255
"""Characters of an idempotency key."""


class Invalid(Exception):
    """What was asked is wrong; every fault found is in `faults`."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("; ".join(f"{fault.pointer or 'the request'}: {fault.detail}" for fault in faults))
        self.faults = faults


class Conflict(Exception):
    """The idempotency key was used before, for another body."""


def _say_nothing(_: Progress) -> None:
    pass


class Intake:
    def __init__(self, engine: Engine, settings: Settings, dialects: Mapping[str, Dialect] = DIALECTS) -> None:
        self._engine = engine
        self._examiner = Examiner(settings, dialects)

    def check(
        self,
        session: Session,
        requester_id: UUID,
        body: Mapping[str, Any],
        now: datetime,
        *,
        idempotency_key: str | None = None,
        position: int | None = None,
    ) -> NewRequest:
        """What would be taken for this body. Raises Invalid, Conflict."""
        candidate, standing = self._judged(session, requester_id, body, idempotency_key, now)
        if standing is Standing.CONFLICT:
            raise Conflict
        return self._good(candidate, idempotency_key, now, position=position)

    def take_one(
        self,
        requester_id: UUID,
        body: Mapping[str, Any],
        idempotency_key: str | None,
        now: datetime,
        actor: str,
        *,
        release_now: bool = False,
        key_id: UUID | None = None,
        note: Callable[[Session, Taken], None] | None = None,
    ) -> Taken:
        """Take one request and commit it; one whose key was used for the same body is found, not taken again.

        `note` writes down beside it, in the same transaction, that it was taken; it may be committed twice.

        `release_now` sends a release at once, without the delay in which it can be cancelled. Where the database goes
        away in the middle, it is asked again by the request's id, so that also one without a key is not taken twice.
        Raises Invalid, Conflict.
        """
        request_id = new_id()

        def work(session: Session) -> Taken:
            candidate, standing = self._judged(session, requester_id, body, idempotency_key, now)
            if standing is Standing.CONFLICT:
                raise Conflict
            new = replace(
                self._good(candidate, idempotency_key, now, release_now=release_now, key_id=key_id), id=request_id
            )
            (taken,) = take(session, requester_id, [new], now, actor=actor)
            if not taken.same_body:  # somebody else used the key since we looked
                raise Conflict
            if note is not None and taken.is_new:
                note(session, taken)
            return taken

        return write(self._engine, work, repeatable=True)

    def take_batch(
        self,
        requester_id: UUID,
        rows: Iterable[Row | RowFault],
        *,
        name: str,
        source_digest: str | None = None,
        partial: bool = False,
        again: bool = False,
        now: datetime,
        actor: str,
        key_id: UUID | None = None,
        max_numbers: int | None = None,
        on_progress: Callable[[Progress], None] = _say_nothing,
    ) -> BatchTaken:
        """Take a file: all of its rows, or none where one is bad (with `partial`: the good ones).

        `source_digest` identifies the file: an intake of it that was broken off is carried on, and rows of it that
        were taken before are not taken again, also those without a custom_id; `again` takes those once more.
        Without it each sending is a batch of its own. `max_numbers` is the most that may be bought for the batch; one
        that is carried on keeps its own. Each row must be a body of its own: they are changed.
        Raises BadRows.
        """
        order = BatchOrder(requester_id, name, source_digest, partial, again, now, actor, key_id, max_numbers)
        return BatchIntake(self._engine, self._examiner, order, on_progress).take(rows)

    def check_batch(
        self,
        requester_id: UUID,
        rows: Iterable[Row | RowFault],
        *,
        source_digest: str | None = None,
        partial: bool = False,
        again: bool = False,
        now: datetime,
        on_progress: Callable[[Progress], None] = _say_nothing,
    ) -> tuple[int, int]:
        """Check a file and take nothing; returns how many rows would be taken, and how many were before.

        Raises BadRows.
        """
        order = BatchOrder(requester_id, "", source_digest, partial, again, now, "")
        return BatchIntake(self._engine, self._examiner, order, on_progress).check(rows)

    def _judged(
        self, session: Session, requester_id: UUID, body: Mapping[str, Any], key: str | None, now: datetime
    ) -> tuple[Candidate, Standing]:
        candidate = self._examiner.examine(body, now)
        if key is not None and not 0 < len(key) <= LONGEST_KEY:
            candidate.faults.append(Fault("", f"an idempotency key has 1 to {LONGEST_KEY} characters"))
            return candidate, Standing.NEW
        (standing,) = judge(session, requester_id, [candidate], [key])
        return candidate, standing

    def _good(
        self,
        candidate: Candidate,
        key: str | None,
        now: datetime,
        *,
        position: int | None = None,
        release_now: bool = False,
        key_id: UUID | None = None,
    ) -> NewRequest:
        if candidate.faults:
            raise Invalid(candidate.faults)
        assert candidate.body is not None
        assert candidate.digest is not None
        return self._examiner.new_request(
            candidate.body,
            candidate.digest,
            now,
            number=candidate.number,
            endpoint_id=candidate.endpoint_id,
            idempotency_key=key,
            position=position,
            release_now=release_now,
            key_id=key_id,
        )
