"""A pause stops what is already claimed, everywhere, within a second, and harms none of it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError

from models import counter, parking, upstream
from models.base import read, utc_now, write
from models.due import claim_requests
from models.request import Request
from models.state import Reason, State
from tests.factory import NOW, make_requests
from tests.raw_server import Connection, RawServer
from tests.stalls import stalls
from tests.working import NAME, ScriptedUpstream, working
from worker.loop import Loop
from worker.runtime import Runtime
from worker.switches import LOOKED_UP_EVERY, Switches
from worker.upstreams.ask import Asker, Question
from worker.upstreams.base import Accepted, Answer, Order, Stopped
from worker.upstreams.http import may_send
from worker.workflow import advance

WORKERS = 3
DUE = 3_000
WITHIN = timedelta(seconds=1)


@dataclass
class Timed(ScriptedUpstream):
    """Remembers when it sent, on the machine's clock. Every tenth order waits first, as for a connection."""

    asked_at: list[float] = field(default_factory=list)

    async def submit(self, order: Order, deadline: timedelta) -> Answer:
        if order.request_id.int % 10 == 0:
            await asyncio.sleep(1.5 * WITHIN.total_seconds())
            if not may_send.get()():
                raise Stopped("it was stopped right before it was sent")
        self.asked_at.append(monotonic())
        await asyncio.sleep(0.02)
        return Accepted()


def take(engine: Engine, count: int) -> None:
    now = utc_now()
    make_requests(engine, count, due_at=now, deadline=now + timedelta(days=1))


def pause(engine: Engine, name: str = upstream.ALL) -> None:
    write(engine, lambda session: upstream.pause(session, name, "by_person", "the price is wrong", "ann", utc_now()))


def resume(engine: Engine, name: str = upstream.ALL) -> None:
    write(engine, lambda session: upstream.resume(session, name))


def wait_for(condition: Callable[[], bool]) -> None:
    until = monotonic() + 30
    while not condition():
        assert monotonic() < until, "it did not come to that"
        sleep(0.005)


@pytest.mark.parametrize("name", [upstream.ALL, NAME])
def test_nothing_is_ordered_a_second_after_the_command_though_thousands_are_due(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, tmp_path: Path, name: str
) -> None:
    take(engine, DUE)
    client, is_over = Timed(), threading.Event()
    with ExitStack() as stack:
        lost = stack.enter_context(stalls())
        # Slow enough that sets are being sent for seconds: the places of all of them lie behind each other.
        more = {"TRUNKLINE_AVANSER_RATE": "400", "TRUNKLINE_AVANSER_MAX_IN_FLIGHT": "200"}
        workers = [
            stack.enter_context(working(monkeypatch, engine, str(tmp_path), Loop(), client, **more))
            for _ in range(WORKERS)
        ]

        def work(runtime: Runtime) -> None:
            while not is_over.is_set():
                advance(runtime, NAME)

        threads = [threading.Thread(target=work, args=(runtime,)) for runtime in workers]
        for thread in threads:
            thread.start()
        wait_for(lambda: len(client.asked_at) > 100)
        pause(engine, name)
        stopped_at = monotonic()
        sleep(2 * WITHIN.total_seconds())
        is_over.set()
        for thread in threads:
            thread.join(10)
    late = max(client.asked_at) - stopped_at
    assert late < WITHIN.total_seconds() + lost(), f"{late * 1000:.0f} ms"
    counts = read(engine, counter.of_all)
    assert counts[State.SUBMITTING] == 0, "no order of unknown outcome is left behind"
    assert counts[State.ACCEPTED] == len(client.asked_at)
    assert counts[State.QUEUED] == DUE - len(client.asked_at) > 0


class Turning(Switches):
    """Is on until it is turned off."""

    def __init__(self) -> None:
        super().__init__(frozenset)
        self.is_off = False

    def is_paused(self, name: str) -> bool:
        return self.is_off


def test_what_was_claimed_and_not_sent_goes_back_unharmed(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, tmp_path: Path
) -> None:
    take(engine, 10)
    client, switches = ScriptedUpstream(), Turning()

    def answer(_: Order) -> Answer:
        switches.is_off = True
        return Accepted()

    client.on_submit = answer
    with working(monkeypatch, engine, str(tmp_path), Loop(), client) as runtime:
        runtime.switches = switches
        advance(runtime, NAME)
    assert len(client.orders) == 1
    rows = read(engine, lambda session: list(session.scalars(sa.select(Request))))
    waiting = [row for row in rows if row.state is State.QUEUED]
    assert len(waiting) == 9
    assert {(row.reason, row.retries, row.unanswered, row.repeated) for row in waiting} == {
        (Reason.UPSTREAM_PAUSED, 0, 0, False)
    }
    assert all(row.unknown_since is None and row.due_at is not None for row in waiting)


