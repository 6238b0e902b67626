"""Whose number is it: what keeps one requester from changing or giving up another's."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy.orm import Session

from models import number
from models.number import Key


def held_by_others(session: Session, requester_id: UUID, numbers: Iterable[Key]) -> set[Key]:
    """Those of these numbers that we hold for other requesters.

    A number that we do not hold at all is nobody's here: it may be older than Trunkline, and is let through.
    """
    return {key for key, row in number.held(session, numbers).items() if row.requester_id != requester_id}
