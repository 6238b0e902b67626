"""The one door through which a request changes state, alone or in sets.

Whoever brings news (a worker, a callback, a look-up, a person) makes a `Move`. The door locks the rows,
checks each move against the table in `models.state`, writes rows, history and counts, and files what the
requester is to be told, all in the caller's transaction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models import counter, delivery, event, number, reservation, sets, spending
from models.endpoint import EventType
from models.event import Entry, EventKind
from models.request import Kind, Request, view
from models.state import FINAL, Reason, State, is_legal

_TOLD = {
    State.COMPLETED: EventType.REQUEST_COMPLETED,
    State.FAILED: EventType.REQUEST_FAILED,
    State.CANCELLED: EventType.REQUEST_CANCELLED,
    State.HELD: EventType.REQUEST_HELD,
}

_WRITTEN = (
    "state", "reason", "detail", "number", "upstream_reference", "pool", "stock_key",
    "attempts", "retries", "looks", "unanswered", "unknown_since",
    "absent_at", "accepted_at", "repeated", "spent_on", "over_limit_of", "fence", "due_at",
    "contradicted_at", "updated_at", "finished_at", "told",
)  # fmt: skip
"""The columns that a move may change."""


@dataclass(frozen=True, slots=True)
class Move:
    """What is to become of one request.

    `fence` is the claim under which the mover works: a move of an older claim does not land. None is for
    evidence, which is true whoever brings it: a callback, a person, or an upstream's word that it has the
    order. (A frozen worker that wakes up with an acknowledgement in its hand has proof of a purchase; to
    drop it because the claim is old would be to order again.)
    """

    request_id: UUID
    to: State
    actor: str
    reason: str | None = None
    detail: str | None = None
    due_at: datetime | None = None
    fence: int | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)  # further columns, by name


class Landing(Enum):
    MOVED = auto()
    STALE = auto()  # another claim has been made since: nothing was written
    REFUSED = auto()  # not a legal move from where the request is: recorded where it matters
    MISSING = auto()  # no such request


def lock(session: Session, ids: Iterable[UUID]) -> dict[UUID, Request]:
    """Lock these rows, in id order so that two sets that overlap cannot deadlock, and read them."""
    statement = (
        sa.select(Request)
        .where(Request.id.in_(sorted(set(ids))))
        .order_by(Request.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return {row.id: row for row in session.scalars(statement)}


def transition(session: Session, moves: Sequence[Move], now: datetime) -> list[Landing]:
    """Make these moves, in order, and say of each how it landed. Does not commit."""
    return apply(session, lock(session, (move.request_id for move in moves)), moves, now)


def apply(session: Session, locked: Mapping[UUID, Request], moves: Sequence[Move], now: datetime) -> list[Landing]:
    """As `transition`, for rows that the caller has locked already. The rows it is given show the outcome.

    They are detached from the session: they are written here, by one statement for the set, and by nothing else.
    """
    work = _Work(now)
    for row in locked.values():
        session.expunge(row)
    landings = [work.make(locked.get(move.request_id), move) for move in moves]
    work.write(session)
    return landings


class _Work:
    """What a set of moves adds up to, gathered before anything is written."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.changed: dict[UUID, Request] = {}
        self.entries: list[Entry] = []
        self.counts: Counter[counter.Key] = Counter()
        self.notices: list[delivery.Notice] = []
        self.completed: list[Request] = []
        self.let_go: list[UUID] = []
        self.given_back: Counter[spending.Place] = Counter()

    def make(self, row: Request | None, move: Move) -> Landing:
        if row is None:
            return Landing.MISSING
        if move.fence is not None and move.fence != row.fence:
            return Landing.STALE
        if not is_legal(row.state, move.to):
            self._refuse(row, move)
            return Landing.REFUSED
        self._move(row, move)
        return Landing.MOVED

    def _move(self, row: Request, move: Move) -> None:
        start, told, picked = row.state, row.reason, row.upstream_reference
        if (trouble := contradiction(row, move)) is not None:
            self._flag(row, move, trouble)
        row.state, row.reason, row.detail, row.due_at = move.to, move.reason, move.detail, move.due_at
        row.unanswered = 0  # whoever moves it has come back; a claim, which has still to, says otherwise
        row.over_limit_of = None
        for column, value in move.changes.items():
            if column != "number" or may_name_number(row, move):
                setattr(row, column, value)
        if move.to is not State.QUEUED:
            row.stock_key = None
        self._let_go(row, start, picked)
        self._give_back(row, start)
        row.updated_at = self.now
        self.changed[row.id] = row
        if (start, told) != (move.to, move.reason):
            self._remember(row, move, EventKind.STATE, start)
        if start is not move.to:
            self._count(row, start)
            self._tell(row)

    def _let_go(self, row: Request, start: State, picked: str | None) -> None:
        """A number that was picked, and in the end not bought, was never ours: nobody is told of it, and it is free."""
        if row.kind is not Kind.PROVISION or row.accepted_at is not None or picked is None:
            return
        if row.state in (State.FAILED, State.CANCELLED) and start is not State.HELD:
            row.number = row.upstream_reference = None
        if row.upstream_reference is None:
            self.let_go.append(row.id)

    def _give_back(self, row: Request, start: State) -> None:
        if row.spent_on is not None and spending.is_freed(row, start):
            self.given_back.update(spending.places_of(row, row.spent_on))
            row.spent_on = None

    def _refuse(self, row: Request, move: Move) -> None:
        """The request has ended. News changes nothing; if it contradicts the end, people must see it."""
        if row.state is State.COMPLETED and move.to is State.ACCEPTED:
            self._fill_in_reference(row, move)
        if (trouble := contradiction(row, move)) is not None:
            self._flag(row, move, trouble)

    def _flag(self, row: Request, move: Move, trouble: str) -> None:
        row.contradicted_at = row.contradicted_at or self.now
        self.changed[row.id] = row
        self.entries.append(
            Entry(
                row.id,
                self.now,
                EventKind.NOTE,
                move.actor,
                reason="late_contradiction",
                detail=trouble,
                data={"claims": move.to.value, "number": move.changes.get("number")},
            )
        )

    def _fill_in_reference(self, row: Request, move: Move) -> None:
        """The callback was quicker than the acknowledgement, which alone knows the upstream's reference."""
        if row.upstream_reference is None and (reference := move.changes.get("upstream_reference")):
            row.upstream_reference = reference
            self.changed[row.id] = row

    def _remember(self, row: Request, move: Move, kind: EventKind, start: State) -> None:
        self.entries.append(
            Entry(
                row.id,
                self.now,
                kind,
                move.actor,
                reason=move.reason,
                detail=move.detail,
                from_state=start.value,
                to_state=move.to.value,
            )
        )

    def _count(self, row: Request, start: State) -> None:
        key = (row.requester_id, row.batch_id or counter.NO_BATCH, row.upstream)
        self.counts[*key, start] -= 1
        self.counts[*key, row.state] += 1

    def _tell(self, row: Request) -> None:
        if row.state in FINAL:
            row.finished_at = self.now
        if row.state is State.COMPLETED:
            self.completed.append(row)
        if row.state in _TOLD:
            row.told += 1
            self.notices.append(
                delivery.Notice(
                    _TOLD[row.state],
                    row.requester_id,
                    view(row),
                    request_id=row.id,
                    endpoint_id=row.endpoint_id,
                    notify_url=row.notify_url,
                    sequence=row.told,
                )
            )

    def write(self, session: Session) -> None:
        if self.changed:
            rows = [{name: getattr(row, name) for name in ("id", *_WRITTEN)} for row in self.changed.values()]
            sets.update(session.connection(), _TABLE, rows, _WRITTEN)
        number.record(session, self.completed, self.now)
        reservation.give_up(session, self.let_go)
        spending.give_back(session, self.given_back)
        event.append(session, self.entries)
        counter.add(session, self.counts)
        delivery.file(session, self.notices, self.now)


