"""The one door: what a move changes, what it refuses, whom it tells, and that many may come through at once."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models import counter
from models.base import new_id, read, rfc3339, write
from models.delivery import Delivery
from models.endpoint import Endpoint, EventType
from models.request import Request
from models.state import FINAL, MOVES, OPEN, State, is_legal
from models.transition import Landing, Move, transition
from tests.factory import NOW, fetch, make_batch, make_endpoint, make_requester, make_requests
from tests.working import every, history, moves, together

LATER = NOW + timedelta(minutes=5)
SYDNEY, PERTH = "+61280740801", "+61861234567"


def move(engine: Engine, *asked: Move) -> list[Landing]:
    return write(engine, lambda session: transition(session, asked, LATER))


def at(engine: Engine, state: State, **fields: Any) -> UUID:
    """A request that has come to this state."""
    (id_,) = make_requests(engine, **fields)
    if state is not State.QUEUED:
        assert move(engine, Move(id_, state, "test")) == [Landing.MOVED]
    return id_


def counted(session: Session) -> dict[State, int]:
    rows = session.execute(sa.select(Request.state, sa.func.count()).group_by(Request.state))
    found = {row[0]: row[1] for row in rows}
    return {state: found.get(state, 0) for state in State}


def test_a_move_writes_the_row_the_history_and_the_counts(engine: Engine) -> None:
    (id_,) = make_requests(engine)
    known = {"number": SYDNEY, "upstream_reference": "ref-1"}
    landed = move(engine, Move(id_, State.ACCEPTED, "worker", "why", "A sentence.", LATER, changes=known))
    row = fetch(engine, id_)
    assert landed == [Landing.MOVED]
    assert (row.state, row.reason, row.detail, row.due_at) == (State.ACCEPTED, "why", "A sentence.", LATER)
    assert (row.number, row.upstream_reference, row.updated_at) == (SYDNEY, "ref-1", LATER)
    said = history(engine, id_)[-1]
    assert said | {"at": rfc3339(LATER), "type": "state", "from": "queued", "to": "accepted"} == said
    assert (said["actor"], said["reason"], said["detail"]) == ("worker", "why", "A sentence.")
    assert read(engine, counter.of_all)[State.ACCEPTED] == 1


def test_a_move_that_says_nothing_new_is_not_in_the_history(engine: Engine) -> None:
    id_ = at(engine, State.ACCEPTED)
    before = moves(engine, id_)
    assert move(engine, Move(id_, State.ACCEPTED, "worker", due_at=LATER)) == [Landing.MOVED]
    assert moves(engine, id_) == before
    assert fetch(engine, id_).due_at == LATER


def test_moves_of_one_set_are_made_in_order(engine: Engine) -> None:
    (id_,) = make_requests(engine)
    steps = (State.SUBMITTING, State.ACCEPTED, State.COMPLETED, State.FAILED)
    landed = move(engine, *(Move(id_, state, "test") for state in steps))
    assert landed == [Landing.MOVED, Landing.MOVED, Landing.MOVED, Landing.REFUSED]
    assert fetch(engine, id_).state is State.COMPLETED
    assert [to for to, _ in moves(engine, id_)] == ["queued", "submitting", "accepted", "completed"]


@pytest.mark.parametrize("start", State)
def test_only_legal_moves_land(engine: Engine, start: State) -> None:
    for end in State:
        id_ = at(engine, start)
        landed = move(engine, Move(id_, end, "test"))
        assert landed == [Landing.MOVED if is_legal(start, end) else Landing.REFUSED]
        assert fetch(engine, id_).state is (end if is_legal(start, end) else start)


def test_a_request_that_is_not_there_is_missing_and_hinders_no_other(engine: Engine) -> None:
    (id_,) = make_requests(engine)
    assert move(engine, Move(new_id(), State.HELD, "test"), Move(id_, State.HELD, "test")) == [
        Landing.MISSING,
        Landing.MOVED,
    ]


def test_a_move_of_an_older_claim_does_not_land(engine: Engine) -> None:
    (id_,) = make_requests(engine)
    move(engine, Move(id_, State.SUBMITTING, "worker", changes={"fence": 2}))
    assert move(engine, Move(id_, State.FAILED, "worker", fence=1)) == [Landing.STALE]
    assert fetch(engine, id_).state is State.SUBMITTING
    assert move(engine, Move(id_, State.FAILED, "worker", fence=2)) == [Landing.MOVED]


def test_evidence_lands_whatever_claim_there_is(engine: Engine) -> None:
    (id_,) = make_requests(engine)
    move(engine, Move(id_, State.SUBMITTING, "worker", changes={"fence": 7}))
    assert move(engine, Move(id_, State.COMPLETED, "callback", changes={"number": SYDNEY})) == [Landing.MOVED]
    assert fetch(engine, id_).number == SYDNEY


@pytest.mark.parametrize("end", sorted(FINAL))
def test_a_request_ends_once_and_tells_it_once(engine: Engine, end: State) -> None:
    owner = make_requester(engine)
    make_endpoint(engine, owner, "https://crm.test")
    id_ = at(engine, State.QUEUED)
    assert move(engine, Move(id_, end, "test"), Move(id_, end, "test")) == [Landing.MOVED, Landing.REFUSED]
    assert move(engine, Move(id_, end, "test")) == [Landing.REFUSED]
    (told,) = every(engine, Delivery)
    assert (told.type, told.request_id, told.due_at) == (f"request.{end}", id_, LATER)
    assert (told.data["id"], told.data["state"], told.data["finished_at"]) == (str(id_), end, rfc3339(LATER))
    assert fetch(engine, id_).finished_at == LATER


def test_a_held_request_is_told_each_time_that_it_is_held_anew(engine: Engine) -> None:
    make_endpoint(engine, make_requester(engine), "https://crm.test")
    id_ = at(engine, State.HELD)
    move(engine, Move(id_, State.HELD, "test", "another reason"))
    assert [row.type for row in every(engine, Delivery)] == ["request.held"]
    move(engine, Move(id_, State.QUEUED, "test"), Move(id_, State.HELD, "test"))
    assert [row.type for row in every(engine, Delivery)] == ["request.held", "request.held"]
    assert fetch(engine, id_).finished_at is None


@pytest.mark.parametrize("end", [State.FAILED, State.CANCELLED])
@pytest.mark.parametrize("news", [State.ACCEPTED, State.COMPLETED])
def test_an_order_that_turns_out_to_stand_after_all_is_recorded_and_not_believed(
    engine: Engine, end: State, news: State
) -> None:
    id_ = at(engine, end)
    assert move(engine, Move(id_, news, "callback", changes={"number": SYDNEY})) == [Landing.REFUSED]
    row, note = fetch(engine, id_), history(engine, id_)[-1]
    assert (row.state, row.number, row.contradicted_at) == (end, None, LATER)
    assert (note["type"], note["actor"], note["reason"]) == ("note", "callback", "late_contradiction")
    assert (note["claims"], note["number"]) == (news, SYDNEY)
    assert "paid for" in note["detail"]


def test_a_failure_after_the_completion_is_recorded(engine: Engine) -> None:
    id_ = at(engine, State.COMPLETED)
    move(engine, Move(id_, State.FAILED, "callback"))
    assert fetch(engine, id_).contradicted_at == LATER
    assert "may not work" in history(engine, id_)[-1]["detail"]


@pytest.mark.parametrize("state", [State.SUBMITTING, State.ACCEPTED, State.COMPLETED])
def test_a_second_number_for_one_request_is_recorded_also_while_it_is_open(engine: Engine, state: State) -> None:
    (id_,) = make_requests(engine)
    move(engine, Move(id_, state, "worker", changes={"number": SYDNEY}))
    move(engine, Move(id_, State.COMPLETED, "callback", changes={"number": PERTH}))
    assert fetch(engine, id_).contradicted_at == LATER
    notes = [line for line in history(engine, id_) if line["type"] == "note"]
    assert [note["number"] for note in notes] == [PERTH]
    assert SYDNEY in notes[0]["detail"]


def test_the_same_news_twice_contradicts_nothing(engine: Engine) -> None:
    id_ = at(engine, State.QUEUED)
    news = Move(id_, State.COMPLETED, "callback", changes={"number": SYDNEY, "upstream_reference": "ref-1"})
    move(engine, news, news)
    assert fetch(engine, id_).contradicted_at is None
    assert [line["type"] for line in history(engine, id_)] == ["state", "state"]


def test_a_person_may_correct_a_number(engine: Engine) -> None:
    (id_,) = make_requests(engine)
    move(engine, Move(id_, State.HELD, "worker", changes={"number": SYDNEY}))
    move(engine, Move(id_, State.COMPLETED, "ada", "by_person", changes={"number": PERTH}))
    row = fetch(engine, id_)
    assert (row.number, row.contradicted_at) == (PERTH, None)


def test_an_acknowledgement_after_the_callback_still_tells_the_reference(engine: Engine) -> None:
    id_ = at(engine, State.COMPLETED)
    move(engine, Move(id_, State.ACCEPTED, "worker", changes={"upstream_reference": "ref-1"}))
    row = fetch(engine, id_)
    assert (row.state, row.upstream_reference, row.contradicted_at) == (State.COMPLETED, "ref-1", None)


def test_a_result_goes_to_the_endpoint_that_was_named_and_to_no_other(engine: Engine) -> None:
    owner = make_requester(engine)
    named = make_endpoint(engine, owner, "https://crm.test", EventType.CALL_FINISHED, name="crm")
    make_endpoint(engine, owner, "https://other.test", name="other")
    at(engine, State.COMPLETED, endpoint_id=named.id)
    assert [(row.endpoint_id, row.url) for row in every(engine, Delivery)] == [(named.id, None)]


def test_a_result_with_a_notify_url_goes_there_and_to_no_endpoint(engine: Engine) -> None:
    make_endpoint(engine, make_requester(engine), "https://crm.test")
    at(engine, State.COMPLETED, notify_url="https://once.test/hook")
    assert [(row.endpoint_id, row.url) for row in every(engine, Delivery)] == [(None, "https://once.test/hook")]


def test_any_other_result_goes_to_all_endpoints_of_its_requester_that_take_its_type(engine: Engine) -> None:
    owner, stranger = make_requester(engine), make_requester(engine, "stranger")
    all_types = make_endpoint(engine, owner, "https://a.test", name="a")
    completed = make_endpoint(engine, owner, "https://b.test", EventType.REQUEST_COMPLETED, name="b")
    make_endpoint(engine, owner, "https://c.test", EventType.REQUEST_FAILED, name="c")
    make_endpoint(engine, stranger, "https://d.test", name="d")
    disabled = make_endpoint(engine, owner, "https://e.test", name="e")
    with engine.begin() as connection:
        connection.execute(sa.update(Endpoint).where(Endpoint.id == disabled.id).values(disabled_at=NOW))
    at(engine, State.COMPLETED)
    assert {row.endpoint_id for row in every(engine, Delivery)} == {all_types.id, completed.id}


def test_what_was_not_committed_has_not_happened(engine: Engine) -> None:
    make_endpoint(engine, make_requester(engine), "https://crm.test")
    (id_,) = make_requests(engine)

    def work(session: Session) -> None:
        transition(session, [Move(id_, State.COMPLETED, "test")], LATER)
        raise KeyError

    with pytest.raises(KeyError):
        write(engine, work)
    assert fetch(engine, id_).state is State.QUEUED
    assert (moves(engine, id_), every(engine, Delivery)) == ([("queued", None)], [])
    assert read(engine, counter.of_all) == read(engine, counted)


_GOALS = [*sorted(OPEN) * 4, *sorted(FINAL)]
"""Most walks go on for a while."""


def walk(engine: Engine, ids: Sequence[UUID], seed: int, steps: int) -> int:
    """Sets of moves, legal and not, at random; returns how many landed."""
    chance, landed = random.Random(seed), 0
    for _ in range(steps):
        chosen = chance.sample(ids, 8)
        asked = [Move(id_, chance.choice(_GOALS), f"walker {seed}") for id_ in chosen]
        landed += move(engine, *asked).count(Landing.MOVED)
    return landed


def assert_the_books_agree(engine: Engine, batch_id: UUID, ids: Sequence[UUID]) -> None:
    counts = read(engine, counted)
    assert read(engine, counter.of_all) == counts
    assert read(engine, lambda session: counter.of_batch(session, batch_id)) == counts
    assert read(engine, lambda session: counter.of_batches(session, [batch_id])[batch_id]).items() <= counts.items()
    for id_ in ids:
        path = [to for to, _ in moves(engine, id_)]
        assert all(State(end) in MOVES[State(start)] for start, end in pairwise(path))  # type: ignore[arg-type]
        assert path[-1] == fetch(engine, id_).state
    ended = sum(counts[state] for state in FINAL)
    told = [row for row in every(engine, Delivery) if row.type != EventType.REQUEST_HELD]
    assert len(told) == len({row.request_id for row in told}) == ended


@pytest.mark.parametrize("seed", [1, 2])
def test_counts_history_and_results_agree_with_the_rows_after_a_random_walk(engine: Engine, seed: int) -> None:
    make_endpoint(engine, make_requester(engine), "https://crm.test")
    batch_id = make_batch(engine, 16)
    ids = make_requests(engine, 16, batch_id=batch_id)
    assert walk(engine, ids, seed, 15)
    assert_the_books_agree(engine, batch_id, ids)


def test_they_agree_after_four_walked_over_the_same_rows_at_once(engine: Engine) -> None:
    make_endpoint(engine, make_requester(engine), "https://crm.test")
    batch_id = make_batch(engine, 24)
    ids = make_requests(engine, 24, batch_id=batch_id)
    assert sum(together(*(lambda seed=seed: walk(engine, ids, seed, 12) for seed in range(4))))
    assert_the_books_agree(engine, batch_id, ids)


def test_sets_that_overlap_wait_for_each_other_and_never_deadlock(postgresql: Engine) -> None:
    ids = make_requests(postgresql, 60)

    def stir(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(15):
            asked = [Move(id_, State.QUEUED, "test", due_at=LATER) for id_ in chance.sample(ids, 40)]
            with Session(postgresql) as session, session.begin():  # a deadlock is not tried again here, but raised
                transition(session, asked, LATER)

    together(*(lambda seed=seed: stir(seed) for seed in range(4)))
