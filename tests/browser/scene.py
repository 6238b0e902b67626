"""A believable hour in the console's database: what the pages are tested on, and what their pictures show."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models import dead_letter, delivery_attempt, event, heartbeat, upstream
from models.base import new_id, utc_now, write
from models.batch import Batch
from models.call import Call
from models.delivery import Delivery
from models.delivery_attempt import Attempt
from models.endpoint import Endpoint
from models.event import Entry, Event, EventKind
from models.inbox import Purpose, Received
from models.listing import Filters
from models.message import Message
from models.number import Number
from models.outage import Outage
from models.pulse import Pulse
from models.reconciliation import Reconciliation
from models.request import Request
from models.state import State
from models.transition import Move, transition
from models.user import Role
from tests.factory import make_batch, make_endpoint, make_requester, make_requests
from tests.integration.console import make_user
from worker import previewing, sweeping
from worker.relay import HEARTBEAT
from worker.steering import Act

NUMBER = "+61280740801"

STEPS = timedelta(seconds=7)
"""Between two things that happen to one request."""


@dataclass(frozen=True, slots=True)
class Scene:
    held: UUID  # the request that the tests settle
    ids: dict[str, str]  # what a page's address may name, by the variable of its route


def make_scene(engine: Engine) -> Scene:
    now = utc_now()
    for name, role in (("ann", Role.ADMIN), ("bob", Role.OPERATOR), ("vic", Role.VIEWER)):
        make_user(engine, name, role)
    owner, other = make_requester(engine), make_requester(engine, "northern-motors")
    make_endpoint(engine, owner, "https://crm.example/trunkline")
    ill = make_endpoint(engine, other, "https://hooks.northern.example/numbers", name="northern")
    batch = make_batch(engine, 40, owner=owner)
    times: dict[str, Any] = {"due_at": now, "deadline": now + timedelta(days=7)}
    of_batch = [
        make_requests(engine, custom_id=f"dealer-{place:03}", position=place, batch_id=batch, **times)[0]
        for place in range(1, 41)
    ]
    done, held = (make_requests(engine, custom_id=name, **times)[0] for name in ("dealer-16", "dealer-17"))
    unknown, cancelled = make_requests(engine, 2, owner=other, **times)
    waiting = make_requests(engine, 12, upstream="messagemedia", owner=other, **times)
    refused = make_requests(engine, 3, upstream="telmetrics", **times)
    moves = [
        *_completed(done, NUMBER, now),
        *_held(held, now),
        *_unknown(unknown, now),
        *(move for place, id_ in enumerate(of_batch[:26]) for move in _completed(id_, f"+6138000{place:04}", now)),
        *(Move(id_, State.FAILED, "worker", "upstream_rejected", _REFUSED) for id_ in [*refused, *of_batch[26:29]]),
        *(Move(id_, State.QUEUED, "worker", "out_of_stock", _NONE_LEFT, now + STEPS) for id_ in waiting),
        Move(cancelled, State.CANCELLED, "user:bob", "by_person", "Cancelled before it was ordered."),
    ]

    def work(session: Session) -> dict[str, Any]:
        for place, move in enumerate(moves):
            transition(session, [move], now - timedelta(minutes=20) + place * STEPS)
        _age(session, now)
        return _surround(session, now, ill, done, held)

    ids = write(engine, work) | {"request_id": held, "batch_id": batch, "endpoint_id": ill.id}
    ids |= {"sweep_id": _sweep(engine, now), "verb": "pause"}
    ids |= {"requester_id": owner.id, "upstream": "avanser", "number": NUMBER, "name": "resolve_completed"}
    return Scene(held, {variable: str(value) for variable, value in ids.items()})


_REFUSED = "no number of this area is sold to this account"
_NO_SUCH = "/upstream: must be one of avanser, messagemedia, telmetrics"
_NONE_LEFT = "There is no number in stock that fits; it is looked at again."


def _completed(id_: UUID, number: str, now: datetime) -> list[Move]:
    changes = {"number": number, "upstream_reference": f"sg-{number[-4:]}"}
    return [
        Move(id_, State.SUBMITTING, "worker", due_at=now),
        Move(id_, State.ACCEPTED, "worker", due_at=now + timedelta(minutes=5), changes={"accepted_at": now}),
        Move(id_, State.COMPLETED, "avanser", changes=changes),
    ]


def _held(id_: UUID, now: datetime) -> list[Move]:
    return [
        Move(id_, State.SUBMITTING, "worker", due_at=now),
        Move(id_, State.ACCEPTED, "worker", due_at=now + timedelta(minutes=5), changes={"accepted_at": now}),
        Move(id_, State.HELD, "worker", "callback_missing", "avanser acknowledged it and never completed it."),
    ]


def _unknown(id_: UUID, now: datetime) -> list[Move]:
    unknown = {"unknown_since": now - timedelta(seconds=40)}
    return [
        Move(id_, State.SUBMITTING, "worker", due_at=now),
        Move(
            id_, State.SUBMITTING, "worker", "outcome_unknown", "No answer within 30 s.", now + STEPS, changes=unknown
        ),
    ]


def _sweep(engine: Engine, now: datetime) -> UUID:
    """One that is under way: what waits for stock is to be looked at now."""
    filters = Filters(upstream="messagemedia", reason="out_of_stock")

    def order(session: Session) -> UUID:
        seen = previewing.preview(session, None, filters, Act.RETRY, now)
        return sweeping.order(session, seen, "The telco has filled its stock.", "user:bob", now, 5).id

    ordered = write(engine, order)
    write(engine, lambda session: sweeping.portion(session, now, ordered))
    write(engine, lambda session: sweeping.portion(session, now, ordered))
    return ordered


def _age(session: Session, now: datetime) -> None:
    """The factory's rows are of one fixed day: make them of the last hour."""
    made = {"created_at": now - timedelta(minutes=50), "updated_at": now - timedelta(minutes=5)}
    session.execute(sa.update(Request).values(made))
    session.execute(sa.update(Batch).values(created_at=made["created_at"], sealed_at=made["created_at"]))
    old = Event.at < now - timedelta(hours=2)
    session.execute(sa.update(Event).where(old).values(at=now - timedelta(minutes=50)))


