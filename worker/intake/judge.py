"""Judging candidates against what the database knows: keys used before, endpoints, and whose a number is.

Works on a set with a few queries for all of it; one candidate is a set of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models.endpoint import Endpoint
from models.holding import held_by_others
from models.intake import is_same_body, known_keys
from models.request import Kind
from worker.fault import Fault
from worker.intake.examine import Candidate


class Standing(Enum):
    NEW = auto()
    TAKEN = auto()  # its key was used before, for the same body: nothing to do
    CONFLICT = auto()  # its key was used before, for another body


def judge(
    session: Session, requester_id: UUID, candidates: Sequence[Candidate], keys: Sequence[str | None]
) -> list[Standing]:
    """Say of each candidate where it stands, add to its faults what is wrong, and fill in its endpoint.

    One that was taken before has no faults, whatever has changed since (its deadline may have passed): to send
    it again is to ask what became of it.
    """
    known = known_keys(session, requester_id, [key for key in keys if key is not None])
    _find_endpoints(session, requester_id, candidates)
    _refuse_numbers_of_others(session, requester_id, candidates)
    standings = []
    for candidate, key in zip(candidates, keys, strict=True):
        used = known.get(key) if key is not None and candidate.digest is not None else None
        if used is None:
            standings.append(Standing.NEW)
        elif is_same_body(str(candidate.digest), used[1]):
            candidate.faults.clear()
            standings.append(Standing.TAKEN)
        else:
            standings.append(Standing.CONFLICT)
    return standings


def _find_endpoints(session: Session, requester_id: UUID, candidates: Sequence[Candidate]) -> None:
    names = {candidate.body.endpoint for candidate in candidates if candidate.body and candidate.body.endpoint}
    if not names:
        return
    rows = session.scalars(
        sa.select(Endpoint).where(Endpoint.requester_id == requester_id, Endpoint.name.in_(sorted(names)))
    )
    found = {endpoint.name: endpoint for endpoint in rows}
    for candidate in candidates:
        name = candidate.body.endpoint if candidate.body else None
        if name is None:
            continue
        endpoint = found.get(name)
        if endpoint is None:
            candidate.faults.append(Fault("/endpoint", f"no endpoint of this name is registered: {name!r}"))
        elif endpoint.disabled_at is not None:
            candidate.faults.append(Fault("/endpoint", f"{name!r} is disabled"))
        else:
            candidate.endpoint_id = endpoint.id


def _refuse_numbers_of_others(session: Session, requester_id: UUID, candidates: Sequence[Candidate]) -> None:
    asked = {
        (candidate.body.upstream, candidate.number): candidate
        for candidate in candidates
        if candidate.body and candidate.body.kind is not Kind.PROVISION and candidate.number
    }
    others = held_by_others(session, requester_id, asked)
    for candidate in candidates:
        if candidate.body and candidate.number and (candidate.body.upstream, candidate.number) in others:
            candidate.faults.append(Fault("/number", f"{candidate.number} is not a number of yours"))