def test_an_order_that_waited_for_a_connection_is_stopped_before_its_first_byte() -> None:
    asyncio.run(_two_orders_over_one_connection())


async def _two_orders_over_one_connection() -> None:
    may_answer, is_open = asyncio.Event(), [True]

    async def behave(connection: Connection) -> None:
        while await connection.read_request():
            await may_answer.wait()
            await connection.answer(json.dumps({}).encode())

    async with RawServer(behave) as server:
        asker = Asker(f"http://127.0.0.1:{server.port}", 1, lambda *_: {})
        may_send.set(lambda: is_open[0])

        async def order(path: str) -> Any:
            return await asker.ask(Question("POST", path, document={}), timedelta(seconds=10))

        first = asyncio.create_task(order("/first"))
        await server.asked.wait()
        second = asyncio.create_task(order("/second"))
        await asyncio.sleep(0.1)
        is_open[0] = False
        may_answer.set()
        assert (await first).status == 200
        with pytest.raises(Stopped):
            await second
        read_only = await asker.ask(Question("GET", "/look"), timedelta(seconds=10))
        assert read_only.status == 200, "to look is allowed"
        await asker.close()
    assert [request.split()[1] for request in server.requests] == [b"/first", b"/look"]


def test_without_the_database_the_last_known_counts() -> None:
    answers: list[frozenset[str] | Exception] = [frozenset({NAME})]

    def look_up() -> frozenset[str]:
        if isinstance(answers[-1], Exception):
            looks.append(None)
            raise answers[-1]
        return answers[-1]

    looks: list[None] = []
    switches = Switches(look_up)
    with switches.sending():
        wait_for(lambda: switches.is_paused(NAME))
        assert not switches.is_paused("telmetrics")
        answers.append(OperationalError("SELECT", None, Exception("away")))
        wait_for(lambda: len(looks) > 1)
        assert switches.is_paused(NAME)
        answers.append(frozenset())
        wait_for(lambda: not switches.is_paused(NAME))


def test_nobody_asks_the_database_while_nothing_is_sent() -> None:
    looks: list[None] = []

    def look_up() -> frozenset[str]:
        looks.append(None)
        return frozenset()

    switches = Switches(look_up)
    with switches.sending():
        wait_for(lambda: len(looks) == 1)
    sleep(3 * LOOKED_UP_EVERY.total_seconds())
    assert len(looks) <= 2


def claimed(engine: Engine, name: str) -> int:
    lease = timedelta(seconds=30)
    return len(write(engine, lambda session: claim_requests(session, name, 10, utc_now(), lease)))


def test_the_switch_of_all_stops_every_upstream_and_is_lifted_by_itself(engine: Engine) -> None:
    for name in ("avanser", "telmetrics"):
        make_requests(engine, 1, upstream=name, deadline=utc_now() + timedelta(days=1))
    pause(engine)
    assert (claimed(engine, "avanser"), claimed(engine, "telmetrics")) == (0, 0)
    assert write(engine, lambda session: parking.sort_out(session, utc_now())) == 2
    rows = read(engine, lambda session: list(session.scalars(sa.select(Request))))
    assert {(row.reason, row.due_at) for row in rows} == {(Reason.UPSTREAM_PAUSED, None)}
    resume(engine)
    assert write(engine, lambda session: parking.sort_out(session, utc_now())) == 2
    assert (claimed(engine, "avanser"), claimed(engine, "telmetrics")) == (1, 1)


def test_to_resume_all_leaves_paused_what_was_paused_by_name_and_the_other_way_round(engine: Engine) -> None:
    make_requests(engine, 1, deadline=NOW + timedelta(days=365))
    pause(engine, "avanser")
    pause(engine)
    resume(engine, "avanser")
    assert claimed(engine, "avanser") == 0, "all are paused"
    pause(engine, "avanser")
    resume(engine)
    assert claimed(engine, "avanser") == 0, "it is paused itself"
    resume(engine, "avanser")
    assert claimed(engine, "avanser") == 1
