"""What a person may do about a finding. Each act is about one number, in one transaction, and says who did it and why.

Whoever acts has just compared: the upstream's list is at hand, and the rows are read again here, locked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from models import act, event, number
from models.event import Entry, EventKind
from models.intake import ANY_BODY, NewRequest, custom_key, known_keys, take
from models.number import Number
from models.request import Kind, Request
from models.state import OPEN, Reason, State
from models.transition import Landing, Move, apply, lock, transition
from worker.intake import Intake
from worker.reconciling.compare import Extra
from worker.reconciling.finding import Finding
from worker.upstreams.base import Difference


class NotDone(Exception):
    """It cannot be done, or not any more; the message says why. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Who:
    """Who acts, when, and why."""

    actor: str
    now: datetime
    note: str | None = None

    def record(self, session: Session, name: str, upstream: str, number: str, request_id: UUID) -> None:
        """Into the audit."""
        told = {"upstream": upstream, "request": str(request_id)}
        act.record(session, self.actor, name, number, self.now, self.note, told)

    def because(self, what: str) -> str:
        return what if self.note is None else f"{what} {self.note}"


def adopt(session: Session, upstream: str, extra: Extra, requester_id: UUID, who: Who) -> UUID:
    """Make it a number that we hold; returns the request that says so.

    Where it was bought by a request that is still open, that one completes with it, whatever its requester is told
    then. One that carries the key of a request that was lost with the database becomes that request again, under its
    id. Else it is written down as an update that asks for nothing, as for a number older than Trunkline: for the
    requester of the purchase that it comes from, or for `requester_id`. Raises NotDone.
    """
    made = _adopt(session, upstream, extra, requester_id, who)
    who.record(session, "number.adopt", upstream, extra.theirs.number, made)
    return made


def _adopt(session: Session, upstream: str, extra: Extra, requester_id: UUID, who: Who) -> UUID:
    row = _locked(session, extra.request)
    _require_unheld(session, upstream, extra.theirs.number)
    if row is None or row.state not in OPEN or _has_got_another(row, extra):
        return _enter(session, upstream, extra, row, requester_id, who)
    changes: dict[str, Any] = {"number": extra.theirs.number, "retries": 0, "unknown_since": None}
    if row.upstream_reference is None or extra.theirs.reference is not None:
        changes["upstream_reference"] = extra.theirs.reference
    detail = who.because(f"Adopted in reconciliation: {upstream} lists {extra.theirs.number}; {extra.evidence}.")
    move = Move(row.id, State.COMPLETED, who.actor, Reason.BY_PERSON, detail, changes=changes)
    (landing,) = apply(session, {row.id: row}, [move], who.now)
    if landing is not Landing.MOVED:
        raise NotDone(f"request {row.id} is {row.state}")
    return row.id


def _has_got_another(row: Request, extra: Extra) -> bool:
    """Acknowledged with another number: then this is one more, and not the one that the request waits for."""
    return row.accepted_at is not None and row.number not in (None, extra.theirs.number)


def _enter(
    session: Session, upstream: str, extra: Extra, bought_by: Request | None, requester_id: UUID, who: Who
) -> UUID:
    theirs = extra.theirs
    new = NewRequest(
        upstream=upstream,
        kind=Kind.UPDATE,
        spec={},
        body_digest=hashlib.sha256(f"adopted {theirs.number}".encode()).hexdigest(),
        deadline=who.now,
        due_at=who.now,
        custom_id=theirs.custom_id if bought_by is None else bought_by.custom_id,
        custom_group=theirs.custom_group if bought_by is None else bought_by.custom_group,
        endpoint_id=None if bought_by is None else bought_by.endpoint_id,
        notify_url=None if bought_by is None else bought_by.notify_url,
        number=theirs.number,
    )
    owner = requester_id if bought_by is None else bought_by.requester_id
    if theirs.order is not None and session.get(Request, theirs.order) is None:
        new = _as_it_was(session, owner, new, theirs.order)
    (taken,) = take(session, owner, [new], who.now, actor=who.actor)
    detail = who.because("Adopted in reconciliation; nothing was sent.")
    changes = {"number": theirs.number, "upstream_reference": theirs.reference}
    transition(
        session, [Move(taken.id, State.COMPLETED, who.actor, Reason.BY_PERSON, detail, changes=changes)], who.now
    )
    ours = _held(session, upstream, theirs.number)
    if ours is None or ours.request_id != taken.id:  # at the same moment somebody else was quicker
        raise NotDone("we hold it, since just now")
    if bought_by is not None:
        _note(session, bought_by.id, "adopted", f"{theirs.number} was adopted as request {taken.id}.", who)
    return taken.id


