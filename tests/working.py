"""A worker without Celery: a runtime on a test's own database, with an upstream that answers as it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar, TypeVar

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models import event, upstream
from models.base import read, utc_now, write
from models.clock import Clock
from models.delivery import Delivery
from models.inbox import Received
from models.outage import Outage
from models.request import Request
from models.stock_watch import StockWatch
from tests.factory import SECRET_KEY
from worker import deliver
from worker.destinations import Destinations
from worker.lanes import Lanes
from worker.limits import Limits
from worker.loop import Loop
from worker.runtime import Runtime
from worker.settings import load
from worker.signing import Tokens, Uris
from worker.switches import Switches
from worker.upstreams.base import Answer, NotFound, Order, OwnedNumber, StockRow, Upstream

T = TypeVar("T")

NAME = "avanser"
"""Settings and a queue of this name exist; the vendor is not asked."""

SETTLING = timedelta(seconds=60)

ENVIRONMENT = {
    "TRUNKLINE_PUBLIC_URL": "https://trunkline.test",
    "TRUNKLINE_SECRET_KEY": SECRET_KEY,
    "TRUNKLINE_AVANSER_USERNAME": "user",
    "TRUNKLINE_AVANSER_PASSWORD": "password",
    "TRUNKLINE_AVANSER_ACCOUNT_ID": "7xxx",
    "TRUNKLINE_AVANSER_MAX_IN_FLIGHT": "1000",
    "TRUNKLINE_AVANSER_RATE": "10000",
    "TRUNKLINE_AVANSER_SETTLING": str(SETTLING.total_seconds()),
    "TRUNKLINE_MAX_ATTEMPTS": "3",
    "TRUNKLINE_DELIVERY_BACKOFF": "10,100",
    "TRUNKLINE_DELIVERY_TIMEOUT": "5",
    "TRUNKLINE_ALLOW_PRIVATE_DESTINATIONS": "true",
}

Reply = Answer | Exception | Callable[[Order], Answer]
"""What to answer: this, or by raising this, or whatever comes of the order."""


@dataclass
class ScriptedUpstream(Upstream):
    """Answers every `submit` and `look_up` with what was set, and remembers what it was asked."""

    name: ClassVar[str] = NAME

    on_submit: Reply = field(default_factory=NotFound)
    on_look_up: Reply = field(default_factory=NotFound)
    orders: list[Order] = field(default_factory=list)
    looks: list[Order] = field(default_factory=list)

    async def submit(self, order: Order, deadline: timedelta) -> Answer:
        self.orders.append(order)
        return _say(self.on_submit, order)

    async def look_up(self, order: Order, deadline: timedelta) -> Answer:
        self.looks.append(order)
        return _say(self.on_look_up, order)

    async def stock(self, query: Mapping[str, str], deadline: timedelta) -> list[StockRow]:
        return []

    async def owned(self, deadline: timedelta) -> list[OwnedNumber]:
        return []

    async def check_access(self, deadline: timedelta) -> None:
        """Lets everybody in."""

    async def close(self) -> None:
        """Has nothing to close."""


def _say(reply: Reply, order: Order) -> Answer:
    if isinstance(reply, Exception):
        raise reply
    return reply(order) if callable(reply) else reply


@contextmanager
def working(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, home: str, loop: Loop, client: Upstream, **more: str
) -> Iterator[Runtime]:
    """A runtime on this database, whose one upstream is `client`. `more` are further settings."""
    url = engine.url.render_as_string(hide_password=False)
    for name, value in (ENVIRONMENT | {"TRUNKLINE_HOME": home, "TRUNKLINE_DATABASE_URL": url} | more).items():
        monkeypatch.setenv(name, value)
    # A set of results is sent and settled before `deliver` returns, however slow the machine.
    monkeypatch.setattr(deliver, "PATIENCE", timedelta(minutes=1))
    settings = load()
    environment = settings.environment
    destinations = Destinations(allow_private=environment.allow_private_destinations, proxy=settings.egress_proxy)
    runtime = Runtime(
        settings=settings,
        engine=engine,
        clock=Clock(),  # the one that the rows of tests are written by
        limits=Limits(None),
        lanes=Lanes(),
        loop=loop,
        uris=Uris(settings.public_url, Tokens(settings.secret_keys)),
        destinations=destinations,
        switches=Switches(lambda: read(engine, upstream.paused_names)),
        _clients={client.name: client},
    )
    try:
        yield runtime
    finally:
        runtime.lanes.drain(timedelta(seconds=10))
        loop.run(destinations.close())


_TIMES: Mapping[type[Any], Sequence[str]] = {
    Request: ("due_at", "updated_at", "unknown_since", "absent_at", "deadline"),
    Delivery: ("due_at",),
    Outage: ("began_at", "failed_at", "opened_at", "probe_at", "paused_at", "recovering_at"),
    Received: ("due_at",),
    StockWatch: ("due_at",),
}


def let_pass(engine: Engine, time: timedelta) -> None:
    """Make everything that the rows tell happen so much earlier, which is as good as waiting."""

    def work(session: Session) -> None:
        for table, columns in _TIMES.items():
            for row in session.scalars(sa.select(table)):
                for column in columns:
                    if (moment := getattr(row, column)) is not None:
                        setattr(row, column, moment - time)
        session.flush()

    write(engine, work)


def until_due(engine: Engine) -> None:
    """Let time pass until the last row that waits is due."""

    def latest(session: Session) -> timedelta:
        due = [
            session.scalar(sa.select(sa.func.max(table.due_at))) for table, times in _TIMES.items() if "due_at" in times
        ]
        return max((moment for moment in due if moment is not None), default=utc_now()) - utc_now()

    let_pass(engine, read(engine, latest) + timedelta(milliseconds=1))


def together(*work: Callable[[], T]) -> list[T]:
    """Run these at the same time; raises what any of them raises."""
    with ThreadPoolExecutor(len(work)) as threads:
        return [future.result(60) for future in [threads.submit(one) for one in work]]


def history(engine: Engine, request_id: Any) -> list[dict[str, Any]]:
    return read(engine, lambda session: event.timeline(session, request_id))


def moves(engine: Engine, request_id: Any) -> list[tuple[str | None, str | None]]:
    """The states that a request went to, and why, oldest first."""
    return [(line["to"], line["reason"]) for line in history(engine, request_id) if line["type"] == "state"]


def is_paused(engine: Engine, name: str = NAME) -> str | None:
    """Why, or None."""
    found = read(engine, lambda session: upstream.find_pause(session, name))
    return None if found is None else found.reason


def every(engine: Engine, table: type[Any]) -> list[Any]:
    """All rows, oldest first."""
    return read(engine, lambda session: list(session.scalars(sa.select(table).order_by(table.id))))


def dumped(engine: Engine) -> str:
    """Every value of every table, as it is stored."""
    with engine.connect() as connection:
        tables = sa.inspect(connection).get_table_names()
        return "\n".join(
            str(value)
            for table in tables
            for row in connection.execute(sa.text(f'SELECT * FROM "{table}"'))  # noqa: S608
            for value in row
        )
