"""The relay: hints for what is due and only as many as are of use, batches that have finished, a sign of life."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import redis
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models import counter, heartbeat, upstream
from models.base import new_id, read, utc_now, write
from models.batch import Batch, BatchState
from models.counter import Count
from models.delivery import Delivery
from models.inbox import Purpose, Received, keep
from models.state import State
from models.transition import Move, transition
from tests.celery_app import forget_connections
from tests.factory import NOW, make_batch, make_endpoint, make_requester, make_requests
from tests.working import NAME, every, together
from worker import hints, relay
from worker.app import DELIVERIES, INBOX, RELAY, UPSTREAM_QUEUES, app, configure, time_limits
from worker.hints import MOST_AT_ONCE
from worker.relay import HEARTBEAT, finish_batches, tick
from worker.runtime import Runtime

AVANSER = UPSTREAM_QUEUES[NAME]


@dataclass
class Broker:
    """In the place of `worker.hints`: what was hinted, and what a queue is said to hold."""

    MOST_AT_ONCE: int = MOST_AT_ONCE
    queues: dict[str, int] = field(default_factory=dict)
    hinted: list[tuple[str, int]] = field(default_factory=list)

    def waiting_in(self, queues: Iterable[str]) -> dict[str, int]:
        return {queue: self.queues.get(queue, 0) for queue in queues}

    def upstream(self, name: str, count: int = 1) -> None:
        self.hinted.append((UPSTREAM_QUEUES[name], count))

    def inbox(self, count: int = 1) -> None:
        self.hinted.append((INBOX, count))

    def deliveries(self, count: int = 1) -> None:
        self.hinted.append((DELIVERIES, count))


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    made = Broker()
    monkeypatch.setattr(relay, "hints", made)
    return made


def end(engine: Engine, *ids: UUID, to: State = State.COMPLETED) -> None:
    write(engine, lambda session: transition(session, [Move(id_, to, "test") for id_ in ids], NOW))


def test_where_nothing_is_due_nothing_is_hinted(runtime: Runtime, engine: Engine, broker: Broker) -> None:
    make_requests(engine, due_at=utc_now() + timedelta(minutes=1))
    tick(runtime)
    assert broker.hinted == []


def test_each_queue_in_which_something_is_due_is_hinted(runtime: Runtime, engine: Engine, broker: Broker) -> None:
    done, _ = make_requests(engine, 2, notify_url="https://once.test", due_at=utc_now())
    end(engine, done)
    make_requests(engine, upstream="telmetrics", due_at=utc_now())
    row = {"upstream": NAME, "purpose": Purpose.CALLBACK, "request_id": done, "method": "POST", "query": ""}
    row |= {"id": new_id(), "digest": "", "content_type": None, "body": b"", "fence": 0, "attempts": 0}
    row |= {"received_at": NOW, "due_at": NOW}
    write(engine, lambda session: keep(session.connection(), [row]))
    assert len(every(engine, Received)) == 1
    tick(runtime)
    assert sorted(broker.hinted) == sorted(
        [(AVANSER, 1), (UPSTREAM_QUEUES["telmetrics"], 1), (INBOX, 1), (DELIVERIES, 1)]
    )


@pytest.mark.parametrize(
    ("due", "waiting", "hinted"), [(50, 0, [1]), (51, 0, [2]), (51, 1, [1]), (51, 2, []), (260, 0, [MOST_AT_ONCE])]
)
def test_as_many_hints_are_sent_as_there_are_chunks_and_none_that_waits_already(
    runtime: Runtime, engine: Engine, broker: Broker, due: int, waiting: int, hinted: list[int]
) -> None:
    make_requests(engine, due, due_at=utc_now())
    broker.queues[AVANSER] = waiting
    tick(runtime)
    assert [count for _, count in broker.hinted] == hinted


def test_orders_for_a_paused_upstream_are_not_hinted(runtime: Runtime, engine: Engine, broker: Broker) -> None:
    make_requests(engine, due_at=utc_now())
    write(engine, lambda session: upstream.pause(session, NAME, "by_person", "", "ada", NOW))
    tick(runtime)
    assert broker.hinted == []


def test_each_tick_is_a_sign_of_life(runtime: Runtime, engine: Engine, broker: Broker) -> None:
    before = utc_now()
    tick(runtime)
    tick(runtime)
    beat = read(engine, lambda session: heartbeat.last_beat(session, HEARTBEAT))
    assert beat is not None
    assert beat >= before


def test_a_batch_finishes_when_its_last_request_has_ended_and_tells_it_once(
    runtime: Runtime, engine: Engine, broker: Broker
) -> None:
    make_endpoint(engine, make_requester(engine), "https://crm.test")
    batch_id, other_id = make_batch(engine, 3), make_batch(engine, 1)
    one, two, three = make_requests(engine, 3, batch_id=batch_id)
    make_requests(engine, 1, batch_id=other_id)
    end(engine, one)
    end(engine, two, to=State.FAILED)
    end(engine, three, to=State.HELD)
    tick(runtime)
    assert {batch.state for batch in every(engine, Batch)} == {BatchState.RUNNING}
    end(engine, three, to=State.CANCELLED)
    broker.hinted.clear()
    tick(runtime)
    tick(runtime)
    batch, other = every(engine, Batch)
    assert (batch.state, other.state) == (BatchState.FINISHED, BatchState.RUNNING)
    assert batch.finished_at is not None
    (told,) = (row for row in every(engine, Delivery) if row.type == "batch.finished")
    assert (told.batch_id, told.data["id"], told.data["state"]) == (batch_id, str(batch_id), "finished")
    counts = {state: count for state, count in told.data["counts"].items() if count}
    assert counts == {"completed": 1, "failed": 1, "cancelled": 1}
    assert told.data["results_url"] == f"/v1/batches/{batch_id}/results.ndjson"
    assert (DELIVERIES, 1) in broker.hinted


def test_a_batch_that_is_still_being_taken_in_does_not_finish(runtime: Runtime, engine: Engine, broker: Broker) -> None:
    batch_id = make_batch(engine, 1, is_sealed=False)
    end(engine, *make_requests(engine, 1, batch_id=batch_id))
    tick(runtime)
    assert every(engine, Batch)[0].finished_at is None


def test_a_cancelled_batch_stays_cancelled_when_it_finishes(runtime: Runtime, engine: Engine, broker: Broker) -> None:
    end(engine, *make_requests(engine, 1, batch_id=make_batch(engine, 1)))
    with engine.begin() as connection:
        connection.execute(sa.update(Batch).values(state=BatchState.CANCELLED))
    tick(runtime)
    (batch,) = every(engine, Batch)
    assert batch.state is BatchState.CANCELLED
    assert batch.finished_at is not None


def test_two_relays_at_once_finish_a_batch_once(engine: Engine) -> None:
    make_endpoint(engine, make_requester(engine), "https://crm.test")
    for _ in range(8):
        end(engine, *make_requests(engine, 1, batch_id=make_batch(engine, 1)))
    finished = together(*(lambda: write(engine, lambda session: finish_batches(session, NOW)) for _ in range(3)))
    assert sum(finished) == 8
    told = [row.batch_id for row in every(engine, Delivery) if row.type == "batch.finished"]
    assert len(told) == len(set(told)) == 8


def test_a_batch_whose_last_two_requests_end_at_the_same_moment_still_finishes(
    postgresql: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    slots = itertools.count()
    monkeypatch.setattr(random, "randrange", lambda most: next(slots) % most)  # in one slot one would wait
    one, two = make_requests(postgresql, 2, batch_id=make_batch(postgresql, 2))

    def finish() -> int:
        return write(postgresql, lambda session: finish_batches(session, NOW))

    with Session(postgresql) as here, here.begin():
        transition(here, [Move(one, State.COMPLETED, "test")], NOW)
        with Session(postgresql) as there, there.begin():
            transition(there, [Move(two, State.COMPLETED, "test")], NOW)
            assert finish() == 0, "neither is committed"
        assert finish() == 0, "the other is not committed"
    assert finish() == 1
    assert finish() == 0


@pytest.fixture
def queues(runtime: Runtime, redis_url: str) -> Iterator[redis.Redis]:
    """The real broker that hints go to."""
    assert hints.flush(timedelta(seconds=30)), "what an earlier test wanted is still on its way"
    old = app.conf.broker_url
    configure(replace(runtime.settings, broker_url=redis_url))
    forget_connections()
    with redis.Redis.from_url(redis_url) as client:
        yield client
    configure(replace(runtime.settings, broker_url=old or runtime.settings.broker_url))
    forget_connections()


def messages(queues: redis.Redis, name: str) -> list[Any]:
    return [json.loads(text) for text in queues.lrange(name, 0, -1)]


def test_hints_reach_the_broker_and_do_not_pile_up(runtime: Runtime, engine: Engine, queues: redis.Redis) -> None:
    make_requests(engine, 120, due_at=utc_now())
    for _ in range(3):
        tick(runtime)
        assert hints.flush()
        assert hints.waiting(AVANSER) == len(messages(queues, AVANSER)) == 3
    assert hints.waiting(INBOX) == 0


def test_a_hint_says_when_a_worker_that_hangs_is_to_be_killed(
    runtime: Runtime, engine: Engine, queues: redis.Redis
) -> None:
    hints.upstream(NAME)
    hints.deliveries()
    assert hints.flush()
    (order,), (delivery,) = messages(queues, AVANSER), messages(queues, DELIVERIES)
    settings = runtime.settings.upstreams[NAME]
    limit = timedelta(seconds=order["headers"]["timelimit"][0])
    assert order["headers"]["task"] == "trunkline.advance"
    assert settings.answer_within < limit < settings.lease
    assert delivery["headers"]["timelimit"][0] == time_limits[DELIVERIES].total_seconds()
    assert app.conf.beat_schedule["relay"]["options"]["time_limit"] == time_limits[RELAY].total_seconds()


def test_a_tick_says_no_time_since_the_workers_clock_may_be_another(runtime: Runtime, queues: redis.Redis) -> None:
    entry = app.conf.beat_schedule["relay"]
    app.send_task(entry["task"], **entry["options"])
    (sent,) = messages(queues, RELAY)
    assert (sent["headers"]["expires"], sent["headers"]["eta"]) == (None, None)


def counts(engine: Engine) -> list[tuple[str, int, int]]:
    rows = read(engine, lambda session: list(session.scalars(sa.select(Count))))
    return sorted((row.state, row.slot, row.n) for row in rows)


def test_the_counts_of_a_finished_batch_are_folded_into_one_row_for_each_state(engine: Engine) -> None:
    batch = make_batch(engine, 40)
    ids = make_requests(engine, 40, batch_id=batch)
    for id_ in ids:
        end = State.FAILED if id_ == ids[0] else State.COMPLETED
        write(engine, lambda session, id_=id_, end=end: transition(session, [Move(id_, end, "worker")], NOW))  # type: ignore[misc]
    assert len(counts(engine)) > 2
    write(engine, lambda session: finish_batches(session, NOW))
    assert counts(engine) == [("completed", 0, 39), ("failed", 0, 1)]
    assert read(engine, lambda session: counter.of_batch(session, batch))[State.COMPLETED] == 39
