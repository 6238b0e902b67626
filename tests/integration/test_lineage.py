"""A database that was restored, or whose standby took over, is noticed before anything is ordered by it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models import lineage, upstream
from models.base import make_engine, read, utc_now, write
from models.lineage import RESTORED, Lineage
from models.upstream import ALL, find_pause, own_pause
from tests.factory import KEYRING, fetch, make_requests
from tests.working import NAME, ScriptedUpstream, working
from worker.loop import Loop
from worker.relay import notice_restore
from worker.workflow import advance


def become_another(engine: Engine) -> None:
    """As after a restore: what stands there is the history of before."""
    write(engine, lambda session: session.execute(sa.update(Lineage).values(identity="another/00000001")))
    engine.dispose()  # no connection outlives its server


@pytest.fixture
def database(postgresql_url: str) -> Iterator[Engine]:
    """One that knows its history."""
    engine = make_engine(postgresql_url, keyring=KEYRING)
    assert not write(engine, lambda session: lineage.check(session, utc_now()))
    yield engine
    engine.dispose()


def test_a_new_database_is_nobodys_copy(database: Engine) -> None:
    assert read(database, lambda session: find_pause(session, NAME)) is None
    (seen,) = read(database, lambda session: list(session.scalars(sa.select(Lineage))))
    assert seen.identity == read(database, lineage.current)


def test_another_history_pauses_all_upstreams_once(database: Engine) -> None:
    become_another(database)
    assert write(database, lambda session: lineage.check(session, utc_now()))
    pause = read(database, lambda session: find_pause(session, NAME))
    assert pause is not None
    assert (pause.upstream, pause.reason) == (ALL, RESTORED)
    assert "trunkline reconcile" in pause.detail
    write(database, lambda session: upstream.resume(session, ALL))
    assert not write(database, lambda session: lineage.check(session, utc_now()))
    assert read(database, lambda session: own_pause(session, ALL)) is None


def test_who_had_paused_all_is_named_and_the_pause_says_more_than_before(database: Engine) -> None:
    write(database, lambda session: upstream.pause(session, ALL, "by_person", "prices", "user:ann", utc_now()))
    become_another(database)
    write(database, lambda session: lineage.check(session, utc_now()))
    pause = read(database, lambda session: own_pause(session, ALL))
    assert pause is not None
    assert pause.reason == RESTORED
    assert "user:ann: prices" in pause.detail


def test_what_was_noticed_and_rolled_back_is_noticed_again(database: Engine) -> None:
    become_another(database)
    with Session(database) as session:
        assert lineage.check_connection(session, utc_now())
        session.rollback()
        assert lineage.check_connection(session, utc_now())
        session.commit()
        assert not lineage.check_connection(session, utc_now())
        assert own_pause(session, ALL) is not None


def test_sqlite_knows_no_history(sqlite_url: str) -> None:
    engine = make_engine(sqlite_url)
    assert not write(engine, lambda session: lineage.check(session, utc_now()))
    assert read(engine, lambda session: list(session.scalars(sa.select(Lineage)))) == []
    engine.dispose()


@pytest.mark.parametrize(("setting", "is_ordered"), [("true", False), ("false", True)])
def test_nothing_is_ordered_by_a_restored_database_but_where_that_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database: Engine, loop: Loop, setting: str, *, is_ordered: bool
) -> None:
    client, now = ScriptedUpstream(), utc_now()
    (id_,) = make_requests(database, 1, due_at=now, deadline=now + timedelta(days=1))
    become_another(database)
    with working(monkeypatch, database, str(tmp_path), loop, client, TRUNKLINE_PAUSE_AFTER_FAILOVER=setting) as runtime:
        advance(runtime, NAME)
        assert bool(client.orders) is is_ordered
        assert (fetch(database, id_).attempts > 0) is is_ordered
        assert not notice_restore(runtime, utc_now())
    assert (read(database, lambda session: own_pause(session, ALL)) is None) is is_ordered


def test_the_relay_notices_it_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database: Engine, loop: Loop
) -> None:
    become_another(database)
    with working(monkeypatch, database, str(tmp_path), loop, ScriptedUpstream()) as runtime:
        assert notice_restore(runtime, utc_now())
        assert not notice_restore(runtime, utc_now())


def test_a_server_that_does_not_tell_us_is_believed_and_a_standby_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, database: Engine
) -> None:
    monkeypatch.setattr(lineage, "_CURRENT", "SELECT pg_no_such_function()")
    with Session(database) as session:
        assert lineage.current(session) is None
        assert not lineage.check_connection(session, utc_now())
    monkeypatch.setattr(lineage, "_CURRENT", "SELECT pg_wal_replay_pause()")  # refused by all but standbys: 55000
    database.dispose()
    with Session(database) as session, pytest.raises(sa.exc.DBAPIError, match="recovery"):
        lineage.check_connection(session, utc_now())
    monkeypatch.undo()
    with Session(database) as session:
        assert not lineage.check_connection(session, utc_now())
