"""Taking a bulk file: every row is checked before the first is taken, and each is taken once, whatever breaks off.

Rows are taken a thousand to a transaction. Whoever is killed in between leaves a batch that is not sealed; the
same file sent again carries that batch on, and the rows that are there already are known by their keys.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models import delivery, source
from models.base import new_id, read, write
from models.batch import Batch, BatchState, view
from models.endpoint import EventType
from models.intake import NewRequest, custom_key, take
from models.request import Kind
from worker.bulk.row import Row, RowFault
from worker.fault import Fault
from worker.intake.bad_rows import Findings
from worker.intake.body import RequestBody
from worker.intake.cells import Cells
from worker.intake.examine import Candidate, Examiner
from worker.intake.judge import Standing, judge
from worker.intake.spool import Spool, Spooled

CHUNK = 1_000
"""Rows a transaction: long enough that its fixed costs vanish, short enough that nobody waits behind it."""


LONGEST_NAME = 200
"""Characters of a batch's name that are kept."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an intake is: first all rows are checked, then the good ones are taken."""

    checked: int
    bad: int
    taken: int = 0
    to_take: int | None = None  # None while rows are being checked


@dataclass(frozen=True, slots=True)
class BatchTaken:
    """What became of a file. `rows` = `taken` + `already_taken` + `bad`."""

    batch_id: UUID
    name: str
    state: BatchState
    rows: int
    taken: int  # now
    already_taken: int  # before, with the same body: not taken twice
    total: int  # requests of this batch, those of an interrupted intake included
    resumed: bool  # an interrupted intake was carried on
    earlier_batch_id: UUID | None  # of the same file: what was taken before may be there
    upstreams: frozenset[str]  # where something is due now
    faults: list[RowFault]  # of the bad rows, with `partial`
    bad: int


@dataclass(frozen=True, slots=True)
class BatchOrder:
    """Whose file it is and how it is to be taken."""

    requester_id: UUID
    name: str
    source_digest: str | None  # of the file; None: each sending is a batch of its own
    partial: bool
    again: bool
    now: datetime
    actor: str
    key_id: UUID | None = None
    max_numbers: int | None = None  # that may be bought for it


