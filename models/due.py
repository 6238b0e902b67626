"""Claiming: taking rows that somebody must look at now, so that nobody else takes them for a while.

A claim moves `due_at` to the end of a lease and raises `fence`. A claimer that dies leaves a row that becomes
due again by itself; one that comes back late finds that its fence is old.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models import sets, sharing, spending, upstream
from models.batch import LIMITED as LIMITED_BATCH
from models.batch import Batch
from models.delivery import Delivery
from models.holding import changed_hands
from models.inbox import Received
from models.request import Kind, Priority, Request, is_out, line
from models.requester import LIMITED as LIMITED_KEY
from models.requester import ApiKey
from models.state import Reason, State
from models.transition import Move, apply
from models.turn import held_back, wait
from models.upstream import Pause

PRIORITIES = (Priority.SINGLE, Priority.BULK)
"""First claimed first."""

ROUNDS = 20
"""Of looking for work in one claim: rows that only wait, or have ended, must not hide what stands behind them."""

ALONE_AFTER = 3
"""Claims in a row that nobody came back from. Then it is claimed by itself: if it is what ends its workers, it takes
no other request with it."""

HELD_AFTER = 10
"""Such claims in a row, after which a person must look: it would go on for ever. (A restart under load costs one.)"""

COUNTED = 1_000
"""A backlog is counted up to here: enough to know how many workers to wake, and cheap however long it is."""

NO_CEILINGS: Mapping[str, int] = {}

Row = TypeVar("Row", Delivery, Received)


class Step(StrEnum):
    """What a claimed request needs."""

    SUBMIT = "submit"
    LOOK_UP = "look_up"


@dataclass(frozen=True, slots=True)
class Claim:
    """One request in our hands until `until`. `request` is as it was written by the claim."""

    request: Request
    step: Step
    until: datetime

    @property
    def is_alone(self) -> bool:
        """Whether it was claimed by itself, however many more are due."""
        return self.request.unanswered > ALONE_AFTER


def claim_requests(
    session: Session,
    upstream_name: str,
    limit: int,
    now: datetime,
    lease: timedelta,
    priorities: Sequence[int] = PRIORITIES,
    ceilings: Mapping[str, int] = NO_CEILINGS,
) -> list[Claim]:
    """Take up to `limit` requests that are due at one upstream, all of the first of these priorities that has any: who
    is in a hurry does not wait until many others are written down.

    Those that waited past their deadline are ended here and not returned. A paused upstream is asked about
    orders that are out, but gets no new ones. What is over a spending limit waits: `ceilings` are those that are
    settings, by subject (`models.spending`).
    """
    may_order, is_limited = _gates(session, upstream_name)
    limits = ceilings if ceilings or is_limited else None
    claims: list[Claim] = []
    for _ in range(ROUNDS):
        wanted = limit - len(claims)
        rows, is_all = _due_requests(session, upstream_name, wanted, now, may_order, priorities)
        if rows and not claims and _is_suspect(rows[0]):
            return _claimed(session, rows[:1], now, now + lease, limits)
        others = [row for row in rows if not _is_suspect(row)]
        claims += _claimed(session, others, now, now + lease, limits)
        if len(claims) == limit or not others or (claims and is_all):
            break
    return claims


def _within_limits(
    session: Session, rows: Sequence[Request], moves: Sequence[Move], limits: Mapping[str, int], now: datetime
) -> list[Move]:
    """These moves; but what has no place below its spending limits waits, and the others take theirs."""
    ordered = {move.request_id for move in moves if move.to is State.SUBMITTING}
    wanted = [row for row in spending.candidates(rows) if row.id in ordered]
    blocks = spending.take_places(session, wanted, limits, now)
    placed = {row.id for row in wanted} - blocks.keys()
    day = {"spent_on": spending.day_of(now)}
    kept = [replace(move, changes={**move.changes, **day}) if move.request_id in placed else move for move in moves]
    return [_blocked(blocks[move.request_id], move) if move.request_id in blocks else move for move in kept]


def _blocked(block: spending.Block, move: Move) -> Move:
    changes = {"over_limit_of": block.subject}
    return Move(
        move.request_id, State.QUEUED, "worker", Reason.SPENDING_LIMIT, block.detail, block.until, changes=changes
    )


def _is_suspect(row: Request) -> bool:
    return row.unanswered >= ALONE_AFTER


def _gates(session: Session, upstream_name: str) -> tuple[bool, bool]:
    """Whether anything may be ordered there, and whether any key or batch has a limit: in one trip."""
    pause = sa.exists().where(Pause.upstream.in_((upstream.ALL, upstream_name)))
    key, batch = sa.exists(sa.select(ApiKey.id).where(LIMITED_KEY)), sa.exists(sa.select(Batch.id).where(LIMITED_BATCH))
    is_paused, is_limited = session.execute(sa.select(pause, sa.or_(key, batch))).one()
    return not is_paused, bool(is_limited)


def _claimed(
    session: Session, rows: Sequence[Request], now: datetime, until: datetime, limits: Mapping[str, int] | None
) -> list[Claim]:
    changes = [row for row in rows if row.kind is not Kind.PROVISION and row.state is State.QUEUED]
    waits = held_back(session, changes) if changes else {}
    gone = changed_hands(session, changes) if changes else set()
    moves = [_claiming_move(row, now, until, waits.get(row.id), is_gone=row.id in gone) for row in rows]
    if limits is not None:
        moves = _within_limits(session, rows, moves, limits, now)
    apply(session, {row.id: row for row in rows}, moves, now)
    return [
        Claim(row, Step.SUBMIT if row.looks == 0 else Step.LOOK_UP, until)
        for row in rows
        if row.state in (State.SUBMITTING, State.ACCEPTED)
    ]


def _due_requests(
    session: Session,
    upstream_name: str,
    limit: int,
    now: datetime,
    may_order: bool,
    priorities: Sequence[int],
) -> tuple[list[Request], bool]:
    """Up to so many that are due, all of one priority, the oldest first; and whether these are all of that priority."""
    for priority in priorities:
        due = (Request.upstream == upstream_name, Request.priority == priority, Request.due_at <= now)
        if may_order:
            rows, is_all = _of_each_line(session, upstream_name, priority, limit, now, due)
        else:
            rows = _locked(session, limit, *due, is_out())
            is_all = len(rows) < limit
        if rows:
            return rows, is_all
    return [], True


def _of_each_line(
    session: Session,
    upstream_name: str,
    priority: int,
    limit: int,
    now: datetime,
    due: Sequence[sa.ColumnElement[bool]],
) -> tuple[list[Request], bool]:
    """What one line leaves of its share goes to those behind it: so those of which little may be taken come first."""
    lines = sharing.lines(session, upstream_name, priority, now)
    kept_back = {one.id for one in lines if one.is_kept_back}
    shares = sharing.shares(lines, limit)
    rows: list[Request] = []
    left, is_all = 0, len(shares) == len(lines) < sharing.MOST_SEEN
    for id_, share in sorted(shares.items(), key=lambda item: item[0] not in kept_back):
        wanted = share + left
        some = (*due, line() == id_, is_out()) if id_ in kept_back else (*due, line() == id_)
        found = _locked(session, wanted, *some)
        left = wanted - len(found)
        is_all = is_all and left > 0
        rows += found
    return sorted(rows, key=_by_due), is_all


def _locked(session: Session, limit: int, *conditions: sa.ColumnElement[bool]) -> list[Request]:
    statement = sa.select(Request).where(*conditions).order_by(Request.due_at).limit(limit)
    return list(session.scalars(statement.with_for_update(skip_locked=True)))


def _by_due(row: Request) -> datetime:
    assert row.due_at is not None
    return row.due_at


def _waiting_move(row: Request, earlier: Request, now: datetime) -> Move:
    whose = f", request {earlier.id}" if earlier.requester_id == row.requester_id else ""
    detail = f"Waits for another change of the same number{whose}."
    return Move(row.id, State.QUEUED, "worker", Reason.EARLIER_CHANGE, detail, min(now + wait(row, now), row.deadline))


def _not_held(row: Request) -> Move:
    detail = "Since this was asked for, the number was given up or has become another requester's; nothing was sent."
    return Move(row.id, State.FAILED, "worker", Reason.NOT_HELD, detail, changes={"fence": row.fence + 1})


def _too_late(row: Request) -> Move:
    late = "It waited until its deadline and was not ordered."
    changes = {"fence": row.fence + 1}
    return Move(row.id, State.FAILED, "worker", Reason.DEADLINE_PASSED, late, changes=changes)


def _workers_lost(row: Request) -> Move:
    detail = f"The last {row.unanswered} workers that took it up did not come back; it may be what ended them."
    return Move(row.id, State.HELD, "worker", Reason.WORKERS_LOST, detail, changes={"fence": row.fence + 1})


def _claiming_move(row: Request, now: datetime, until: datetime, earlier: Request | None, *, is_gone: bool) -> Move:
    fence = row.fence + 1
    changes: dict[str, Any]
    if row.state is State.QUEUED and row.deadline <= now:
        return _too_late(row)
    if row.unanswered >= HELD_AFTER:
        return _workers_lost(row)
    if is_gone:
        return _not_held(row)
    if earlier is not None:
        return _waiting_move(row, earlier, now)
    if row.state is State.QUEUED:
        changes = {"fence": fence, "attempts": row.attempts + 1, "looks": 0, "unanswered": row.unanswered + 1}
        changes |= {"unknown_since": None, "absent_at": None}
        return Move(row.id, State.SUBMITTING, "worker", due_at=until, changes=changes)
    changes = {"fence": fence, "looks": row.looks + 1, "unanswered": row.unanswered + 1}
    if row.state is State.ACCEPTED:
        return Move(row.id, State.ACCEPTED, "worker", row.reason, row.detail, until, changes=changes)
    detail = row.detail if row.unknown_since is not None else "The worker that was ordering it did not come back."
    changes["unknown_since"] = row.unknown_since or now
    return Move(row.id, State.SUBMITTING, "worker", Reason.OUTCOME_UNKNOWN, detail, until, changes=changes)


def claim(session: Session, table: type[Received], limit: int, now: datetime, lease: timedelta) -> list[Received]:
    """Take up to `limit` inbox rows that are due; they come as they are after the claim. See `models.dispatch` too."""
    some = sa.select(table.id).where(table.due_at <= now).order_by(table.due_at).limit(limit)
    # As a CTE, which is read once: a plain subquery may be, in some plans, once for each row, past its limit.
    due = some.with_for_update(skip_locked=True).cte("due")
    return take_rows(session, table, sa.select(due.c.id), now + lease)


def take_rows(
    session: Session, table: type[Row], ids: sa.Select[UUID] | sa.CompoundSelect[UUID], until: datetime
) -> list[Row]:
    """Take the deliveries or inbox rows that `ids` finds, and locks, until the end of a lease. They come as they are
    after that."""
    statement = (
        sa.update(table)
        .where(table.id.in_(ids))
        .values(fence=table.fence + 1, attempts=table.attempts + 1, due_at=until)
        .returning(table)
        .execution_options(synchronize_session=False)
    )
    rows = sorted(session.scalars(statement), key=lambda row: row.id)  # the oldest first
    session.expunge_all()
    return rows


def settle(session: Session, table: type[Row], rows: Sequence[Row], columns: Sequence[str]) -> None:
    """Write these columns of rows that we hold; a row that was claimed anew since is left alone."""
    values: list[dict[str, Any]] = [
        {"id": row.id, "held_fence": row.fence} | {name: getattr(row, name) for name in columns} for row in rows
    ]
    sets.update(session.connection(), table.__table__, values, columns, held=("fence",), are_locked=False)  # type: ignore[arg-type]


def count_due_requests(
    session: Session, upstream_name: str, now: datetime, priorities: Sequence[int] = PRIORITIES
) -> int:
    """How many requests could be claimed at an upstream now. Stops counting at `COUNTED`."""
    # The priorities are named, so that of each the index is read only as far as rows are due.
    due = (Request.upstream == upstream_name, Request.priority.in_(priorities), Request.due_at <= now)
    statement = sa.select(Request.id).where(*due)
    if upstream.find_pause(session, upstream_name) is not None:
        statement = statement.where(is_out())
    return _count(session, statement)


def count_due(session: Session, table: type[Received], now: datetime) -> int:
    """How many inbox rows could be claimed now. Stops counting at `COUNTED`."""
    return _count(session, sa.select(table.id).where(table.due_at <= now))


def _count(session: Session, due: sa.Select[UUID]) -> int:
    return session.scalar(sa.select(sa.func.count()).select_from(due.limit(COUNTED).subquery())) or 0
