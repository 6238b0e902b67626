"""What happened on numbers, in lists: calls and messages alike, the last that we were told of first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models.base import first_id_of
from models.call import Call
from models.listing import page_of
from models.message import Message

Row = TypeVar("Row", Call, Message)


def list_events(
    session: Session,
    table: type[Row],
    requester_id: UUID | None,
    numbers: Sequence[str] | None = None,
    since: datetime | None = None,
    limit: int = 100,
    cursor: str | None = None,
) -> tuple[list[Row], str | None]:
    """A page of the calls or messages of one requester (None: of all) and the next page's cursor; those on these
    numbers (E.164), and those that we were told of at or after `since`, where these are given. Raises BadCursor.
    """
    conditions: list[sa.ColumnElement[bool]] = []
    if requester_id is not None:
        conditions.append(table.requester_id == requester_id)
    if numbers is not None:
        conditions.append(table.number.in_(numbers))
    if since is not None:
        # Ids ascend with time, and the list is in their order: it is read no further back than needed.
        conditions += [table.received_at >= since, table.id >= first_id_of(since)]
    return page_of(session, table, conditions, limit, cursor)
