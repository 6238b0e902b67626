"""Personal data: who called our numbers, and what was written to them. Kept for a set time, and erased when asked.

It stands in calls and messages, in what upstreams sent (the inbox), and in the results that told of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import phonenumbers
import sqlalchemy as sa
from sqlalchemy.orm import Session

from models import call, message
from models.base import changed, first_id_of, last_id_of
from models.call import Call
from models.delivery import TELLS_OF_PEOPLE, Delivery
from models.delivery_attempt import DeliveryAttempt
from models.inbox import TOLD_OF_PEOPLE, Received
from models.message import Message

CHUNK = 500
"""Rows of each table in one transaction: a backlog of any length goes piece by piece."""

Condition = sa.ColumnElement[bool] | sa.TextClause

_OLD: tuple[tuple[Any, tuple[Condition, ...]], ...] = (
    (Call, ()),
    (Message, ()),
    (Delivery, (TELLS_OF_PEOPLE, Delivery.due_at.is_(None))),
    (Received, (TOLD_OF_PEOPLE, Received.due_at.is_(None))),
)


@dataclass(frozen=True, slots=True)
class Erased:
    """How many rows held the number."""

    calls: int = 0
    messages: int = 0
    deliveries: int = 0
    inbox: int = 0

    def __add__(self, other: Erased) -> Erased:
        return Erased(
            self.calls + other.calls,
            self.messages + other.messages,
            self.deliveries + other.deliveries,
            self.inbox + other.inbox,
        )


def forget(session: Session, before: datetime) -> int:
    """Delete what we were told of before this time, some of each kind, the oldest first; returns how many rows."""
    return sum(_delete_old(session, table, conditions, before) for table, conditions in _OLD)


def _delete_old(session: Session, table: Any, conditions: Sequence[Condition], before: datetime) -> int:
    old = sa.select(table.id).where(table.id < first_id_of(before), *conditions).order_by(table.id).limit(CHUNK)
    ids = session.scalars(old).all()
    if not ids:
        return 0
    if table is Delivery:
        session.execute(sa.delete(DeliveryAttempt).where(DeliveryAttempt.delivery_id.in_(ids)))
    gone = sa.delete(table).where(table.id.in_(ids)).execution_options(synchronize_session=False)
    return changed(session.execute(gone))


def about(session: Session, people: Sequence[str], requester_id: UUID | None = None) -> Iterator[dict[str, Any]]:
    """All that is kept of who called or wrote from these numbers (as stored), oldest first: calls, then messages."""
    calls = sa.select(Call).where(Call.caller.in_(people))
    messages = sa.select(Message).where(Message.sender.in_(people))
    if requester_id is not None:
        calls = calls.where(Call.requester_id == requester_id)
        messages = messages.where(Message.requester_id == requester_id)
    for one in sorted(session.scalars(calls), key=lambda row: row.id):
        yield {"type": "call", **call.view(one)}
    for text in sorted(session.scalars(messages), key=lambda row: row.id):
        yield {"type": "message", **message.view(text)}


def erase(session: Session, people: Sequence[str]) -> Erased:
    """Take these numbers (as stored) out of some calls and messages, and out of all that told of them.

    That there was a call, when and for how long, stays, and so does the mark by which a repeat of it is known. To be
    called until it finds no more.
    """
    called = sa.select(Call).where(Call.caller.in_(people)).limit(CHUNK)
    written = sa.select(Message).where(Message.sender.in_(people)).limit(CHUNK)
    calls = session.scalars(called.with_for_update()).all()
    messages = session.scalars(written.with_for_update()).all()
    rows: list[Call | Message] = [*calls, *messages]
    deliveries = sum(_erase_results(session, row) for row in rows)
    inbox = sum(_erase_received(session, row) for row in rows)
    for one in calls:
        one.caller, one.parameters = None, {}
    for text in messages:
        text.sender, text.text, text.parameters = None, None, {}
    session.flush()
    return Erased(len(calls), len(messages), deliveries, inbox)


def _erase_results(session: Session, row: Call | Message) -> int:
    """One that has not arrived yet still goes out, and tells of nobody."""
    told = sa.select(Delivery).where(Delivery.request_id == row.request_id, TELLS_OF_PEOPLE)
    found = [one for one in session.scalars(told) if one.data.get("id") == str(row.id)]
    for one in found:
        nobody = dict.fromkeys(one.data.keys() & {"caller", "sender", "text"})
        one.data = {**one.data, **nobody, "parameters": {}}
    return len(found)


def erase_received(session: Session, people: Sequence[str]) -> int:
    """Take these numbers out of all that upstreams sent, also what was told twice or was about no number of ours.

    It reads all that was kept of calls and messages: a telco writes a number as it likes, but its digits in a row.
    """
    written = {str(phonenumbers.parse(one).national_number) for one in people if one.startswith("+")}
    if not written:
        return 0
    digits = [one.encode() for one in written]
    held = sa.or_(*(Received.query.contains(one) for one in written), *(_holds(session, one) for one in digits))
    emptied = sa.update(Received).where(TOLD_OF_PEOPLE, Received.due_at.is_(None), held).values(query="", body=b"")
    return changed(session.execute(emptied.execution_options(synchronize_session=False)))


def _holds(session: Session, some: bytes) -> sa.ColumnElement[bool]:
    if session.get_bind().dialect.name == "postgresql":
        return sa.func.pg_catalog.position(Received.body, sa.literal(some, sa.LargeBinary)) > 0
    return sa.func.instr(Received.body, some) > 0


def _erase_received(session: Session, row: Call | Message) -> int:
    """What came stays as a row, so that it is not taken for new when it comes again."""
    came = (Received.received_at == row.received_at, Received.upstream == row.upstream, Received.due_at.is_(None))
    near = Received.id.between(first_id_of(row.received_at), last_id_of(row.received_at))
    emptied = sa.update(Received).where(TOLD_OF_PEOPLE, near, *came).values(query="", body=b"")
    return changed(session.execute(emptied.execution_options(synchronize_session=False)))
