"""Transactions: run again where the database says so, undone where they fail, and readers that wait for no writer."""

from __future__ import annotations

import threading
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from models import counter, requester, source
from models.base import new_id, read, write
from models.heartbeat import Heartbeat, beat, last_beat
from models.requester import Requester
from models.state import State
from models.transition import Move, lock, transition
from tests.factory import NOW, fetch, make_requester, make_requests
from tests.sandbox import eventually
from tests.working import every, together


def test_a_deadlock_is_tried_again_whole(postgresql: Engine) -> None:
    ids = make_requests(postgresql, 2)
    both_hold_one, runs = threading.Barrier(2), []

    def cross(first: UUID, second: UUID) -> None:
        def work(session: Session) -> None:
            is_first_run = first not in runs
            runs.append(first)
            lock(session, [first])
            if is_first_run:
                both_hold_one.wait(10)
            transition(session, [Move(id_, State.HELD, "test") for id_ in (first, second)], NOW)

        write(postgresql, work)

    together(lambda: cross(*ids), lambda: cross(*reversed(ids)))
    assert len(runs) == 3
    assert read(postgresql, counter.of_all)[State.HELD] == 2


def test_a_fault_of_ours_is_not_tried_again(engine: Engine) -> None:
    make_requester(engine)
    runs = []

    def work(session: Session) -> None:
        runs.append(1)
        session.add(Requester(id=new_id(), name="default", secret="", created_at=NOW))
        session.flush()

    with pytest.raises(IntegrityError):
        write(engine, work)
    assert len(runs) == 1


def test_who_reads_waits_for_no_writer_and_sees_nothing_half_done(engine: Engine) -> None:
    write(engine, lambda session: beat(session, "relay", NOW))
    with Session(engine) as writing, writing.begin():
        writing.execute(sa.delete(Heartbeat))
        assert read(engine, lambda session: last_beat(session, "relay")) == NOW
    assert read(engine, lambda session: last_beat(session, "relay")) is None


def test_a_transaction_that_keeps_silent_loses_its_locks_and_is_run_again(postgresql: Engine) -> None:
    limits: list[str | None] = []

    def fall_asleep(session: Session) -> None:
        limits.append(session.scalar(sa.text("SHOW idle_in_transaction_session_timeout")))
        beat(session, "relay", NOW)
        session.flush()
        if len(limits) == 1:
            session.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = '50ms'"))
            write(postgresql, lambda other: beat(other, "relay", NOW))  # waits for the row, and gets it
        session.execute(sa.text("SELECT 1"))

    write(postgresql, fall_asleep)
    assert limits == ["15s", "15s"]


def test_two_that_need_the_same_new_requester_at_once_get_the_same(postgresql: Engine) -> None:
    found: list[UUID] = []
    waiting = sa.text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    with Session(postgresql) as first, first.begin():
        mine = requester.find_or_make(first, "crm", NOW).id
        other = threading.Thread(target=lambda: found.append(make_requester(postgresql, "crm").id))
        other.start()
        eventually(lambda: read(postgresql, lambda session: session.scalar(waiting)))
    other.join(10)
    assert found == [mine]
    assert len(every(postgresql, Requester)) == 1


def test_who_opens_a_batch_keeps_no_results_of_its_requester_waiting(postgresql: Engine) -> None:
    (id_,) = make_requests(postgresql, notify_url="https://once.test")
    owner = make_requester(postgresql)
    with Session(postgresql) as opening, opening.begin():
        source.lock(opening, owner.id)
        with Session(postgresql) as session, session.begin():
            session.execute(sa.text("SET LOCAL lock_timeout = '1s'"))
            transition(session, [Move(id_, State.COMPLETED, "test")], NOW)
    assert fetch(postgresql, id_).state is State.COMPLETED