def _as_it_was(session: Session, owner: UUID, new: NewRequest, id_: UUID) -> NewRequest:
    """The request whose key the number carries: so its callback addresses are good, and its requester finds it.

    A file that is sent again asks for it under the same key, and buys no second one: of its body nothing is known.
    """
    key = None if new.custom_id is None else custom_key(new.upstream, Kind.PROVISION, new.custom_id)
    if key is not None and known_keys(session, owner, [key]):
        key = None
    return replace(new, id=id_, kind=Kind.PROVISION, idempotency_key=key, body_digest=ANY_BODY)


def release(session: Session, upstream: str, extra: Extra, requester_id: UUID, intake: Intake, who: Who) -> UUID:
    """Ask for a number that nobody holds to be given up; returns the release. It enters the inventory with it, so that
    it is seen until it is gone.

    No request completes by this. Raises NotDone, also where the number may be what an open request waits for.
    """
    row = _locked(session, extra.request)
    theirs = extra.theirs
    _require_unheld(session, upstream, theirs.number)
    if row is not None and row.state in OPEN and not extra.others:
        raise NotDone(f"request {row.id} is {row.state} and waits for it: adopt it, or settle that request first")
    owner = requester_id if row is None else row.requester_id
    body = {"upstream": upstream, "kind": Kind.RELEASE.value, "number": theirs.number}
    (taken,) = take(session, owner, [intake.check(session, owner, body, who.now)], who.now, actor=who.actor)
    number.enter(session, upstream, theirs.number, theirs.reference, owner, taken.id, who.now)
    why = who.because(f"Found in reconciliation: {upstream} lists {theirs.number}, and nobody held it.")
    _note(session, taken.id, "released", why, who)
    if row is not None:
        _note(session, row.id, "released", f"{theirs.number} is given up by request {taken.id}.", who)
    who.record(session, "number.release", upstream, theirs.number, taken.id)
    return taken.id


def forget(session: Session, upstream: str, finding: Finding, who: Who) -> UUID:
    """Hold a number no longer that the upstream does not have; returns the request whose history says so.

    Raises NotDone.
    """
    ours = _held(session, upstream, finding.number)
    if ours is None:
        raise NotDone("it is held by nobody any more")
    number.forget(ours, who.now)
    session.flush()
    who.record(session, "number.forget", upstream, finding.number, ours.request_id)
    _note(session, ours.request_id, "forgotten", f"{upstream} does not list {finding.number}: held no longer.", who)
    return ours.request_id


def wishes(ours: Number, finding: Finding, repeated: Sequence[str]) -> dict[str, Any]:
    """The change that asks for our configuration once more, as the body of PATCH /v1/numbers/{number}.

    Whole fields of the spec: of parts of one not every vendor knows what becomes of the rest. `repeated` are those
    that each update must say.
    """
    asked = ours.configuration
    named = {field for one in finding.differences if (field := _field_of_spec(one)) in asked} | set(repeated)
    body: dict[str, Any] = {"spec": {name: asked[name] for name in asked if name in named}}
    for name in ("custom_id", "custom_group"):
        if any(one.pointer == f"/{name}" for one in finding.differences):
            body[name] = getattr(ours, name)
    return body


def _field_of_spec(difference: Difference) -> str | None:
    steps = difference.pointer.split("/")
    return steps[2] if steps[1] == "spec" else None


def _locked(session: Session, request: Request | None) -> Request | None:
    return None if request is None else lock(session, [request.id]).get(request.id)


def _held(session: Session, upstream: str, of: str) -> Number | None:
    """Locked, so that nobody else adopts, releases or forgets it at the same moment."""
    key = (upstream, of)
    number.lock(session, {key})
    return number.held(session, [key]).get(key)


def _require_unheld(session: Session, upstream: str, of: str) -> None:
    ours = _held(session, upstream, of)
    if ours is not None:
        raise NotDone(f"we hold it (request {ours.request_id}): see trunkline numbers show {of}")


def _note(session: Session, request_id: UUID, reason: str, detail: str, who: Who) -> None:
    entry = Entry(request_id, who.now, EventKind.NOTE, who.actor, reason=reason, detail=who.because(detail))
    event.append(session, [entry])