def _surround(session: Session, now: datetime, ill: Endpoint, done: UUID, held: UUID) -> dict[str, Any]:
    """What stands beside requests: numbers, calls, results, an endpoint that is ill, the last day's pulse."""
    session.flush()
    heartbeat.beat(session, HEARTBEAT, now + timedelta(hours=1))  # pictures take their time
    upstream.pause(session, "telmetrics", "by_person", "The price list of November is wrong.", "user:ann", now)
    _pulses(session, now)
    outage = Outage(line_id=ill.id, endpoint_id=ill.id, failures=14, probes=3, error="answered 503")
    outage.began_at, outage.failed_at = now - timedelta(minutes=50), now - timedelta(minutes=2)
    outage.opened_at, outage.probe_at = now - timedelta(minutes=48), now + timedelta(minutes=4)
    counts = {"ours": 27, "theirs": 28, "unknown_to_us": 1}
    report = Reconciliation(upstream="avanser", waits_since=now, fence=1, counts=counts, findings=[])
    report.started_at, report.finished_at = now - timedelta(hours=3), now - timedelta(hours=3)
    received = _received(held, now)
    number = session.scalars(sa.select(Number).where(Number.number == NUMBER)).one()
    told = session.scalars(sa.select(Delivery).where(Delivery.request_id == done).limit(1)).one()
    dead_letter.bury(session, '{"upstream": "avanzer"}', "default", "dealer-44", "invalid", _NO_SUCH, now)
    session.add_all([outage, report, received, *_calls(number, now)])
    event.append(session, _evidence(held, now))
    tries = [Attempt(told.id, now - timedelta(minutes=9), 503, 212, "answered 503", "Service Unavailable")]
    delivery_attempt.append(session, [*tries, Attempt(told.id, now - timedelta(minutes=4), 204, 38, None, "")])
    session.flush()
    return {"delivery_id": told.id, "number_id": number.id, "received_id": received.id}


def _evidence(held: UUID, now: datetime) -> list[Entry]:
    attempt = {"call": "submit", "attempt": 1, "answer": "accepted", "latency_ms": 312.4}
    said = {"request": "GET /requests", "sent": None, "status": 200, "answer": '{"status": {"code": 200}}'}
    look = {"call": "look_up", "attempt": 1, "answer": "progress", "latency_ms": 188.0, "exchanges": [said]}
    return [
        Entry(held, now - timedelta(minutes=40), EventKind.ATTEMPT, "worker", detail="acknowledged", data=attempt),
        Entry(held, now - timedelta(minutes=12), EventKind.ATTEMPT, "worker", detail="still in progress", data=look),
    ]


def _received(held: UUID, now: datetime) -> Received:
    came = {"method": "POST", "query": "", "content_type": "application/json", "body": b'{"status": "donne"}'}
    row = Received(id=new_id(), upstream="avanser", purpose=Purpose.CALLBACK, request_id=held, digest="0" * 64, **came)
    row.fence, row.attempts, row.received_at = 1, 1, now - timedelta(minutes=30)
    row.due_at, row.applied_at, row.problem = None, None, "status: 'donne' is none that avanser documents"
    return row


def _calls(number: Number, now: datetime) -> list[Call | Message]:
    about: dict[str, Any] = {"upstream": "avanser", "request_id": number.request_id, "number": number.number}
    about |= {"requester_id": number.requester_id, "parameters": {}, "received_at": now}
    calls: list[Call | Message] = [
        Call(
            id=new_id(), upstream_reference=f"call-{place}", caller=f"+614000000{place:02}", status="answered", **about
        )
        for place in range(3)
    ]
    return [
        *calls,
        Message(id=new_id(), upstream_reference="sms-1", sender="+61400000099", text="Are you open?", **about),
    ]


def _pulses(session: Session, now: datetime) -> None:
    """A day in which more was ordered by day than by night."""
    chance = random.Random(7)
    minute = now.replace(second=0, microsecond=0)
    for name, pace in (("avanser", 40), ("messagemedia", 9), ("telmetrics", 16)):
        completed = failed = 0
        for step in range(97):
            at = minute - timedelta(minutes=15) * (96 - step)
            busy = pace if 0 <= (at.hour + 10) % 24 - 8 < 10 else pace // 8
            completed, failed = completed + chance.randint(busy // 2, busy), failed + (chance.random() < busy / 60)
            counts = {State.COMPLETED.value: completed, State.FAILED.value: failed}
            session.add(Pulse(at=at, upstream=name, counts=counts))
