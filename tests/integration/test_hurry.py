"""Who is in a hurry waits for no bulk job: neither for its lanes, nor behind its rows."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy.engine import Engine

from models.base import utc_now
from models.state import State
from tests.factory import fetch, make_batch, make_requests
from tests.sandbox import eventually
from tests.working import NAME, ScriptedUpstream
from worker import hints, runtime, tasks
from worker.lanes import WIDTH
from worker.loop import Loop
from worker.runtime import Runtime
from worker.upstreams.base import Accepted

SYDNEY = "+61280740801"
DAY = timedelta(days=1)


@pytest.fixture
def busy(runtime: Runtime) -> Iterator[Runtime]:
    """All of its lanes for the upstream are a bulk job's, until the test ends."""
    gate = threading.Event()

    def work() -> bool:
        gate.wait()
        return False

    assert all(runtime.lanes.run(NAME, work) for _ in range(WIDTH))
    yield runtime
    gate.set()
    assert runtime.lanes.drain(timedelta(seconds=10))


@pytest.fixture(autouse=True)
def hinted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The upstreams that were hinted."""
    names: list[str] = []
    monkeypatch.setattr(hints, "upstream", names.append)
    return names


def due(engine: Engine, count: int = 1, batch_id: UUID | None = None) -> list[UUID]:
    now = utc_now()
    return make_requests(engine, count, due_at=now, deadline=now + DAY, batch_id=batch_id)


def test_a_single_request_goes_out_while_a_bulk_job_has_all_lanes(
    busy: Runtime, engine: Engine, client: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch, hinted: list[str]
) -> None:
    monkeypatch.setitem(runtime._made, os.getpid(), busy)
    client.on_submit = Accepted(SYDNEY)
    (bulk,) = due(engine, batch_id=make_batch(engine, 1))
    (single,) = due(engine)
    tasks.advance(NAME)
    eventually(lambda: fetch(engine, single).state is State.ACCEPTED)
    assert fetch(engine, bulk).state is State.QUEUED, "of the lane that is kept free it gets nothing"
    eventually(lambda: hinted == [NAME])


def test_who_comes_while_a_set_is_begun_goes_next(loop: Loop) -> None:
    begun: list[str] = []

    async def ask(item: str) -> str:
        if item == "bulk 0":
            asyncio.get_running_loop().call_soon(lambda: begun.append("single"))
        begun.append(item)
        return item

    groups = list(loop.stream([f"bulk {n}" for n in range(50)], ask))
    assert sum(map(len, groups)) == 50
    assert begun.index("single") <= 2
