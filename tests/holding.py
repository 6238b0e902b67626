"""Numbers that tests begin with: bought, changed and given up by requests that completed."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.engine import Engine

from models.base import write
from models.intake import take
from models.request import Kind
from models.state import State
from models.transition import Move, transition
from tests.factory import NOW, make_requester, new_request

SYDNEY, PERTH = "+61280740801", "+61861234567"


def ask(engine: Engine, kind: Kind = Kind.PROVISION, requester: str = "default", **fields: Any) -> UUID:
    """A request of this kind, about Sydney's number unless it is told otherwise, which is still to be done."""
    owner = make_requester(engine, requester)
    given = {"number": SYDNEY, "spec": {}} if kind is not Kind.PROVISION else {}
    new = new_request(kind=kind, **(given | fields))
    return write(engine, lambda session: take(session, owner.id, [new], NOW))[0].id


def complete(engine: Engine, *ids: UUID, number: str = SYDNEY, at: datetime = NOW, **changes: Any) -> None:
    """These requests complete in one set, in this order, as an upstream's word has it."""
    moves = [Move(id_, State.COMPLETED, "callback", changes={"number": number, **changes}) for id_ in ids]
    write(engine, lambda session: transition(session, moves, at))


def done(
    engine: Engine,
    kind: Kind = Kind.PROVISION,
    requester: str = "default",
    *,
    number: str = SYDNEY,
    at: datetime = NOW,
    **fields: Any,
) -> UUID:
    """A request that has completed, about this number."""
    about = {} if kind is Kind.PROVISION else {"number": number}
    id_ = ask(engine, kind, requester, **about, **fields)
    complete(engine, id_, number=number, at=at)
    return id_
