"""How everything stands, and what of it wants a person."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models import heartbeat, pulse, upstream
from models.base import read, write
from models.state import Reason, State
from models.transition import Move, transition
from tests.factory import NOW, make_requests
from tests.receiver import settings_for
from worker.limits import Limits
from worker.overview import Overview, gather, view
from worker.relay import HEARTBEAT
from worker.settings import Settings
from worker.wants import Gravity, find


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, database_url: str, tmp_path: Path) -> Settings:
    return settings_for(monkeypatch, database_url, str(tmp_path))


def look(engine: Engine, settings: Settings, after: timedelta = timedelta()) -> Overview:
    return read(engine, lambda session: gather(session, settings, Limits(None), NOW + after))


def test_where_all_is_well_nobody_is_wanted(engine: Engine, settings: Settings) -> None:
    make_requests(engine)
    write(engine, lambda session: heartbeat.beat(session, HEARTBEAT, NOW))
    overview = look(engine, settings)
    assert find(overview) == ()
    assert overview.counts[State.QUEUED] == 1
    assert view(overview)["working"] is True


def test_what_is_held_unknown_and_paused_stands_there_with_where_to_look(engine: Engine, settings: Settings) -> None:
    held, unknown = make_requests(engine, 2)
    write(engine, lambda session: heartbeat.beat(session, HEARTBEAT, NOW))

    def work(session: Session) -> None:
        moves = [
            Move(held, State.HELD, "worker", Reason.CALLBACK_MISSING, "No callback."),
            Move(unknown, State.SUBMITTING, "worker", Reason.OUTCOME_UNKNOWN, "No answer.", NOW),
        ]
        transition(session, moves, NOW)
        upstream.pause(session, "avanser", "by_person", "the price list is wrong", "cli:ann", NOW)

    write(engine, work)
    overview = look(engine, settings)
    assert overview.held == {("avanser", "callback_missing"): 1}
    assert overview.unknown == 1
    assert set(overview.oldest) == {State.HELD, State.SUBMITTING}
    wanted = find(overview)
    assert [want.gravity for want in wanted] == sorted(want.gravity for want in wanted)
    assert {want.look for want in wanted} == {
        "trunkline upstream status",
        "trunkline list --state held --upstream avanser --reason callback_missing",
        "trunkline list --upstream avanser --reason outcome_unknown",
    }
    assert "the price list is wrong" in wanted[0].what


def test_a_relay_that_is_silent_comes_before_everything_else(engine: Engine, settings: Settings) -> None:
    (held,) = make_requests(engine)
    write(engine, lambda session: transition(session, [Move(held, State.HELD, "worker", "outcome_unknown")], NOW))
    write(engine, lambda session: heartbeat.beat(session, HEARTBEAT, NOW))
    first = find(look(engine, settings, timedelta(minutes=1)))[0]
    assert first.gravity is Gravity.STANDS
    assert "No worker has been heard of" in first.what


def test_what_ended_of_late_is_told_as_a_rate(engine: Engine, settings: Settings) -> None:
    done, failed, _ = make_requests(engine, 3)
    assert write(engine, lambda session: pulse.beat(session, NOW))
    assert not write(engine, lambda session: pulse.beat(session, NOW + timedelta(seconds=59)))
    ends = [Move(done, State.COMPLETED, "test"), Move(failed, State.FAILED, "test", "upstream_rejected")]
    write(engine, lambda session: transition(session, ends, NOW))
    overview = look(engine, settings, timedelta(minutes=2))
    rate = next(one.rate for one in overview.upstreams if one.name == "avanser")
    assert (rate.a_minute, rate.failed_share) == (1.0, 0.5)


def test_a_pulse_that_is_older_than_a_week_is_forgotten(engine: Engine) -> None:
    make_requests(engine)
    write(engine, lambda session: pulse.beat(session, NOW))
    write(engine, lambda session: pulse.beat(session, NOW + pulse.KEPT_FOR + timedelta(minutes=1)))
    times = read(engine, lambda session: [at for at, _ in pulse.since(session, NOW)["avanser"]])
    assert times == [NOW + pulse.KEPT_FOR + timedelta(minutes=1)]
