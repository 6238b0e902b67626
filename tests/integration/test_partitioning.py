"""History and calls are divided by the month while they are written to, and old months go whole."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from models import call, event, heartbeat, partitioning
from models.act import Act
from models.base import first_id_of, make_engine, new_id, read, utc_now, write
from models.call import Call
from models.event import Event, EventKind
from models.partitioning import TABLES, Partition
from models.request import Request
from models.state import State
from models.transition import Move, transition
from tests.factory import KEYRING, SECRET_KEY, make_requests
from tests.integration.cli import Cli, environment
from tests.receiver import receiver, settings_for
from tests.working import every
from worker import relay
from worker.cli.checks import check_partitions
from worker.runtime import Runtime

__all__ = ["environment"]

THEN = datetime(2024, 10, 31, 22, 30, tzinfo=UTC)
"""When the tables are divided: so near the end of a month that its rows could come behind its end."""


SUPPRESS = "suppress_redundant_updates_trigger()"
"""A trigger function that PostgreSQL brings along."""


@pytest.fixture
def engine(postgresql: Engine) -> Engine:
    return postgresql


@pytest.fixture
def cli(environment: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, engine: Engine, postgresql_url: str) -> Cli:
    monkeypatch.setenv("TRUNKLINE_DATABASE_URL", postgresql_url)
    monkeypatch.setenv("TRUNKLINE_SECRET_KEY", SECRET_KEY)
    return Cli(tmp_path, engine)


def at(moment: datetime) -> UUID:
    """An id as it was made then."""
    return UUID(int=(int(moment.timestamp() * 1000) << 80) | (new_id().int & (1 << 80) - 1))


def happened(engine: Engine, moment: datetime, request_id: UUID) -> UUID:
    """A line of history from then; its id."""
    values = {"id": at(moment), "request_id": request_id, "at": moment, "type": EventKind.NOTE, "actor": "test"}
    write(engine, lambda session: session.execute(sa.insert(Event).values(values | {"data": {}})))
    return UUID(str(values["id"]))


def ended(engine: Engine, moment: datetime) -> UUID:
    """A request that ended then, without history."""
    (id_,) = make_requests(engine)
    write(engine, lambda session: transition(session, [Move(id_, State.FAILED, "test")], utc_now()))
    past = {"finished_at": moment, "created_at": moment}
    write(engine, lambda session: session.execute(sa.update(Request).where(Request.id == id_).values(**past)))
    write(engine, lambda session: session.execute(sa.delete(Event).where(Event.request_id == id_)))
    return id_


def told(engine: Engine, moment: datetime, reference: str) -> bool:
    """A call that an upstream told of then; whether it was new."""
    values: dict[str, Any] = dict.fromkeys(
        ("number", "caller", "answer_point", "status", "duration", "started_at", "started_at_raw")
    )
    values |= {"id": at(moment), "upstream": "avanser", "upstream_reference": reference, "request_id": new_id()}
    values |= {"requester_id": new_id(), "parameters": {}, "received_at": moment}
    return write(engine, lambda session: call.keep(session, values))


def divide(engine: Engine, now: datetime = THEN) -> None:
    for table in TABLES:
        assert partitioning.divide(engine, table, now)


def partitions(engine: Engine, table: str = "events") -> list[Partition]:
    return read(engine, lambda session: partitioning.of(session, table))


@contextmanager
def reading(engine: Engine) -> Iterator[None]:
    """Meanwhile a backup reads all tables in one transaction, and that for longer than ours may last."""
    with psycopg.connect(engine.url.set(drivername="postgresql").render_as_string(hide_password=False)) as backup:
        backup.execute("SELECT count(*) FROM events")
        yield


def names(engine: Engine, table: str = "events") -> list[str]:
    return [one.name for one in partitions(engine, table)]


def where(engine: Engine, id_: UUID) -> str:
    """The partition in which a line of history lies."""
    place = sa.select(sa.text("tableoid::regclass::text")).select_from(Event).where(Event.id == id_)
    return str(read(engine, lambda session: session.scalar(place)))


def shape(engine: Engine, table: str) -> dict[str, Any]:
    """What SQLAlchemy sees of a table."""
    found = sa.inspect(engine)
    columns = [{**one, "type": str(one["type"])} for one in found.get_columns(table)]
    indexes = {one["name"]: one["column_names"] for one in found.get_indexes(table) if not one["unique"]}
    checks = {one["name"] for one in found.get_check_constraints(table)}
    return {"columns": columns, "key": found.get_pk_constraint(table), "indexes": indexes, "checks": checks}


def test_what_is_there_becomes_the_first_partition_and_the_table_looks_as_before(engine: Engine) -> None:
    (id_,) = make_requests(engine)
    before = {table: shape(engine, table) for table in TABLES}
    rows = len(every(engine, Event))
    divide(engine, utc_now())
    assert {table: shape(engine, table) for table in TABLES} == before
    assert len(every(engine, Event)) == rows
    assert {where(engine, one.id) for one in every(engine, Event)} == {"events_before"}
    assert read(engine, lambda session: event.timeline(session, id_))


def test_the_months_follow_each_other_from_the_end_of_the_next_day_on(engine: Engine) -> None:
    divide(engine)  # an hour and a half before November
    made = partitions(engine)
    assert [one.name for one in made] == ["events_before", "events_2024_12", "events_2025_01"]
    assert made[0].lower is None
    assert made[0].upper == datetime(2024, 12, 1, tzinfo=UTC)
    assert all(earlier.upper == later.lower for earlier, later in pairwise(made))
    assert made[-1].upper is not None
    assert made[-1].upper >= THEN + partitioning.AHEAD


def test_each_row_goes_to_its_month_and_one_of_a_strange_clock_to_the_first(engine: Engine) -> None:
    divide(engine)
    request_id = new_id()
    january = datetime(2025, 1, 1, tzinfo=UTC)
    for moment, name in (
        (january - timedelta(milliseconds=1), "events_2024_12"),
        (january, "events_2025_01"),
        (datetime(1970, 1, 1, tzinfo=UTC), "events_before"),
    ):
        assert where(engine, happened(engine, moment, request_id)) == name


def test_dividing_again_changes_nothing(engine: Engine) -> None:
    divide(engine)
    before = names(engine)
    assert not partitioning.divide(engine, "events", utc_now())
    assert names(engine) == before


def test_settings_of_the_table_and_rights_are_those_of_the_old(engine: Engine) -> None:
    def grant(session: Session) -> None:
        session.execute(sa.text("DROP ROLE IF EXISTS reporting"))
        session.execute(sa.text("CREATE ROLE reporting"))
        session.execute(sa.text("GRANT SELECT ON events TO reporting"))

    write(engine, grant)
    try:
        divide(engine)
        may = sa.text("SELECT has_table_privilege('reporting', 'events', 'SELECT')")
        assert read(engine, lambda session: session.scalar(may))
        options = sa.text("SELECT reloptions FROM pg_class WHERE relname = 'events_2025_01'")
        assert read(engine, lambda session: session.scalar(options)) == ["autovacuum_vacuum_insert_scale_factor=0.05"]
    finally:
        write(engine, lambda session: session.execute(sa.text("DROP OWNED BY reporting; DROP ROLE reporting")))


@pytest.mark.parametrize(
    ("made", "says"),
    [
        ("CREATE VIEW recent AS SELECT id FROM events", "view recent"),
        ("CREATE PUBLICATION outside FOR TABLE events", "publication outside"),
        (f"CREATE TRIGGER watches BEFORE UPDATE ON events FOR EACH ROW EXECUTE FUNCTION {SUPPRESS}", "trigger watches"),
        ("CREATE TABLE notes (of uuid REFERENCES events (id))", "foreign key notes_of_fkey"),
    ],
)
def test_what_would_be_left_with_the_old_table_is_named_and_nothing_is_changed(
    cli: Cli, engine: Engine, made: str, says: str
) -> None:
    write(engine, lambda session: session.execute(sa.text(made)))
    assert says in cli.run("partition", status=2).stderr
    assert names(engine) == []
    assert "ck_events_bound" not in shape(engine, "events")["checks"]


def test_a_table_that_somebody_holds_is_left_as_it_was(cli: Cli, engine: Engine) -> None:
    with reading(engine):
        said = cli.run("partition", status=2).stderr
    assert "events is held by somebody" in said
    assert names(engine) == []
    assert "ck_events_bound" not in shape(engine, "events")["checks"]
    make_requests(engine)
    assert cli.json("partition")["divided"] == ["events", "calls"]


def test_requests_move_while_a_table_is_divided(engine: Engine, postgresql_url: str) -> None:
    is_over, moved = threading.Event(), []
    ids = iter(make_requests(engine, 2_000))

    def move() -> None:
        own = make_engine(postgresql_url, keyring=KEYRING)
        while not is_over.is_set():
            step = Move(next(ids), State.FAILED, "test", reason="rejected")
            write(own, lambda session, step=step: transition(session, [step], utc_now()))  # type: ignore[misc]
            moved.append(step.request_id)
        own.dispose()

    movers = [threading.Thread(target=move) for _ in range(2)]
    for mover in movers:
        mover.start()
    try:
        divide(engine, utc_now())
        before = len(moved)
        while len(moved) < before + 20:
            assert all(mover.is_alive() for mover in movers)
    finally:
        is_over.set()
        for mover in movers:
            mover.join()
    entries = sa.select(Event.request_id).where(Event.to_state == State.FAILED)
    assert sorted(read(engine, lambda session: session.scalars(entries).all())) == sorted(moved)


def test_a_call_that_is_told_again_is_not_new_over_the_end_of_a_month_either(engine: Engine) -> None:
    divide(engine)
    december = datetime(2024, 12, 1, tzinfo=UTC)
    before, after = december - timedelta(seconds=30), december + timedelta(seconds=30)
    assert told(engine, before, "a")
    assert told(engine, after, "b")
    assert [told(engine, before, "a"), told(engine, after, "a"), told(engine, after, "b")] == [False] * 3
    assert sorted(one.upstream_reference for one in every(engine, Call)) == ["a", "b"]


def test_two_that_tell_of_a_call_at_once_store_one(engine: Engine) -> None:
    divide(engine, utc_now())
    now = utc_now()
    new: list[bool] = []
    both = threading.Barrier(2)

    def tell() -> None:
        both.wait()
        new.append(told(engine, now, "a"))

    tellers = [threading.Thread(target=tell) for _ in range(2)]
    for teller in tellers:
        teller.start()
    for teller in tellers:
        teller.join()
    assert sorted(new) == [False, True]


def test_the_relay_makes_the_months_ahead_once_an_hour(engine: Engine) -> None:
    divide(engine)
    later = THEN + timedelta(days=40)
    assert partitioning.look_after(engine, later) == [
        "events_2025_02",
        "events_2025_03",
        "calls_2025_02",
        "calls_2025_03",
    ]
    much_later = later + 2 * partitioning.AHEAD
    write(engine, lambda session: heartbeat.beat(session, partitioning.LOOKED_AFTER, much_later))
    assert partitioning.look_after(engine, much_later + timedelta(minutes=59)) == []
    assert partitioning.look_after(engine, much_later + timedelta(minutes=61))[-1] == "calls_2025_09"


def test_the_relay_goes_on_behind_what_a_person_made(engine: Engine) -> None:
    divide(engine)
    days = Partition("events_2025_02_01", datetime(2025, 2, 1, tzinfo=UTC), datetime(2025, 2, 2, tzinfo=UTC))
    lower, upper = partitioning.ids_of(days)
    by_hand = (
        f"CREATE TABLE {days.name} PARTITION OF events FOR VALUES FROM ('{UUID(int=lower.int + 1)}') TO ('{upper}')"
    )
    write(engine, lambda session: session.execute(sa.text(by_hand)))
    write(engine, lambda session: partitioning.make_ahead(session, THEN + timedelta(days=40)))
    *_, before, made, last = partitions(engine)
    assert before == days
    assert made == Partition("events_2025_02", days.upper, datetime(2025, 3, 1, tzinfo=UTC))
    assert last.name == "events_2025_03"


def test_relays_that_look_at_once_make_each_once(engine: Engine) -> None:
    divide(engine)
    later = THEN + timedelta(days=400)
    made: list[str] = []
    both = threading.Barrier(2)

    def make() -> None:
        both.wait()
        made.extend(write(engine, lambda session: partitioning.make_ahead(session, later)))

    relays = [threading.Thread(target=make) for _ in range(2)]
    for one in relays:
        one.start()
    for one in relays:
        one.join()
    assert len(made) == len(set(made)) > 20
    assert names(engine)[-1] == "events_2026_03"


def test_a_tick_goes_on_where_partitions_cannot_be_made(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(engine: Engine, now: datetime) -> list[str]:
        raise sa.exc.ProgrammingError(
            "", {}, psycopg.errors.InsufficientPrivilege("permission denied for schema public")
        )

    monkeypatch.setattr(partitioning, "look_after", refuse)
    relay.tick(runtime)
    assert "run `trunkline partition` as the tables' owner" in caplog.text


def test_a_bound_that_a_killed_process_left_goes_before_rows_come_behind_it(engine: Engine) -> None:
    now = utc_now()
    end = partitioning.month_after(now)
    bound = f"ALTER TABLE events ADD CONSTRAINT ck_events_bound CHECK (id < '{first_id_of(end + timedelta(hours=1))}')"
    write(engine, lambda session: session.execute(sa.text(bound)))
    with pytest.raises(DBAPIError):
        happened(engine, end, new_id())
    write(engine, lambda session: partitioning.make_ahead(session, end - timedelta(days=2)))
    assert "ck_events_bound" in shape(engine, "events")["checks"]  # somebody may be at work
    write(engine, lambda session: partitioning.make_ahead(session, end - timedelta(hours=2)))
    happened(engine, end, new_id())


def test_what_was_killed_while_it_divided_a_table_is_done_again(cli: Cli, engine: Engine) -> None:
    bound = f"ALTER TABLE calls ADD CONSTRAINT ck_calls_bound CHECK (id < '{first_id_of(utc_now())}') NOT VALID"
    write(engine, lambda session: session.execute(sa.text(bound)))
    assert cli.json("partition")["divided"] == ["events", "calls"]
    assert told(engine, utc_now(), "a")


def test_prune_drops_a_month_in_which_nothing_is_needed_and_no_other(cli: Cli, engine: Engine) -> None:
    divide(engine)
    write(engine, lambda session: partitioning.make_ahead(session, utc_now()))
    done, (open_,) = ended(engine, THEN + timedelta(days=60)), make_requests(engine)
    first, december = happened(engine, THEN, done), happened(engine, THEN + timedelta(days=40), done)
    january = [happened(engine, THEN + timedelta(days=70 + day), id_) for day, id_ in enumerate((done, open_, done))]
    told(engine, THEN + timedelta(days=40), "a")
    old = utc_now() - partitions(engine)[3].lower  # type: ignore[operator]
    span = f"{old.days - 5}d"  # some days into February
    before = names(engine), len(every(engine, Event))
    kept = {one.id for one in every(engine, Event)} - {first, december, january[0], january[2]}
    asked = cli.json("prune", "--older-than", span, "--dry-run")
    assert (asked["history"], asked["dropped"]) == (4, ["events_2024_12", "calls_2025_01"])
    assert (names(engine), len(every(engine, Event))) == before
    done_so = cli.json("prune", "--older-than", span, "--yes")
    assert (done_so["history"], done_so["dropped"]) == (4, ["events_2024_12", "calls_2025_01"])
    assert names(engine) == ["events_before", *before[0][2:]]
    assert {one.id for one in every(engine, Event)} == kept
    assert names(engine, "calls")[1] == "calls_2024_12"  # a call is in it, and calls go by their own age
    write(engine, lambda session: session.execute(sa.delete(Call)))
    assert "Dropped whole: calls_2024_12." in cli.run("prune", "--older-than", span, "--yes").stdout


def test_a_month_that_is_not_old_as_a_whole_stays_as_it_is(cli: Cli, engine: Engine) -> None:
    divide(engine)
    write(engine, lambda session: partitioning.make_ahead(session, utc_now()))
    done = ended(engine, THEN + timedelta(days=35))
    happened(engine, THEN + timedelta(days=34), done)
    span = f"{(utc_now() - datetime(2024, 12, 20, tzinfo=UTC)).days}d"
    assert cli.json("prune", "--older-than", span, "--yes")["history"] == 0
    assert names(engine)[1] == "events_2024_12"


def test_a_month_that_a_backup_reads_stays_until_the_next_time(cli: Cli, engine: Engine) -> None:
    divide(engine)
    with reading(engine):
        said = cli.run("prune", "--older-than", "365d", "--yes")
    assert "events_2024_12 is held by somebody" in said.stderr
    assert "events_2024_12" in names(engine)
    assert "events_2024_12" in cli.json("prune", "--older-than", "365d", "--yes")["dropped"]


def test_the_first_partition_is_never_dropped(engine: Engine) -> None:
    divide(engine)
    assert not write(engine, lambda session: partitioning.drop(session, "events", "events_before"))
    assert not write(engine, lambda session: partitioning.drop(session, "events", "requests"))
    assert write(engine, lambda session: partitioning.drop(session, "events", "events_2024_12"))
    assert names(engine) == ["events_before", "events_2025_01"]


def test_a_row_of_the_future_is_said_and_nothing_is_changed(cli: Cli, engine: Engine) -> None:
    happened(engine, utc_now() + timedelta(days=40), new_id())
    assert "violated by some row" in cli.run("partition", status=2).stderr
    assert names(engine) == []
    assert "ck_events_bound" not in shape(engine, "events")["checks"]


def test_the_command_says_what_it_did_and_what_is_there(cli: Cli, engine: Engine) -> None:
    assert cli.json("partition", "--check") == {"divided": [], "partitions": {"events": [], "calls": []}}
    assert "events: not divided." in cli.run("partition", "--check").stdout
    assert "calls: divided now." in cli.run("partition").stdout
    assert [(one.act, one.subject) for one in every(engine, Act)] == [("table.partition", one) for one in TABLES]
    again = cli.json("partition")
    assert again["divided"] == []
    first, second, *_ = again["partitions"]["calls"]
    assert (first["partition"], first["from"], first["until"]) == ("calls_before", None, second["from"])
    assert second["bytes"] > 0


def test_doctor_says_when_room_runs_out(engine: Engine) -> None:
    now = utc_now()
    assert [check.state for check in check_partitions(engine)] == []
    divide(engine, now)
    assert {check.state for check in check_partitions(engine)} == {"ok"}
    for one in partitions(engine)[1:]:
        write(engine, lambda session, one=one: partitioning.drop(session, "events", one.name))  # type: ignore[misc]
    fault, fine = check_partitions(engine)
    assert (fault.state, fine.state) == ("fault", "ok")
    assert (fault.what, fault.remedy) == ("partitions of events", "see that a relay runs, or run `trunkline partition`")


def test_the_metrics_say_how_much_room_is_left(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, postgresql_url: str, tmp_path: Path
) -> None:
    with receiver(settings_for(monkeypatch, postgresql_url, str(tmp_path)), engine) as api:
        assert "trunkline_partitions_ahead_seconds{" not in api.get("/metrics").text
        divide(engine, utc_now())
        found = re.findall(
            r'^trunkline_partitions_ahead_seconds\{table="(\w+)"\} (\S+)$', api.get("/metrics").text, re.MULTILINE
        )
    assert [table for table, _ in found] == ["events", "calls"]
    assert all(float(left) > partitioning.AHEAD.total_seconds() - 60 for _, left in found)


def test_sqlite_is_told_that_it_needs_none(
    environment: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sqlite_url: str
) -> None:
    monkeypatch.setenv("TRUNKLINE_DATABASE_URL", sqlite_url)
    engine = make_engine(sqlite_url)
    assert "SQLite has no partitions" in Cli(tmp_path, engine).run("partition", status=2).stderr
    assert partitioning.look_after(engine, utc_now()) == []
    with pytest.raises(ValueError, match="no partitions"):
        partitioning.divide(engine, "events", utc_now())
    engine.dispose()