class BatchIntake:
    """The taking of one file."""

    def __init__(
        self, engine: Engine, examiner: Examiner, order: BatchOrder, on_progress: Callable[[Progress], None]
    ) -> None:
        self._engine = engine
        self._examiner = examiner
        self._order = order
        self._on_progress = on_progress
        self._findings = Findings()
        self._cells = Cells()
        self._rows = 0
        self._id = new_id()
        self._source = read(engine, self._find_source)
        self._place = f"file:{self._source.digest}" if self._source else str(self._id)

    def take(self, rows: Iterable[Row | RowFault]) -> BatchTaken:
        """Raises BadRows."""
        with Spool() as spool:
            self._check(rows, spool)
            new, _ = spool.counts()
            batch = write(self._engine, self._open)
            taken, upstreams = self._take(batch.id, spool, new)
            batch = write(self._engine, lambda session: self._seal(session, batch.id))
            return BatchTaken(
                batch_id=batch.id,
                name=batch.name,
                state=batch.state,
                rows=self._rows,
                taken=taken,
                already_taken=self._rows - self._findings.total_bad - taken,
                total=batch.total,
                resumed=batch.id != self._id,
                earlier_batch_id=self._source.earlier.id if self._source and self._source.earlier else None,
                upstreams=frozenset(upstreams),
                faults=self._findings.told(),
                bad=self._findings.total_bad,
            )

    def check(self, rows: Iterable[Row | RowFault]) -> tuple[int, int]:
        """Check all rows and take none; returns how many would be taken, and how many were before. Raises BadRows."""
        with Spool() as spool:
            self._check(rows, spool)
            return spool.counts()

    def _find_source(self, session: Session) -> source.Source | None:
        order = self._order
        if order.source_digest is None:
            return None
        return source.find(session, order.requester_id, order.source_digest, again=order.again)

    def _check(self, rows: Iterable[Row | RowFault], spool: Spool) -> None:
        for chunk in self._chunks(rows):
            spool.add(list(self._good(chunk)))
            self._on_progress(Progress(self._rows, self._findings.total_bad))
        for double in spool.doubles():
            detail = f"line {double.first_line} has the same: {double.value!r}"
            self._findings.add(RowFault(double.line, double.field, detail))
        spool.drop_doubles()
        good = sum(spool.counts())
        if self._findings.is_fatal or not good or (self._findings.total_bad and not self._order.partial):
            if not self._rows and not self._findings.is_fatal:
                self._findings.add(RowFault(1, None, "there is no row", is_fatal=True))
            raise self._findings.error(self._rows)

    def _chunks(self, rows: Iterable[Row | RowFault]) -> Iterator[list[tuple[int, Row]]]:
        """The readable rows with their places, `CHUNK` at a time; the others go to the findings."""
        chunk: list[tuple[int, Row]] = []
        for row in rows:
            if isinstance(row, RowFault):
                self._rows += not row.is_fatal
                self._findings.add(row)
                continue
            self._rows += 1
            chunk.append((self._rows, row))
            if len(chunk) == CHUNK:
                yield chunk
                chunk = []
        if chunk:
            yield chunk

    def _good(self, chunk: list[tuple[int, Row]]) -> Iterator[Spooled]:
        order = self._order
        candidates = [self._examiner.examine_row(row, self._cells, order.now) for _, row in chunk]
        keys = [
            row.idempotency_key or _custom_key(candidate) or f"{self._place}:{position}"
            for (position, row), candidate in zip(chunk, candidates, strict=True)
        ]
        standings = read(self._engine, lambda session: judge(session, order.requester_id, candidates, keys))
        for (position, row), candidate, key, standing in zip(chunk, candidates, keys, standings, strict=True):
            faults = [*candidate.faults, *_key_faults(row, standing)]
            if faults:
                self._findings.add_row(row, faults)
            else:
                yield _spooled(position, row, candidate, key, standing)

    def _open(self, session: Session) -> Batch:
        """The batch to take into: the one that was broken off, or a new one."""
        order = self._order
        source.lock(session, order.requester_id)
        if (found := self._find_source(session)) and found.interrupted is not None:
            return found.interrupted
        batch = Batch(
            id=self._id,
            requester_id=order.requester_id,
            name=order.name[:LONGEST_NAME],
            state=BatchState.RUNNING,
            total=0,
            max_numbers=order.max_numbers,
            source_digest=self._source.digest if self._source else None,
            created_at=order.now,
        )
        session.add(batch)
        session.flush()
        return batch

    def _take(self, batch_id: UUID, spool: Spool, to_take: int) -> tuple[int, set[str]]:
        taken, upstreams = 0, set[str]()
        for rows in spool.new_rows(CHUNK):
            new = [self._new_request(row) for row in rows]
            count = write(self._engine, lambda session, new=new: self._take_chunk(session, batch_id, new))  # type: ignore[misc]
            if count is None:
                break
            taken += count
            upstreams |= {request.upstream for request in new}
            self._on_progress(Progress(self._rows, self._findings.total_bad, taken, to_take))
        return taken, upstreams

    def _take_chunk(self, session: Session, batch_id: UUID, new: list[NewRequest]) -> int | None:
        """Take some rows; returns how many were new, or None where a person has cancelled the batch meanwhile."""
        order = self._order
        outcome = take(session, order.requester_id, new, order.now, batch_id=batch_id, actor=order.actor)
        count = sum(one.is_new for one in outcome)
        statement = sa.update(Batch).where(Batch.id == batch_id, Batch.state != BatchState.CANCELLED)
        landed = session.execute(statement.values(total=Batch.total + count).returning(Batch.id)).first()
        if landed is None:
            session.rollback()
            return None
        return count

    def _new_request(self, row: Spooled) -> NewRequest:
        return self._examiner.new_request(
            RequestBody.model_validate_json(row.body),
            row.digest,
            self._order.now,
            number=row.number,
            endpoint_id=UUID(row.endpoint) if row.endpoint else None,
            idempotency_key=row.idempotency_key,
            position=row.position,
            key_id=self._order.key_id,
        )

    def _seal(self, session: Session, batch_id: UUID) -> Batch:
        """Close the intake. A batch without a request of its own has nothing to wait for and is finished."""
        batch = session.get_one(Batch, batch_id, with_for_update=True)
        now = self._order.now
        batch.sealed_at = batch.sealed_at or now
        if not batch.total and batch.finished_at is None:
            batch.finished_at = now
            batch.state = BatchState.FINISHED if batch.state is BatchState.RUNNING else batch.state
            told = delivery.Notice(EventType.BATCH_FINISHED, batch.requester_id, view(batch, {}), batch_id=batch.id)
            delivery.file(session, [told], now)
        session.flush()
        return batch


def _custom_key(candidate: Candidate) -> str | None:
    """The idempotency key of a row that has a custom_id.

    A custom_id is provisioned once. It may be updated and released more than once, so there the body counts too.
    """
    body = candidate.body
    if body is None or body.custom_id is None:
        return None
    if body.kind is Kind.PROVISION:
        return custom_key(body.upstream, body.kind, body.custom_id)
    both = hashlib.sha256(f"{body.custom_id}\0{candidate.digest}".encode()).hexdigest()
    return custom_key(body.upstream, body.kind, both)


def _key_faults(row: Row, standing: Standing) -> list[Fault]:
    if standing is not Standing.CONFLICT:
        return []
    field = "idempotency_key" if row.idempotency_key else "custom_id"
    return [Fault(f"/{field}", "was taken before, with another body")]


def _spooled(position: int, row: Row, candidate: Candidate, key: str, standing: Standing) -> Spooled:
    body = candidate.body
    assert body is not None  # it has no faults
    assert candidate.digest is not None
    return Spooled(
        position=position,
        line=row.line,
        idempotency_key=key,
        mark=f"{body.upstream}:{body.kind}:{body.custom_id}" if body.custom_id else None,
        digest=candidate.digest,
        body=body.model_dump_json(exclude_defaults=True),
        number=candidate.number,
        endpoint=candidate.endpoint_id.hex if candidate.endpoint_id else None,
        is_known=standing is Standing.TAKEN,
    )
