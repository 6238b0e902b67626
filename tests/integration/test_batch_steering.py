"""A batch that a person pauses, resumes or cancels: nothing new of it is ordered, and what is out goes on."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from models import counter, parking
from models.base import read, write
from models.batch import Batch, BatchState
from models.delivery import Delivery
from models.due import claim_requests
from models.request import Request
from models.state import Reason, State
from tests.factory import NOW, fetch, make_batch, make_endpoint, make_requester, make_requests
from worker import batch_steering, relay
from worker.steering import NotNow

LEASE = timedelta(seconds=30)


def steer(engine: Engine, act: str, batch_id: UUID) -> Batch:
    return write(engine, lambda session: batch_steering.ACTS[act](session, batch_id, "ann"))


def sort_out(engine: Engine) -> int:
    return write(engine, lambda session: parking.sort_out(session, NOW))


def claimed(engine: Engine, count: int = 10) -> set[UUID]:
    return {
        one.request.id for one in write(engine, lambda session: claim_requests(session, "avanser", count, NOW, LEASE))
    }


def finish(engine: Engine) -> None:
    write(engine, lambda session: relay.finish_batches(session, NOW))


def state_of(engine: Engine, batch_id: UUID) -> BatchState:
    return read(engine, lambda session: session.get_one(Batch, batch_id)).state


def is_steered(engine: Engine, batch_id: UUID) -> bool:
    return read(engine, lambda session: session.get_one(Batch, batch_id)).is_steered


def test_of_a_paused_batch_nothing_more_is_ordered_from_that_moment_on(engine: Engine) -> None:
    batch = make_batch(engine, 3)
    make_requests(engine, 3, batch_id=batch)
    others = make_requests(engine, 2, batch_id=make_batch(engine, 2))
    steer(engine, "pause", batch)
    assert claimed(engine) == set(others)
    assert claimed(engine) == set()


def test_its_requests_say_why_they_wait_and_come_back_when_it_is_resumed(engine: Engine) -> None:
    batch = make_batch(engine, 3)
    ids = make_requests(engine, 3, batch_id=batch)
    steer(engine, "pause", batch)
    assert sort_out(engine) == 3
    row = fetch(engine, ids[0])
    assert (row.state, row.reason, row.due_at) == (State.QUEUED, Reason.BATCH_PAUSED, None)
    assert row.detail == "Its batch was paused by ann."
    assert sort_out(engine) == 0, "once is enough"
    steer(engine, "resume", batch)
    assert sort_out(engine) == 3
    assert not is_steered(engine, batch), "nobody looks at it each second from now on"
    assert claimed(engine) == set(ids)


def test_what_is_ordered_is_looked_up_while_its_batch_is_paused(engine: Engine) -> None:
    batch = make_batch(engine, 2)
    ids = make_requests(engine, 2, batch_id=batch)
    first = claimed(engine, 1)
    steer(engine, "pause", batch)
    later = NOW + 2 * LEASE
    again = write(engine, lambda session: claim_requests(session, "avanser", 10, later, LEASE))
    assert {one.request.id for one in again} == first < set(ids)
    assert write(engine, lambda session: parking.sort_out(session, later + 2 * LEASE)) == 1


def test_a_cancelled_batch_ends_all_that_is_not_ordered_and_tells_of_it(engine: Engine) -> None:
    make_endpoint(engine, make_requester(engine), "https://example.com/hook")
    batch = make_batch(engine, 3)
    ids = make_requests(engine, 3, batch_id=batch)
    (ordered,) = claimed(engine, 1)
    steer(engine, "cancel", batch)
    assert claimed(engine) == set()
    assert sort_out(engine) == 2
    ended = [fetch(engine, id_) for id_ in ids if id_ != ordered]
    assert {(row.state, row.reason) for row in ended} == {(State.CANCELLED, Reason.BY_PERSON)}
    assert ended[0].detail == "Its batch was cancelled by ann before it was ordered."
    told = read(engine, lambda session: session.scalars(sa.select(Delivery.type)).all())
    assert list(told) == ["request.cancelled"] * 2
    assert fetch(engine, ordered).state is State.SUBMITTING
    finish(engine)
    assert state_of(engine, batch) is BatchState.CANCELLED
    assert is_steered(engine, batch), "one is still out, and may come back"


def test_one_that_comes_back_unordered_after_its_batch_was_cancelled_is_cancelled_too(engine: Engine) -> None:
    batch = make_batch(engine, 1)
    (id_,) = make_requests(engine, 1, batch_id=batch)
    claimed(engine)
    steer(engine, "cancel", batch)
    sort_out(engine)
    write(engine, lambda session: _came_back(session.get_one(Request, id_)))
    write(engine, lambda session: counter.add(session, _moved(session.get_one(Request, id_))))
    assert sort_out(engine) == 1
    assert fetch(engine, id_).state is State.CANCELLED
    finish(engine)
    sort_out(engine)
    assert state_of(engine, batch) is BatchState.CANCELLED
    assert not is_steered(engine, batch)


def _came_back(row: Request) -> None:
    row.state, row.due_at = State.QUEUED, NOW


def _moved(row: Request) -> dict[counter.Key, int]:
    key = (row.requester_id, row.batch_id or counter.NO_BATCH, row.upstream)
    return {(*key, State.SUBMITTING): -1, (*key, State.QUEUED): 1}


def test_a_parked_batch_can_be_cancelled(engine: Engine) -> None:
    batch = make_batch(engine, 3)
    make_requests(engine, 3, batch_id=batch)
    steer(engine, "pause", batch)
    sort_out(engine)
    steer(engine, "cancel", batch)
    assert sort_out(engine) == 3
    assert read(engine, lambda session: counter.of_batch(session, batch))[State.CANCELLED] == 3


def test_a_long_batch_is_sorted_out_piece_by_piece(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parking, "CHUNK", 2)
    batch = make_batch(engine, 5)
    make_requests(engine, 5, batch_id=batch)
    steer(engine, "pause", batch)
    assert [sort_out(engine) for _ in range(4)] == [2, 2, 1, 0]
    steer(engine, "resume", batch)
    assert [sort_out(engine) for _ in range(4)] == [2, 2, 1, 0]
    steer(engine, "cancel", batch)
    assert [sort_out(engine) for _ in range(4)] == [2, 2, 1, 0]


def test_what_has_ended_is_not_steered(engine: Engine) -> None:
    batch = make_batch(engine, 0)
    finish(engine)
    for act in ("pause", "resume", "cancel"):
        with pytest.raises(NotNow, match="all its requests have ended: it is finished"):
            steer(engine, act, batch)
    cancelled = make_batch(engine, 1)
    make_requests(engine, 1, batch_id=cancelled)
    steer(engine, "cancel", cancelled)
    assert steer(engine, "cancel", cancelled).state is BatchState.CANCELLED
    with pytest.raises(NotNow, match="submit the rows that are still wanted as a new batch"):
        steer(engine, "resume", cancelled)
