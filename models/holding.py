"""Whose number is it: what keeps one requester from changing or giving up another's."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models.request import Kind, Request
from models.state import State

Held = tuple[str, str]
"""Upstream and number (E.164)."""


def held_by_others(session: Session, requester_id: UUID, numbers: Iterable[Held]) -> set[Held]:
    """Those of these numbers that we bought for other requesters and never for this one.

    A number that we did not buy at all is nobody's here: it may be older than Trunkline, and is let through.
    """
    asked = set(numbers)
    if not asked:
        return set()
    bought = sa.select(Request.upstream, Request.number, Request.requester_id).where(
        Request.number.in_({number for _, number in asked}),
        Request.kind == Kind.PROVISION,
        Request.state == State.COMPLETED,
    )
    owners: dict[Held, set[UUID]] = {}
    for upstream, number, owner in session.execute(bought.distinct()):
        owners.setdefault((upstream, number or ""), set()).add(owner)
    return {held for held, of in owners.items() if held in asked and requester_id not in of}
