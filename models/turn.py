"""Whose turn it is: changes of one number are made one after the other, in the order in which they were asked for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models.request import Kind, Request
from models.state import OPEN, State

WAIT = timedelta(seconds=2)
"""Until it is looked at again whether the earlier change has ended."""


def held_back(session: Session, due: Sequence[Request]) -> dict[UUID, UUID]:
    """Those of these requests that an earlier one about the same number goes before, and that one's id.

    A release that has not been sent yet (it can still be cancelled) holds up nobody.
    """
    changes = [row for row in due if row.kind is not Kind.PROVISION and row.state is State.QUEUED]
    if not changes:
        return {}
    statement = sa.select(Request.upstream, Request.number, Request.id).where(
        Request.number.in_({row.number for row in changes}),
        Request.kind != Kind.PROVISION,
        Request.state.in_(OPEN),
        sa.or_(Request.kind == Kind.UPDATE, Request.state != State.QUEUED),
    )
    first: dict[tuple[str, str | None], UUID] = {}
    for upstream, number, id_ in session.execute(statement.order_by(Request.id)):
        first.setdefault((upstream, number), id_)
    found = {row.id: first.get((row.upstream, row.number)) for row in changes}
    return {id_: earlier for id_, earlier in found.items() if earlier is not None and earlier < id_}
