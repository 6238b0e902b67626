"""What a word on the command line names: a request by any of its names, a batch by id or name, a caller by number."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models import lookup
from models.batch import Batch
from models.request import Request
from worker.cli.run import Refusal


def the_request(session: Session, reference: str) -> Request:
    """The one request that `reference` names. Raises Refusal where there is none, or more than one."""
    found = lookup.find(session, reference)
    if not found:
        raise Refusal(f"no request has this id, number, custom_id or upstream reference: {reference!r}")
    if len(found) > 1:
        lines = [f"  {row.id}  {row.kind} at {row.upstream}, {row.state}, made {row.created_at:%F %T}" for row in found]
        raise Refusal(f"{reference!r} names {len(found)} requests; say which, by its id:\n" + "\n".join(lines))
    return found[0]


def the_batch(session: Session, reference: str) -> Batch:
    """The batch of that id, or the newest of that name. Raises Refusal."""
    try:
        condition = Batch.id == UUID(reference)
    except ValueError:
        condition = Batch.name == reference
    found = session.scalar(sa.select(Batch).where(condition).order_by(Batch.id.desc()).limit(1))
    if found is None:
        raise Refusal(f"no batch has this id or name: {reference!r}")
    return found


def caller_forms(number: str) -> list[str]:
    """How the number of who called or wrote may stand in our tables. Raises Refusal."""
    forms = lookup.numbers_meant(number)
    if not forms:
        raise Refusal(f"--caller: {number!r} is not a phone number")
    return [*forms, *({number.strip()} - set(forms))]  # an upstream may have written it in a form of its own


def masked_caller(forms: Sequence[str]) -> str:
    """The last digits of a caller's number: enough to know it again for who knows it, and no more."""
    return f"…{forms[0][-3:]}"