_TABLE: sa.Table = Request.__table__  # type: ignore[assignment]


def may_name_number(row: Request, move: Move) -> bool:
    """Whether the move may say which number the request is about.

    A change is about the number that it was asked for, and a new number is the one that was acknowledged: an answer
    that names another is contradicted, and must not be taken out on that other one.
    """
    if move.reason == Reason.BY_PERSON:
        return True
    is_acknowledged = row.accepted_at is not None and row.number is not None
    return row.kind is Kind.PROVISION and not (is_acknowledged and move.to in (State.ACCEPTED, State.COMPLETED))


def contradiction(row: Request, move: Move) -> str | None:
    """Why this news cannot be true together with what we know; None where it can."""
    named = move.changes.get("number")
    if move.reason == Reason.BY_PERSON:
        return None  # who settles by hand may correct what we know
    if move.to is State.SUBMITTING and move.fence is None and _is_settled_without(row):
        return (
            f"an order of it was sent late, what came of that nobody knows, and it is {row.state}: it may be paid for"
        )
    if row.state in (State.FAILED, State.CANCELLED) and move.to in (State.ACCEPTED, State.COMPLETED):
        return (
            f"the upstream says {move.to} after the request was {row.state}: a number may be paid for that nobody holds"
        )
    if row.state is State.COMPLETED and move.to is State.FAILED:
        return "the upstream says failed after the request was completed: the number may not work"
    if move.to in (State.ACCEPTED, State.COMPLETED) and named is not None and row.number not in (None, named):
        # Also while it is open: the answer to a first order that looked absent, beside that to the second.
        return f"it was about {row.number}, and now the upstream names {named}: it may have been bought twice"
    return None


def _is_settled_without(row: Request) -> bool:
    """Whether an order that nobody had counted on may stand beside what the request came to."""
    if row.state in (State.ACCEPTED, State.COMPLETED):
        return row.repeated  # ordered once, it is that very order
    return row.state in (State.FAILED, State.CANCELLED)
