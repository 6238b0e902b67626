"""Claiming: nobody holds what another holds, and what a dead claimer held comes back as a question."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models import dispatch, due, upstream
from models.base import insert_for, make_engine, new_id, read, write
from models.delivery import Delivery
from models.due import Claim, Step, claim, claim_requests, count_due, count_due_requests, settle
from models.inbox import Purpose, Received
from models.request import Request
from models.state import Reason, State
from models.transition import Move, transition
from tests.factory import KEYRING, NOW, fetch, make_batch, make_endpoint, make_requester, make_requests
from tests.working import NAME, every, history, together

LEASE = timedelta(seconds=100)


def claim_now(engine: Engine, now: datetime = NOW, limit: int = 50, name: str = NAME) -> list[Claim]:
    return write(engine, lambda session: claim_requests(session, name, limit, now, LEASE))


def ids_of(claims: list[Claim]) -> list[UUID]:
    return [one.request.id for one in claims]


def steps_of(claims: list[Claim]) -> dict[UUID, Step]:
    return {one.request.id: one.step for one in claims}


def move(engine: Engine, id_: UUID, to: State, due_at: datetime | None, **changes: Any) -> None:
    write(engine, lambda session: transition(session, [Move(id_, to, "test", due_at=due_at, changes=changes)], NOW))


def count(engine: Engine, now: datetime = NOW) -> int:
    return read(engine, lambda session: count_due_requests(session, NAME, now))


def test_a_claim_takes_a_due_request_for_the_length_of_its_lease(engine: Engine) -> None:
    (id_,) = make_requests(engine)
    (claimed,) = claim_now(engine)
    row = fetch(engine, id_)
    assert (row.state, row.attempts, row.fence, row.due_at) == (State.SUBMITTING, 1, 1, NOW + LEASE)
    assert (claimed.step, claimed.until, claimed.request.fence) == (Step.SUBMIT, NOW + LEASE, 1)
    assert claim_now(engine, NOW + LEASE - timedelta(microseconds=1)) == []


def test_what_is_not_due_or_due_elsewhere_is_not_claimed(engine: Engine) -> None:
    make_requests(engine, due_at=NOW + timedelta(microseconds=1))
    make_requests(engine, upstream="telmetrics")
    assert (claim_now(engine), count(engine)) == ([], 0)
    assert count(engine, NOW + timedelta(seconds=1)) == 1


def test_what_a_dead_claimer_held_is_looked_up_and_not_ordered(engine: Engine) -> None:
    (id_,) = make_requests(engine)
    claim_now(engine)
    again = NOW + LEASE
    (claimed,) = claim_now(engine, again)
    row = fetch(engine, id_)
    assert claimed.step is Step.LOOK_UP
    assert (row.state, row.reason, row.unknown_since) == (State.SUBMITTING, Reason.OUTCOME_UNKNOWN, again)
    assert (row.attempts, row.looks, row.fence) == (1, 1, 2)
    assert "did not come back" in history(engine, id_)[-1]["detail"]


def test_an_outcome_stays_unknown_since_it_first_was(engine: Engine) -> None:
    (id_,) = make_requests(engine)
    move(engine, id_, State.SUBMITTING, NOW, unknown_since=NOW - LEASE)
    claim_now(engine)
    assert fetch(engine, id_).unknown_since == NOW - LEASE


def test_an_accepted_request_whose_callback_is_late_is_looked_up(engine: Engine) -> None:
    (id_,) = make_requests(engine)
    move(engine, id_, State.ACCEPTED, NOW)
    (claimed,) = claim_now(engine)
    row = fetch(engine, id_)
    assert claimed.step is Step.LOOK_UP
    assert (row.state, row.reason, row.looks, row.unknown_since) == (State.ACCEPTED, None, 1, None)


def test_an_order_that_goes_out_again_begins_with_nothing_known(engine: Engine) -> None:
    (id_,) = make_requests(engine)
    move(engine, id_, State.QUEUED, NOW, looks=3, unknown_since=NOW, absent_at=NOW)
    (claimed,) = claim_now(engine)
    row = fetch(engine, id_)
    assert claimed.step is Step.SUBMIT
    assert (row.looks, row.unknown_since, row.absent_at) == (0, None, None)


def test_single_requests_go_before_those_of_batches_however_late_they_came(engine: Engine) -> None:
    bulk = make_requests(engine, 5, batch_id=make_batch(engine, 5), due_at=NOW - timedelta(days=1))
    single = make_requests(engine, 2)
    assert set(ids_of(claim_now(engine, limit=3))) == set(single), "and not behind the writing down of one more"
    assert set(ids_of(claim_now(engine))) == set(bulk)


def test_single_requests_that_only_end_do_not_hide_those_of_batches(engine: Engine) -> None:
    bulk = make_requests(engine, 5, batch_id=make_batch(engine, 5))
    make_requests(engine, 2, deadline=NOW)
    assert set(ids_of(claim_now(engine, limit=3))) < set(bulk)


def test_of_equals_the_one_that_waited_longest_goes_first(engine: Engine) -> None:
    waits = [3, 1, 2]
    ids = {seconds: make_requests(engine, due_at=NOW - timedelta(seconds=seconds))[0] for seconds in waits}
    assert [ids_of(claim_now(engine, limit=1))[0] for _ in waits] == [ids[3], ids[2], ids[1]]


def test_a_request_that_waited_past_its_deadline_ends_and_is_not_ordered(engine: Engine) -> None:
    make_endpoint(engine, make_requester(engine), "https://crm.test")
    (id_,) = make_requests(engine, deadline=NOW)
    assert claim_now(engine) == []
    row = fetch(engine, id_)
    assert (row.state, row.reason, row.due_at, row.attempts) == (State.FAILED, Reason.DEADLINE_PASSED, None, 0)
    assert [told.type for told in every(engine, Delivery)] == ["request.failed"]


def test_a_deadline_does_not_end_what_may_have_been_ordered(engine: Engine) -> None:
    (id_,) = make_requests(engine, deadline=NOW + timedelta(seconds=1))
    claim_now(engine)
    assert steps_of(claim_now(engine, NOW + LEASE)) == {id_: Step.LOOK_UP}


def test_a_paused_upstream_gets_no_orders_and_is_asked_about_those_that_are_out(engine: Engine) -> None:
    waiting, unknown, accepted = make_requests(engine, 3)
    move(engine, unknown, State.SUBMITTING, NOW, unknown_since=NOW)
    move(engine, accepted, State.ACCEPTED, NOW)
    write(engine, lambda session: upstream.pause(session, NAME, "by_person", "", "ada", NOW))
    assert count(engine) == 2
    assert steps_of(claim_now(engine)) == {unknown: Step.LOOK_UP, accepted: Step.LOOK_UP}
    assert (claim_now(engine), count(engine)) == ([], 0)
    write(engine, lambda session: upstream.resume(session, NAME))
    assert steps_of(claim_now(engine)) == {waiting: Step.SUBMIT}


def test_two_claimers_at_once_never_get_the_same_request(engine: Engine) -> None:
    ids = make_requests(engine, 90, batch_id=make_batch(engine, 90))

    def drain() -> list[UUID]:
        mine: list[UUID] = []
        while claimed := claim_now(engine, limit=4):
            mine += ids_of(claimed)
        return mine

    claimed = [id_ for mine in together(drain, drain, drain) for id_ in mine]
    assert sorted(claimed) == sorted(ids)
    assert {row.fence for row in every(engine, Request)} == {1}


def test_a_claimer_does_not_wait_for_rows_that_another_is_just_claiming(postgresql: Engine) -> None:
    make_requests(postgresql, 4)
    with Session(postgresql) as session, session.begin():
        # Only the rows: a whole claim would also hold a slot of the counts, which one in 16 others wants too.
        held = set(session.scalars(sa.select(Request.id).order_by(Request.id).limit(2).with_for_update()))
        others = claim_now(postgresql)
    assert len(held) == len(others) == 2
    assert not held & set(ids_of(others))


def make_received(engine: Engine, number: int) -> None:
    row = {"upstream": NAME, "purpose": Purpose.CALLBACK, "request_id": new_id(), "method": "POST", "query": ""}
    row |= {"body": b"", "received_at": NOW, "due_at": NOW, "fence": 0, "attempts": 0}

    def work(session: Session) -> None:
        session.execute(
            insert_for(session)(Received), [row | {"id": new_id(), "digest": str(n)} for n in range(number)]
        )

    write(engine, work)


def make_deliveries(engine: Engine, number: int) -> None:
    ids = make_requests(engine, number, notify_url="https://once.test")
    write(engine, lambda session: transition(session, [Move(id_, State.COMPLETED, "test") for id_ in ids], NOW))


def claim_deliveries(engine: Engine, now: datetime) -> list[Delivery]:
    """Up to two of those that have one and the same destination."""
    id_ = every(engine, Delivery)[0].line_id
    return write(engine, lambda session: dispatch.claim(session, {id_: 2}, set(), now, LEASE))


def claim_received(engine: Engine, now: datetime) -> list[Received]:
    return write(engine, lambda session: claim(session, Received, 2, now, LEASE))


def count_received(session: Session, now: datetime) -> int:
    return count_due(session, Received, now)


MAKE = {Received: make_received, Delivery: make_deliveries}
CLAIM: dict[Any, Any] = {Received: claim_received, Delivery: claim_deliveries}
COUNT: dict[Any, Any] = {Received: count_received, Delivery: dispatch.count_due}


@pytest.mark.parametrize("table", MAKE)
def test_deliveries_and_what_came_in_are_claimed_likewise(engine: Engine, table: type[Any]) -> None:
    MAKE[table](engine, 3)

    def claimed(now: datetime) -> list[Any]:
        return list(CLAIM[table](engine, now))

    assert read(engine, lambda session: COUNT[table](session, NOW)) == 3
    first = claimed(NOW)
    assert [(row.fence, row.attempts, row.due_at) for row in first] == [(1, 1, NOW + LEASE)] * 2
    assert (len(claimed(NOW)), claimed(NOW)) == (1, [])
    assert read(engine, lambda session: COUNT[table](session, NOW)) == 0
    assert [(row.fence, row.attempts) for row in claimed(NOW + LEASE)] == [(2, 2)] * 2


@pytest.mark.parametrize("table", MAKE)
def test_who_comes_back_after_the_lease_writes_over_nothing(engine: Engine, table: type[Any]) -> None:
    MAKE[table](engine, 1)
    (slow,) = CLAIM[table](engine, NOW)
    CLAIM[table](engine, NOW + LEASE)
    slow.due_at = None
    write(engine, lambda session: settle(session, table, [slow], ("due_at",)))
    (row,) = every(engine, table)
    assert row.due_at == NOW + LEASE + LEASE


def test_a_long_backlog_is_counted_only_so_far(monkeypatch: pytest.MonkeyPatch, engine: Engine) -> None:
    monkeypatch.setattr(due, "COUNTED", 3)
    make_requests(engine, 5)
    assert count(engine) == 3


@pytest.fixture
def statements(sqlite_url: str) -> Iterator[tuple[Engine, list[tuple[str, Any]]]]:
    """An engine on SQLite, and what it is told."""
    engine, said = make_engine(sqlite_url, keyring=KEYRING), []

    def remember(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        said.append((statement, parameters))

    sqlalchemy_event.listen(engine, "before_cursor_execute", remember)
    yield engine, said
    engine.dispose()


@pytest.mark.parametrize("is_paused", [False, True])
def test_claims_and_counts_read_only_what_is_due(
    statements: tuple[Engine, list[tuple[str, Any]]], is_paused: bool
) -> None:
    engine, said = statements
    if is_paused:
        write(engine, lambda session: upstream.pause(session, NAME, "by_person", "", "ada", NOW))
    make_requests(engine, batch_id=make_batch(engine, 1))
    said.clear()
    claim_now(engine)
    count(engine)
    selects = [one for one in said if not one[0].startswith("UPDATE") and "FROM requests" in one[0]]
    assert len(selects) == (
        3 if is_paused else 4
    )  # of each priority the lines that wait, then the rows, then the count
    index = "ix_requests_due_and_out" if is_paused else "ix_requests_(due|line)"
    search = re.compile(rf"SEARCH requests USING (COVERING )?INDEX {index} \(upstream=\? AND priority=\?( AND .*)?\)")
    with engine.connect() as connection:
        for statement, parameters in selects:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            found = [step.detail for step in plan if "requests" in step.detail]
            assert found
            assert all(search.fullmatch(detail) for detail in found), found
            assert not any("TEMP B-TREE" in step.detail for step in plan)


def test_a_claim_takes_as_many_statements_for_many_as_for_one(
    statements: tuple[Engine, list[tuple[str, Any]]],
) -> None:
    engine, said = statements
    make_requests(engine, 40)
    said.clear()
    assert len(claim_now(engine, limit=1)) == 1
    for_one = len(said)
    said.clear()
    assert len(claim_now(engine, limit=39)) == 39
    assert len(said) == for_one


def test_the_oldest_of_rows_that_a_claim_ended_do_not_hide_the_rest(engine: Engine) -> None:
    make_requests(engine, 3, deadline=NOW, due_at=NOW - timedelta(seconds=1))
    (id_,) = make_requests(engine)
    assert ids_of(claim_now(engine, limit=3)) == [id_]
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).where(Request.state == State.FAILED)) == 3


def claims_that_nobody_answers(engine: Engine, times: int) -> datetime:
    """Claims of everything that is due, each lease ending in silence. Returns when the last of them ended."""
    now = NOW
    for _ in range(times):
        while claim_now(engine, now):
            pass
        now += LEASE
    return now


def test_what_no_worker_came_back_from_three_times_is_claimed_alone(engine: Engine) -> None:
    make_requests(engine, 3)
    now = claims_that_nobody_answers(engine, due.ALONE_AFTER) + timedelta(milliseconds=1)
    (fresh,) = make_requests(engine, due_at=now)
    claims = [claim_now(engine, now) for _ in range(4)]
    assert [len(set_) for set_ in claims] == [1, 1, 1, 1]
    assert [one.is_alone for set_ in claims for one in set_] == [True, True, True, False]
    assert ids_of(claims[-1]) == [fresh]


def test_others_that_are_due_earlier_are_not_claimed_together_with_a_suspect(engine: Engine) -> None:
    (suspect,) = make_requests(engine)
    now = claims_that_nobody_answers(engine, due.ALONE_AFTER)
    others = make_requests(engine, 2, due_at=now - LEASE / 2)
    assert set(ids_of(claim_now(engine, now))) == set(others)
    assert ids_of(claim_now(engine, now)) == [suspect]


def test_what_ten_workers_in_a_row_did_not_come_back_from_is_held(engine: Engine) -> None:
    (id_,) = make_requests(engine)
    now = claims_that_nobody_answers(engine, due.HELD_AFTER)
    assert claim_now(engine, now) == []
    row = fetch(engine, id_)
    assert (row.state, row.reason, row.due_at) == (State.HELD, Reason.WORKERS_LOST, None)


def test_one_answer_clears_a_suspect(engine: Engine) -> None:
    (id_,) = make_requests(engine)
    now = claims_that_nobody_answers(engine, due.HELD_AFTER - 1)
    move(engine, id_, State.SUBMITTING, now, unknown_since=now)
    assert fetch(engine, id_).unanswered == 0
    (claimed,) = claim_now(engine, now)
    assert not claimed.is_alone
