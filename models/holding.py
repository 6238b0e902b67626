"""Whose number is it: what keeps one requester from changing or giving up another's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models import number
from models.number import Key, Number
from models.request import Kind, Request
from models.state import OPEN


def held_by_others(session: Session, requester_id: UUID, numbers: Iterable[Key]) -> set[Key]:
    """Those of these numbers that we hold, or are just getting, for other requesters.

    A number that we do not hold at all is nobody's here: it may be older than Trunkline, and is let through.
    """
    asked = set(numbers)
    owners = {key: {row.requester_id} for key, row in number.held(session, asked).items()}
    for key, owner in _on_their_way(session, asked):
        owners.setdefault(key, set()).add(owner)
    return {key for key, of in owners.items() if requester_id not in of}


def _on_their_way(session: Session, asked: set[Key]) -> list[tuple[Key, UUID]]:
    """Numbers that an upstream has promised and not yet completed."""
    if not asked:
        return []
    statement = sa.select(Request.upstream, Request.number, Request.requester_id).where(
        Request.number.in_({wanted for _, wanted in asked}),
        Request.kind == Kind.PROVISION,
        Request.state.in_(OPEN),
    )
    rows = session.execute(statement).all()
    return [((upstream, str(wanted)), owner) for upstream, wanted, owner in rows if (upstream, wanted) in asked]


def changed_hands(session: Session, changes: Sequence[Request]) -> set[UUID]:
    """Those of these requests whose number has become another requester's, or was given up, since they were asked for:
    what was meant is no more."""
    others = {
        owner: held_by_others(session, owner, {_key(row) for row in changes if row.requester_id == owner})
        for owner in {row.requester_id for row in changes}
    }
    given_up = _given_up(session, changes)
    return {row.id for row in changes if _key(row) in others[row.requester_id] or row.id in given_up}


def _given_up(session: Session, changes: Sequence[Request]) -> set[UUID]:
    statement = sa.select(Number.upstream, Number.number, sa.func.max(Number.released_at)).where(
        Number.number.in_({row.number for row in changes}), Number.released_at.is_not(None)
    )
    ends = {
        (upstream, of): at for upstream, of, at in session.execute(statement.group_by(Number.upstream, Number.number))
    }
    return {row.id for row in changes if (end := ends.get(_key(row))) is not None and end > row.created_at}


def _key(row: Request) -> Key:
    return row.upstream, row.number or ""
