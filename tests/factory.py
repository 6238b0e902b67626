"""One factory for the rows that tests begin with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models import endpoint, requester
from models.base import new_id, read, write
from models.batch import Batch, BatchState
from models.endpoint import Endpoint, EventType
from models.intake import NewRequest, take
from models.request import Kind, Request
from models.requester import Requester
from models.sealed import Keyring

SECRET_KEY = "a secret for tests that is long enough"
KEYRING = Keyring([SECRET_KEY])

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
"""When tests begin. Time is an argument everywhere, so it stands still unless a test moves it."""

SPEC = {
    "name": "service #1",
    "service_number": {"country": "AU", "search_type": "szu", "szu": "sydney"},
    "service": {"type": "transfer", "answer_point": "61401603859", "record_call": True},
}


def new_request(**fields: Any) -> NewRequest:
    """A good request, with these fields otherwise."""
    given: dict[str, Any] = {
        "upstream": "avanser",
        "kind": Kind.PROVISION,
        "spec": SPEC,
        "body_digest": "0" * 64,
        "deadline": NOW + timedelta(days=7),
        "due_at": NOW,
    }
    return NewRequest(**(given | fields))


def make_requester(engine: Engine, name: str = "default") -> Requester:
    return write(engine, lambda session: requester.find_or_make(session, name, NOW))


def make_endpoint(engine: Engine, owner: Requester, url: str, *types: EventType, name: str = "crm") -> Endpoint:
    kinds = frozenset(types or EventType)
    return write(engine, lambda session: endpoint.create(session, owner, name, url, kinds, NOW))


def make_requests(
    engine: Engine, count: int = 1, *, batch_id: UUID | None = None, owner: Requester | None = None, **fields: Any
) -> list[UUID]:
    """Take `count` requests, of the default requester where no other is given, and return their ids."""
    owner = owner or make_requester(engine)

    def work(session: Session) -> list[UUID]:
        taken = take(session, owner.id, [new_request(**fields) for _ in range(count)], NOW, batch_id=batch_id)
        return [one.id for one in taken]

    return write(engine, work)


def make_batch(engine: Engine, total: int, *, is_sealed: bool = True, owner: Requester | None = None) -> UUID:
    """A running batch, of the default requester where no other is given, whose requests are still to be made."""
    owner, batch_id = owner or make_requester(engine), new_id()

    def work(session: Session) -> None:
        session.add(
            Batch(
                id=batch_id,
                requester_id=owner.id,
                name="dealers",
                state=BatchState.RUNNING,
                total=total,
                sealed_at=NOW if is_sealed else None,
                created_at=NOW,
            )
        )
        session.flush()

    write(engine, work)
    return batch_id


def fetch(engine: Engine, request_id: UUID) -> Request:
    def work(session: Session) -> Request:
        found = session.get(Request, request_id)
        assert found is not None
        return found

    return read(engine, work)
