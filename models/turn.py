"""Whose turn it is: changes of one number are made one after the other, in the order in which they were asked for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models import number
from models.request import Kind, Request
from models.state import OPEN, State

LEAST_WAIT, MOST_WAIT = timedelta(seconds=2), timedelta(minutes=1)

SHARE_OF_AGE = 10
"""A change that has waited for a minute is looked at every 6 seconds: hundreds behind one that is stuck cost little."""


def wait(row: Request, now: datetime) -> timedelta:
    """Until it is looked at again whether the one before has ended."""
    return min(max((now - row.created_at) / SHARE_OF_AGE, LEAST_WAIT), MOST_WAIT)


def held_back(session: Session, changes: Sequence[Request]) -> dict[UUID, Request]:
    """Those of these queued updates and releases that another about the same number goes before, and that one.

    What is out goes first, and else what was asked for first. A release that has not been sent (it can still be
    cancelled) holds up nobody, unless it is due as well.
    """
    number.lock(session, {(row.upstream, row.number or "") for row in changes})  # or two workers send one each
    return goes_before(session, changes)


def goes_before(session: Session, changes: Sequence[Request]) -> dict[UUID, Request]:
    """As `held_back`, of changes that wait, without keeping others from sending one meanwhile."""
    statement = sa.select(Request).where(
        Request.number.in_({row.number for row in changes}),
        Request.kind != Kind.PROVISION,
        Request.state.in_(OPEN),
        sa.or_(Request.kind == Kind.UPDATE, Request.state != State.QUEUED),
    )
    others = [*session.scalars(statement), *changes]
    first: dict[Line, Request] = {}
    for row in sorted(others, key=lambda row: (row.state is State.QUEUED, row.id)):
        first.setdefault(_line(row), row)
    found = {row.id: first[_line(row)] for row in changes}
    return {id_: earlier for id_, earlier in found.items() if earlier.id != id_}


Line = tuple[UUID, str, str | None]


def _line(row: Request) -> Line:
    """Who stand in one line: nobody waits for another requester, whose number it is or was."""
    return row.requester_id, row.upstream, row.number
