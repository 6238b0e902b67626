"""A finding of a comparison, and the words in which people are told of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from models.base import rfc3339
from models.number import Number
from models.reconciliation import FindingKind
from models.request import Request
from models.state import State
from worker.upstreams.base import Difference, OwnedNumber


class Act(StrEnum):
    """What a person can have done about a finding, by the name of its option."""

    ADOPT = "adopt"
    RELEASE = "release"
    FORGET = "forget"
    APPLY = "apply"


@dataclass(frozen=True, slots=True)
class Finding:
    """`known` says what is known, `todo` what a person can do, and `command` which command does that."""

    kind: FindingKind
    upstream: str
    number: str  # E.164
    known: str
    todo: str
    act: Act
    request_id: UUID | None = None
    requester: str | None = None  # whose it is; None: nobody knows
    upstream_reference: str | None = None
    others: Sequence[str] = ()  # further numbers that carry the key of the same request
    differences: Sequence[Difference] = ()
    instead: str | None = None  # another command than that of the act

    @property
    def command(self) -> str:
        return self.instead or f"trunkline reconcile --upstream {self.upstream} --{self.act} {self.number}"

    def view(self, since: str) -> dict[str, Any]:
        """The finding ready for JSON; `since` is when a run first showed it, in RFC 3339."""
        return {
            "kind": self.kind.value,
            "number": self.number,
            "since": since,
            "known": self.known,
            "todo": self.todo,
            "command": self.command,
            "request": None if self.request_id is None else str(self.request_id),
            "requester": self.requester,
            "upstream_reference": self.upstream_reference,
            "others": list(self.others),
            "differences": [
                {"pointer": one.pointer, "asked": one.asked, "shown": one.shown} for one in self.differences
            ],
        }


def orphan(
    upstream: str,
    theirs: OwnedNumber,
    request: Request | None,
    given_up: Number | None,
    requester: str | None,
    others: Sequence[str],
) -> Finding:
    if given_up is not None:
        by = f" by request {given_up.released_by}" if given_up.released_by is not None else ""
        known = f"It was given up at {_at(given_up.released_at)}{by}, and {upstream} lists it still."
        todo = f"Give it up again, or ask {upstream} why it is billed."
        act = Act.RELEASE
    elif request is not None:
        late = " The upstream said so too late." if request.contradicted_at is not None else ""
        known = (
            f"Request {_named(request)} is {request.state}, and its order did land: paid for, and held by nobody.{late}"
        )
        todo = "Adopt it for that request's requester, or give it up."
        act = Act.ADOPT
    else:
        unknown = (
            f" It carries the key of request {theirs.order}, which is not in this database." if theirs.order else ""
        )
        known = f"Paid for at {upstream}{_called(theirs)}, and in nobody's books here.{unknown}"
        todo = "Adopt it for whoever it belongs to (--requester), or give it up."
        act = Act.ADOPT
    return Finding(
        FindingKind.ORPHAN,
        upstream,
        theirs.number,
        known,
        todo,
        act,
        request.id if request is not None else None,
        requester,
        theirs.reference,
        others,
    )


def landed(upstream: str, theirs: OwnedNumber, request: Request, requester: str | None, evidence: str) -> Finding:
    standing = f"{request.state} ({request.reason})" if request.reason else str(request.state)
    if request.state is State.QUEUED:
        standing += ", about to be ordered again"
    return Finding(
        FindingKind.LANDED,
        upstream,
        theirs.number,
        f"Request {_named(request)} is {standing}, and its order did land: {evidence}.",
        "Adopt it: the request completes with this number, and its requester is told.",
        Act.ADOPT,
        request.id,
        requester,
        theirs.reference,
    )


def twice(
    upstream: str, theirs: OwnedNumber, request: Request, requester: str | None, others: Sequence[str]
) -> Finding:
    is_open = request.finished_at is None
    choice = " Adopt one of them and give up the rest." if is_open else " Give it up, or adopt it as one more number."
    return Finding(
        FindingKind.TWICE,
        upstream,
        theirs.number,
        f"Bought twice: it carries the key of request {_named(request)}, which has also got {', '.join(others)}.",
        choice.strip(),
        Act.ADOPT if is_open else Act.RELEASE,
        request.id,
        requester,
        theirs.reference,
        others,
    )


def ghost(upstream: str, ours: Number, requester: str | None, release: Request | None) -> Finding:
    known = f"Held since {_at(ours.held_since)} (request {ours.request_id}), and {upstream} does not list it."
    if release is not None:
        todo = f"Its release {release.id} is held: it has probably been done."
        instead = f"trunkline resolve {release.id} --outcome completed"
    else:
        todo = f"Ask {upstream} what became of it; where it is gone for good, forget it."
        instead = None
    return Finding(
        FindingKind.GHOST,
        upstream,
        ours.number,
        known,
        todo,
        Act.FORGET,
        ours.request_id,
        requester,
        ours.upstream_reference,
        instead=instead,
    )


def drift(upstream: str, ours: Number, requester: str | None, differences: Sequence[Difference]) -> Finding:
    told = "; ".join(
        f"{one.pointer.removeprefix('/spec/').removeprefix('/')} is {one.shown!r}, asked for was {one.asked!r}"
        for one in differences
    )
    return Finding(
        FindingKind.DRIFT,
        upstream,
        ours.number,
        f"{told}.",
        "Send what was asked for once more, or make it what is meant (trunkline numbers update).",
        Act.APPLY,
        ours.request_id,
        requester,
        ours.upstream_reference,
        differences=differences,
    )


def _named(request: Request) -> str:
    called = f" ({request.custom_id})" if request.custom_id is not None else ""
    return f"{request.id}{called}"


def _called(theirs: OwnedNumber) -> str:
    known = [f"{what} {said!r}" for what, said in (("name", theirs.name), ("custom_id", theirs.custom_id)) if said]
    return f" ({', '.join(known)})" if known else ""


def _at(moment: datetime | None) -> str:
    return rfc3339(moment.replace(microsecond=0) if moment is not None else None) or "some time"
