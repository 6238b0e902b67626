"""The judge: holds the vendor's ledger and the requester's log against the promise, and our books against both."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models import counter
from models.base import read
from models.delivery import Delivery, DeliveryState
from models.event import Event, EventKind
from models.number import Number
from models.request import Request
from models.state import FINAL, OPEN, State
from tests.simulation.run import Run
from tests.simulation.vendor import Sale


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one run."""

    faults: list[str]
    in_the_window: list[str]  # bought twice by a process that stood still between its check and its send
    points: int
    crashes: int
    freezes: int
    held: int
    requests: int
    log: list[str]


class _Books:
    """Everything that stands in the database at the end."""

    def __init__(self, run: Run) -> None:
        def work(session: Session) -> None:
            self.requests = list(session.scalars(sa.select(Request).order_by(Request.id)))
            self.events = list(session.scalars(sa.select(Event).order_by(Event.id)))
            self.deliveries = list(session.scalars(sa.select(Delivery).order_by(Delivery.id)))
            self.numbers = list(session.scalars(sa.select(Number).where(Number.released_at.is_(None))))
            self.counts = counter.of_all(session)

        read(run.database.engine, work)


def judge(run: Run) -> Verdict:
    """The verdict on a run that has drained."""
    world = run.world
    with run.database.reading():
        books = _Books(run)
    sales: dict[UUID, list[Sale]] = defaultdict(list)
    for sale in run.vendor.sales:
        if not sale.failed:
            sales[sale.request_id].append(sale)
    faults = [*world.faults, *_missing(run, books), *_miscounted(books)]
    window: list[str] = []
    for row in books.requests:
        name, bought = world.name(row.id), sales[row.id]
        woke_too_late = any(sale.froze for sale in run.vendor.sales if sale.request_id == row.id)
        blamed = window if woke_too_late else faults
        if len(bought) > 1 + run.outside.ordered_by_hand[row.id]:
            blamed.append(f"I2: {name} was ordered {len(bought)} times")
        if row.id not in run.outside.settled_by_hand:
            blamed = window if woke_too_late and row.contradicted_at is not None else faults
            blamed += [f"{name}: {fault}" for fault in _of_its_purchase(row, bought, books)]
        faults += [f"{name}: {fault}" for fault in _of_one(row, books, run)]
    return Verdict(
        faults,
        window,
        world.points,
        world.crashed,
        world.frozen,
        sum(row.state is State.HELD for row in books.requests),
        len(books.requests),
        world.lines,
    )


def _missing(run: Run, books: _Books) -> Iterator[str]:
    known = {row.id for row in books.requests}
    if lost := [id_ for id_ in run.outside.accepted if id_ not in known]:
        yield f"I1: {len(lost)} accepted requests are gone"
    if orphans := [sale for sale in run.vendor.sales if sale.request_id not in known]:
        yield f"I5: {len(orphans)} orders without a row"
    if run.workers.waited_for_relay:
        yield f"what was committed waited for the relay: {sorted(set(run.workers.waited_for_relay))}"


def _miscounted(books: _Books) -> Iterator[str]:
    found = Counter(row.state for row in books.requests)
    if any(books.counts[state] != found[state] for state in State):
        yield f"the counters say {books.counts}, the rows {found}"


def _of_one(row: Request, books: _Books, run: Run) -> Iterator[str]:
    if row.state in OPEN and row.state is not State.HELD:
        yield f"I1: it is {row.state} ({row.reason}) and due at {row.due_at}"
    if row.state is State.HELD and not row.reason:
        yield "I1: held without a reason"
    if row.due_at is not None and (row.state in FINAL or row.state is State.HELD):
        yield f"it is {row.state}, and due"
    if row.id in run.outside.contradicted and row.contradicted_at is None:
        yield "the vendor contradicted its end, and nobody is told"
    yield from _of_its_history(row, books)
    yield from _of_its_results(row, books, run)


def _of_its_history(row: Request, books: _Books) -> Iterator[str]:
    moves = [event for event in books.events if event.request_id == row.id and event.type is EventKind.STATE]
    ends = [move for move in moves if move.to_state in FINAL]
    if len(ends) > 1 or (ends and ends[0] is not moves[-1]):
        yield f"I3: reached {[move.to_state for move in ends]}, and then {moves[-1].to_state}"
    if not moves or moves[-1].to_state != row.state:
        yield f"I3: its history ends with {moves[-1].to_state if moves else None}, but it is {row.state}"


def _of_its_purchase(row: Request, bought: list[Sale], books: _Books) -> Iterator[str]:
    """Inventory and ledger say the same; where they cannot, people are told."""
    numbers = {sale.number for sale in bought}
    held = {number.number for number in books.numbers if number.request_id == row.id}
    if row.state is State.COMPLETED:
        if row.number not in numbers:
            yield f"completed with {row.number}, but it bought {sorted(numbers)}"
        if held != {row.number}:
            yield f"completed with {row.number}, and the inventory has {sorted(held)}"
    elif held:
        yield f"it is {row.state}, and the inventory has {sorted(held)}"
    elif bought and row.state in FINAL and row.contradicted_at is None:
        yield f"it is {row.state} ({row.reason}), {sorted(numbers)} is paid for, and nobody is told"


def _of_its_results(row: Request, books: _Books, run: Run) -> Iterator[str]:
    filed = [one for one in books.deliveries if one.request_id == row.id]
    for one in filed:
        kept = [result for result in run.requester.kept if result.webhook_id == str(one.id)]
        if one.state is not DeliveryState.DELIVERED or not kept:
            yield f"I4: {one.type} is {one.state} ({one.last_error}), and was kept {len(kept)} times"
        if any((result.type, dict(result.data)) != (one.type, _as_sent(one)) for result in kept):
            yield f"I4: {one.type} was sent with different contents under one webhook-id"
    ended = Counter(one.type for one in filed if one.type != "request.held")
    wanted = {f"request.{row.state}": 1} if row.state in FINAL else {}
    if ended != wanted:
        yield f"I4: it is {row.state}, and its requester is told {dict(ended)}"


def _as_sent(row: Delivery) -> dict[str, Any]:
    return dict(row.data)
