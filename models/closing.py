"""When the address that an upstream was given for a request stops being good: some time after there is no more to say.

A callback's address closes after its request has ended. One for calls or messages stays open while the request's
number is held, and closes as long after it was given up.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models.inbox import Purpose
from models.number import Number
from models.request import Request


def is_young(request_id: UUID, since: datetime) -> bool:
    """Whether the id itself tells that the request was made since then, so that it cannot have ended before."""
    return request_id.version == 7 and request_id.int >> 80 >= int(since.timestamp() * 1000)


def is_closed(session: Session, purpose: Purpose, request_id: UUID, since: datetime) -> bool:
    """Whether all that could be told to this address was over before `since`.

    Of a request that is not there nothing is known: its address is open, and what comes is kept and shown.
    """
    over = sa.select(sa.true()).where(Request.id == request_id, Request.finished_at < since)
    if purpose is not Purpose.CALLBACK:
        over = over.where(~_is_held(since))
    return session.scalar(over) is not None


def _is_held(since: datetime) -> sa.ColumnElement[bool]:
    return (
        sa.select(Number.id)
        .where(
            Number.number == Request.number,
            Number.upstream == Request.upstream,
            sa.or_(Number.released_at.is_(None), Number.released_at >= since),
        )
        .exists()
    )
