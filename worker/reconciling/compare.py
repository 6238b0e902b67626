"""The comparison itself: a pure function of what the upstream listed and what stands in our books.

Both lag. What was bought, changed or given up after the list was asked for, or so shortly before it that the upstream
may not have shown it yet (its settling time), is no finding; nor is a purchase or a change that is under way.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from models.number import Number
from models.reconciliation import FindingKind
from models.request import Kind, Request
from models.state import Reason, State
from worker.reconciling import finding
from worker.reconciling.books import Books, Listed, id_in
from worker.reconciling.finding import Finding
from worker.upstreams.base import Dialect, Held, OwnedNumber

OUT = frozenset({State.SUBMITTING, State.ACCEPTED})
"""Ordered, and not known to have gone wrong."""


@dataclass(frozen=True, slots=True)
class Extra:
    """A number that the upstream lists and we do not hold, the request that bought it, and what tells us so."""

    theirs: OwnedNumber
    request: Request | None
    evidence: str
    others: Sequence[str]  # numbers that the same request has got as well


@dataclass(frozen=True, slots=True)
class Report:
    """`extras` are all numbers that the upstream lists beyond our books, also those whose purchase is under way."""

    listed: Listed
    books: Books
    extras: Mapping[str, Extra]
    findings: Sequence[Finding]

    @property
    def upstream(self) -> str:
        return self.listed.upstream

    @property
    def counts(self) -> dict[str, int]:
        found = Counter(one.kind for one in self.findings)
        sizes = {"ours": len(self.books.held), "theirs": len(self.listed.numbers)}
        return sizes | {kind.value: found[kind] for kind in FindingKind}


def compare(listed: Listed, books: Books, dialect: Dialect, settling: timedelta) -> Report:
    before = listed.started_at - settling
    extras = _extras(listed, books)
    found = [
        *(one for extra in extras.values() if (one := _of_extra(extra, listed.upstream, books, before)) is not None),
        *_ghosts(listed, books, before),
        *_drift(listed, books, dialect, before),
    ]
    order = list(FindingKind)
    return Report(listed, books, extras, sorted(found, key=lambda one: (order.index(one.kind), one.number)))


def _extras(listed: Listed, books: Books) -> dict[str, Extra]:
    carriers: defaultdict[object, list[str]] = defaultdict(list)
    for row in listed.numbers.values():
        if row.order is not None:
            carriers[row.order].append(row.number)
    found = {}
    for number, row in sorted(listed.numbers.items()):
        if number not in books.held:
            request, evidence = _belonging(row, books)
            others = _others(number, request, carriers) if request is not None else []
            found[number] = Extra(row, request, evidence, others)
    return found


def _belonging(row: OwnedNumber, books: Books) -> tuple[Request | None, str]:
    """The purchase that a number comes from, by the strongest evidence that there is."""
    keyed = books.requests.get(row.order) if row.order is not None else None
    if keyed is not None and keyed.kind is Kind.PROVISION:
        return keyed, "the number carries its key"
    named = id_in(row.custom_id) if row.order is None else None
    if named is not None and named in books.requests:
        return books.requests[named], "the number carries its id as custom_id"
    if purchases := books.purchases.get(row.number):
        return purchases[0], "it is the number that was asked for"
    if (lost := books.lost.get(row.number)) is not None:
        return books.requests[lost], "the upstream told of it later"
    candidates = books.by_custom_id.get(row.custom_id or "", []) if row.order is None else []
    if len(candidates) == 1:
        return candidates[0], "the number probably is this one's, since it has its custom_id"
    return None, ""


def _others(number: str, request: Request, carriers: Mapping[object, Sequence[str]]) -> list[str]:
    """Further numbers of the same purchase: others that carry its key, and the one that it was acknowledged with."""
    is_acknowledged = request.accepted_at is not None or request.state is State.COMPLETED
    known = {request.number} if is_acknowledged and request.number is not None else set()
    return sorted({*carriers.get(request.id, ()), *known} - {number})


def _of_extra(extra: Extra, upstream: str, books: Books, before: datetime) -> Finding | None:
    theirs, request = extra.theirs, extra.request
    given_up = books.given_up.get(theirs.number)
    if given_up is not None and given_up.released_at is not None and given_up.released_at > before:
        return None  # the list lags
    if any(change.state is not State.HELD for change in books.changes.get(theirs.number, ())):
        return None  # a change of a number that is older than Trunkline
    requester = _requester(books, request, given_up)
    if request is None or request.state in (State.FAILED, State.CANCELLED):
        return finding.orphan(upstream, theirs, request, given_up, requester, extra.others)
    if extra.others:
        return finding.twice(upstream, theirs, request, requester, extra.others)
    if request.state is State.COMPLETED:
        has_just_ended = request.finished_at is not None and request.finished_at > before
        return None if has_just_ended else finding.orphan(upstream, theirs, request, given_up, requester, ())
    if _is_under_way(request, before):
        return None
    return finding.landed(upstream, theirs, request, requester, extra.evidence)


def _requester(books: Books, request: Request | None, given_up: Number | None) -> str | None:
    owner = request if request is not None else given_up
    return books.requesters.get(owner.requester_id) if owner is not None else None


def _is_under_way(request: Request, before: datetime) -> bool:
    """Whether the workflow will come to its end by itself. An order of unknown outcome is looked up at once, and once
    more after the settling time; after that, one that is still open wants a person."""
    if request.state is State.SUBMITTING and request.reason == Reason.OUTCOME_UNKNOWN:
        return request.unknown_since is None or request.unknown_since > before
    return request.state in OUT


def _ghosts(listed: Listed, books: Books, before: datetime) -> Iterator[Finding]:
    for number, ours in books.held.items():
        if number in listed.numbers or ours.held_since > before:
            continue
        releases = [change for change in books.changes.get(number, ()) if change.kind is Kind.RELEASE]
        if any(release.state in OUT for release in releases):
            continue
        held = next((release for release in releases if release.state is State.HELD), None)
        yield finding.ghost(listed.upstream, ours, books.requesters.get(ours.requester_id), held)


def _drift(listed: Listed, books: Books, dialect: Dialect, before: datetime) -> Iterator[Finding]:
    for number, ours in books.held.items():
        theirs = listed.numbers.get(number)
        if theirs is None or ours.changed_at > before or books.changes.get(number):
            continue
        held = Held(number, ours.configuration, ours.custom_id, ours.custom_group)
        if differences := dialect.drift(held, theirs):
            yield finding.drift(listed.upstream, ours, books.requesters.get(ours.requester_id), differences)
