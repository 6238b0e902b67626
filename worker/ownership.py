"""Calls and messages find their owner: the request whose number it was at that time, and who is to hear of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models import call, delivery, message, number
from models.base import new_id
from models.endpoint import EventType
from models.inbox import Received
from models.number import Number
from models.request import Request
from worker.upstreams.base import FinishedCall, InboundMessage


@dataclass(frozen=True, eq=False, slots=True)
class Happened:
    """A call or a message, and the inbox row that told of it."""

    row: Received
    said: FinishedCall | InboundMessage

    @property
    def moment(self) -> datetime:
        """When it happened, as the upstream says; when we were told, where it does not say or cannot be right."""
        said = self.said.started_at if isinstance(self.said, FinishedCall) else self.said.sent_at
        if said is None or said > self.row.received_at:
            return self.row.received_at
        return said


def place(
    session: Session, happened: Sequence[Happened], by_token: Mapping[UUID, Request]
) -> dict[Happened, tuple[Request, str | None]]:
    """The request that owned the number at that time, and the number (E.164), for each that has an owner.

    `by_token` are the requests whose own URIs were used: one of them stands in where the inventory knows no better,
    as for AVANSER's test call, which may come before the number is ours in our books.
    """
    wanted = {one: _number_of(one, by_token) for one in happened}
    asked = [(one.row.upstream, about, one.moment) for one, about in wanted.items() if about is not None]
    held = number.held_at(session, asked)
    owners = _requests(session, held.values(), by_token)
    placed: dict[Happened, tuple[Request, str | None]] = {}
    for one, about in wanted.items():
        holder = held.get((one.row.upstream, about, one.moment)) if about is not None else None
        owner = owners.get(holder.request_id) if holder is not None else by_token.get(one.row.request_id)
        if owner is not None:
            placed[one] = owner, about
    return placed


def _number_of(one: Happened, by_token: Mapping[UUID, Request]) -> str | None:
    if one.said.number is not None:
        return one.said.number
    request = by_token.get(one.row.request_id)
    return request.number if request is not None else None


def _requests(session: Session, holders: Iterable[Number], known: Mapping[UUID, Request]) -> dict[UUID, Request]:
    ids = {holder.request_id for holder in holders}
    found = {id_: known[id_] for id_ in ids if id_ in known}
    if missing := ids - found.keys():
        found |= {row.id: row for row in session.scalars(sa.select(Request).where(Request.id.in_(missing)))}
    return found


def keep(session: Session, placed: Mapping[Happened, tuple[Request, str | None]]) -> list[delivery.Notice]:
    """Store each once, and say whom to tell; what the upstream had told before is told nobody."""
    notices = [_keep(session, one.row, one.said, *owner) for one, owner in placed.items()]
    return [notice for notice in notices if notice is not None]


def _keep(
    session: Session, row: Received, said: FinishedCall | InboundMessage, owner: Request, about: str | None
) -> delivery.Notice | None:
    values: dict[str, Any] = {
        "id": new_id(),
        "upstream": row.upstream,
        "upstream_reference": said.reference,
        "request_id": owner.id,
        "requester_id": owner.requester_id,
        "number": about,
        "parameters": dict(said.parameters),
        "received_at": row.received_at,
    }
    if isinstance(said, FinishedCall):
        values |= _call(said)
        is_new, type_, data = call.keep(session, values), EventType.CALL_FINISHED, call.view(call.Call(**values))
    else:
        values |= _message(said)
        is_new, type_ = message.keep(session, values), EventType.MESSAGE_RECEIVED
        data = message.view(message.Message(**values))
    if not is_new:
        return None
    return delivery.Notice(
        type_,
        owner.requester_id,
        data,
        request_id=owner.id,
        endpoint_id=owner.endpoint_id,
        notify_url=owner.notify_url,
    )


def _call(said: FinishedCall) -> dict[str, Any]:
    return {
        "caller": said.caller,
        "answer_point": said.answer_point,
        "status": said.status,
        "duration": said.duration,
        "started_at": said.started_at,
        "started_at_raw": said.started_at_raw,
    }


def _message(said: InboundMessage) -> dict[str, Any]:
    return {
        "sender": said.sender,
        "text": said.text,
        "sent_at": said.sent_at,
        "sent_at_raw": said.sent_at_raw,
    }
