"""Hosts whose own clocks differ agree about leases and due times, because they go by the database's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models import clock as clocks
from models.base import read, utc_now, write
from models.clock import Clock, make_clock, time_of
from models.due import claim_requests
from models.state import State
from tests.factory import fetch, make_requests
from tests.receiver import receiver, settings_for
from tests.sandbox import eventually
from tests.working import NAME, ScriptedUpstream, working
from worker.loop import Loop
from worker.runtime import Runtime
from worker.upstreams.base import Accepted
from worker.workflow import advance

LEASE = timedelta(minutes=2)
MINUTES = timedelta(minutes=10)
SOON = timedelta(minutes=1)
"""Long for a test, and short beside what the clocks are off."""


class SkewedClock(Clock):
    """The system's clock of a host that nobody looks after."""

    def __init__(self, by: timedelta) -> None:
        self.by = by

    def now(self) -> datetime:
        return utc_now() + self.by


@pytest.fixture(params=[-MINUTES, MINUTES], ids=["behind", "ahead"])
def wrong(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> timedelta:
    """How far this host's own clock is off, as far as the product reads it."""
    by: timedelta = request.param
    monkeypatch.setattr(clocks, "utc_now", lambda: utc_now() + by)
    return by


@pytest.fixture
def host(
    wrong: timedelta,
    monkeypatch: pytest.MonkeyPatch,
    postgresql: Engine,
    tmp_path: Path,
    loop: Loop,
    client: ScriptedUpstream,
) -> Iterator[Runtime]:
    """A worker on such a host."""
    with working(monkeypatch, postgresql, str(tmp_path), loop, client) as made:
        yield replace(made, clock=make_clock(postgresql))


def take(engine: Engine) -> None:
    now = utc_now() - timedelta(seconds=1)
    make_requests(engine, due_at=now, deadline=now + timedelta(days=1))


def is_claimed_by_another(engine: Engine, runtime: Runtime) -> bool:
    """Whether this runtime takes what another host, whose clock is right, has just claimed."""
    take(engine)
    right = read(engine, time_of) if engine.dialect.name == "postgresql" else utc_now()
    assert write(engine, lambda session: claim_requests(session, NAME, 1, right, LEASE))
    client = runtime.client(NAME)
    assert isinstance(client, ScriptedUpstream)
    advance(runtime, NAME)
    return bool(client.looks or client.orders)


def test_a_host_whose_clock_is_off_leaves_the_lease_of_another_alone(host: Runtime, wrong: timedelta) -> None:
    assert abs(Clock().now() - utc_now() - wrong) < SOON
    assert not is_claimed_by_another(host.engine, host)


def test_a_host_that_went_by_its_own_clock_would_take_over_what_another_has_in_hand(runtime: Runtime) -> None:
    assert not is_claimed_by_another(runtime.engine, replace(runtime, clock=Clock()))
    runtime.clock = SkewedClock(MINUTES)
    assert is_claimed_by_another(runtime.engine, runtime)


def test_a_host_whose_clock_is_off_orders_what_is_due_and_gives_it_the_right_times(
    host: Runtime, client: ScriptedUpstream
) -> None:
    now = read(host.engine, time_of)
    (id_,) = make_requests(host.engine, due_at=now, deadline=now + timedelta(minutes=1))
    client.on_submit = Accepted()
    advance(host, NAME)
    row = fetch(host.engine, id_)
    assert row.state is State.ACCEPTED
    assert row.accepted_at is not None
    assert abs(row.accepted_at - utc_now()) < SOON


def test_a_callback_that_a_host_takes_whose_clock_is_off_is_due_at_once(
    wrong: timedelta, monkeypatch: pytest.MonkeyPatch, postgresql_url: str, postgresql: Engine, tmp_path: Path
) -> None:
    with receiver(settings_for(monkeypatch, postgresql_url, str(tmp_path)), postgresql) as api:
        api.post(f"/callbacks/avanser/{api.token()}", data=b"{}")
        (kept,) = api.received()
    assert kept.due_at is not None
    assert abs(kept.due_at - utc_now()) < SOON


def test_the_clock_of_postgresql_agrees_with_postgresql(postgresql: Engine) -> None:
    clock = make_clock(postgresql)
    before = read(postgresql, time_of)
    told = [clock.now() for _ in range(1_000)]
    after = read(postgresql, time_of)
    assert told == sorted(told)
    assert before - clocks.SLOWEST_READING <= told[0] <= told[-1] <= after


def test_time_goes_on_within_a_transaction(engine: Engine) -> None:
    def work(session: Session) -> bool:
        began = time_of(session)
        return eventually(lambda: time_of(session) > began, within=5)

    assert read(engine, work), "not the time at which the transaction began"
