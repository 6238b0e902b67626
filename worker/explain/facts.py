"""What an explanation stands on: the request, and the rows beside it that decide what becomes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models import heartbeat, upstream
from models.delivery import Delivery, has_place
from models.due import count_due_requests
from models.endpoint import Endpoint, EventType
from models.event import Event, EventKind
from models.holding import changed_hands
from models.request import Kind, Request
from models.requester import DEFAULT_REQUESTER, Requester
from models.state import State
from models.stock_watch import StockWatch
from models.turn import goes_before
from models.upstream import Pause
from worker.relay import HEARTBEAT
from worker.settings import Settings

RESULTS = (
    EventType.REQUEST_COMPLETED, EventType.REQUEST_FAILED, EventType.REQUEST_CANCELLED, EventType.REQUEST_HELD,
)  # fmt: skip

TELLING = (EventKind.ATTEMPT, EventKind.CALLBACK)
"""Kinds of history that are evidence, beside a contradiction."""

CONTRADICTION = "late_contradiction"


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings that decide."""

    max_attempts: int
    settling: timedelta


@dataclass(frozen=True, slots=True)
class Result:
    """A result on its way, and where to; `endpoint` None: to a URL that was named once."""

    delivery: Delivery
    endpoint: Endpoint | None


@dataclass(frozen=True, slots=True)
class Facts:
    request: Request
    requester: str
    rules: Rules
    since: datetime
    last: Event | None  # the last evidence
    contradiction: Event | None  # the last news that cannot be true together with what we know
    pause: Pause | None  # of its upstream
    earlier: Request | None  # the change of the same number that goes first
    watch: StockWatch | None  # the look that serves all who wait for the same stock
    is_gone: bool  # the number that it is to change is not its requester's any more
    backlog: int  # requests that are due at the upstream, up to `models.due.COUNTED`
    last_beat: datetime | None
    results: Sequence[Result]


def rules(settings: Settings, name: str) -> Rules:
    return Rules(settings.environment.max_attempts, settings.upstreams[name].settles_within)


def gather(session: Session, row: Request, settings: Settings, now: datetime) -> Facts:
    """Read what an explanation needs; locks nothing and changes nothing."""
    is_waiting_change = row.kind is not Kind.PROVISION and row.state is State.QUEUED
    return Facts(
        request=row,
        requester=session.scalar(sa.select(Requester.name).where(Requester.id == row.requester_id))
        or DEFAULT_REQUESTER,
        rules=rules(settings, row.upstream),
        since=_last(session, row, Event.type == EventKind.STATE, default=row.created_at),
        last=_last_event(session, row, sa.or_(Event.type.in_(TELLING), Event.reason == CONTRADICTION)),
        contradiction=_last_event(session, row, Event.reason == CONTRADICTION),
        pause=upstream.find_pause(session, row.upstream),
        earlier=goes_before(session, [row]).get(row.id) if is_waiting_change else None,
        watch=_watch(session, row),
        is_gone=is_waiting_change and row.id in changed_hands(session, [row]),
        backlog=count_due_requests(session, row.upstream, now),
        last_beat=heartbeat.last_beat(session, HEARTBEAT),
        results=_results(session, row),
    )


def _last_event(session: Session, row: Request, *conditions: sa.ColumnElement[bool]) -> Event | None:
    statement = sa.select(Event).where(Event.request_id == row.id, *conditions)
    return session.scalar(statement.order_by(Event.at.desc(), Event.id.desc()).limit(1))


def _last(session: Session, row: Request, condition: sa.ColumnElement[bool], default: datetime) -> datetime:
    found = _last_event(session, row, condition)
    return default if found is None else found.at


def _watch(session: Session, row: Request) -> StockWatch | None:
    if row.stock_key is None:
        return None
    wanted = sa.select(StockWatch).where(StockWatch.upstream == row.upstream, StockWatch.key == row.stock_key)
    return session.scalar(wanted)


def _results(session: Session, row: Request) -> list[Result]:
    """Of what the request itself came to; calls and messages on its number are told too, and are another story."""
    statement = sa.select(Delivery, Endpoint).outerjoin(Endpoint, Endpoint.id == Delivery.endpoint_id)
    results = Delivery.type.in_([type_.value for type_ in RESULTS])
    statement = statement.where(Delivery.request_id == row.id, results, has_place())
    return [Result(*found) for found in session.execute(statement.order_by(Delivery.id))]
