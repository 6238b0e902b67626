"""Picking numbers, where an upstream sells them by its own id: written down before they are ordered, in sets."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models import event, reservation
from models.base import write
from models.clock import Clock
from models.due import Claim
from models.event import Entry, EventKind
from models.reservation import Want
from models.state import State
from models.transition import Landing, Move, apply, lock
from worker.upstreams.base import Candidate, TooLate, Unavailable

LINGER = timedelta(milliseconds=25)
"""Orders that were claimed together have searched at about the same time: one transaction picks for all of them."""

PICKED_TOO_LATE = "The lease was nearly over when its number was picked, so it was not sent."


@dataclass(slots=True)
class _Waiting:
    claim: Claim
    candidates: Sequence[Candidate]
    picked: asyncio.Future[Candidate | None]


class Picker:
    """Picks for the orders of one claim at one upstream; used on one event loop."""

    def __init__(self, engine: Engine, clock: Clock, upstream: str, sent_until: float) -> None:
        """`sent_until` is the time (`clock.monotonic()`, seconds) after which nothing may be sent any more."""
        self._engine, self._clock, self._upstream, self._sent_until = engine, clock, upstream, sent_until
        self._waiting: list[_Waiting] = []
        self._writer: asyncio.Task[None] | None = None

    async def pick(self, claim: Claim, candidates: Sequence[Candidate]) -> Candidate | None:
        """As `worker.upstreams.base.Pick`. Raises Unavailable where the claim has passed to another worker too."""
        waiting = _Waiting(claim, candidates, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        picked = await waiting.picked
        if self._clock.monotonic() > self._sent_until:
            raise TooLate(PICKED_TOO_LATE)
        return picked

    async def _write(self) -> None:
        while self._waiting:
            await asyncio.sleep(LINGER.total_seconds())
            group, self._waiting = self._waiting, []
            try:
                picked = await asyncio.to_thread(self._choose, group)
            except Exception as error:  # noqa: BLE001 -- carried to those who wait; each is one order
                for one in group:
                    one.picked.set_exception(Unavailable(f"its number could not be written down: {error}"))
                continue
            for one, candidate in zip(group, picked, strict=True):
                if isinstance(candidate, Unavailable):
                    one.picked.set_exception(candidate)
                else:
                    one.picked.set_result(candidate)

    def _choose(self, group: Sequence[_Waiting]) -> list[Candidate | Unavailable | None]:
        return write(self._engine, lambda session: choose(session, self._upstream, group, self._clock.now()))


def choose(
    session: Session, upstream: str, group: Sequence[_Waiting], now: datetime
) -> list[Candidate | Unavailable | None]:
    """A number for each, remembered by its request. Does not commit."""
    locked = lock(session, {one.claim.request.id for one in group})
    wants = [Want(one.claim.request.id, [candidate.reference for candidate in one.candidates]) for one in group]
    references = reservation.reserve(session, upstream, wants, now)
    found = [_named(one.candidates, references.get(one.claim.request.id)) for one in group]
    chosen = [(one.claim, candidate) for one, candidate in zip(group, found, strict=True) if candidate is not None]
    landed = apply(session, locked, [_pinning(*one) for one in chosen], now)
    lost = {claim.request.id for (claim, _), how in zip(chosen, landed, strict=True) if how is not Landing.MOVED}
    event.append(session, [_entry(*one, now) for one in chosen if one[0].request.id not in lost])
    return [
        Unavailable("Another worker has taken over.") if one.claim.request.id in lost else candidate
        for one, candidate in zip(group, found, strict=True)
    ]


def _named(candidates: Sequence[Candidate], reference: str | None) -> Candidate | None:
    return next((candidate for candidate in candidates if candidate.reference == reference), None)


def _pinning(claim: Claim, candidate: Candidate) -> Move:
    row = claim.request
    changes = {"number": candidate.number, "upstream_reference": candidate.reference}
    return Move(row.id, State.SUBMITTING, "worker", row.reason, row.detail, claim.until, row.fence, changes)


def _entry(claim: Claim, candidate: Candidate, now: datetime) -> Entry:
    detail = f"Picked {candidate.number} from the stock; it is ordered next."
    data = {"number": candidate.number, "upstream_reference": candidate.reference}
    return Entry(claim.request.id, now, EventKind.NOTE, "worker", reason="picked", detail=detail, data=data)
