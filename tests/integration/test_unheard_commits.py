"""PostgreSQL commits and nobody hears of it: what our code does next must be right for both outcomes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from models import base, counter
from models.base import make_engine, new_id, read, utc_now, write
from models.delivery import Delivery, DeliveryState
from models.event import Event
from models.inbox import Purpose, Received, keep
from models.request import Request
from models.state import State
from models.transition import Move, transition
from tests.catcher import Catcher
from tests.chaos.proxy import Proxy
from tests.factory import KEYRING, NOW, fetch, make_endpoint, make_requester, make_requests
from tests.tiny_dialect import TinyDialect
from tests.working import NAME, ScriptedUpstream, every, until_due, working
from webhook_receiver.keeping import Keeper
from worker.deliver import deliver
from worker.inbox import read_inbox
from worker.intake import Intake
from worker.loop import Loop
from worker.runtime import Runtime
from worker.upstreams.base import Accepted, NotFound
from worker.workflow import advance

BODY: dict[str, Any] = {"upstream": NAME, "spec": {"name": "x"}}
HOUR = timedelta(hours=1)

Do = Callable[[Engine, Callable[[Session], int]], int]


@pytest.fixture
def proxy(postgresql_url: str) -> Iterator[Proxy]:
    with Proxy(sa.make_url(postgresql_url).port or 0) as running:
        yield running


@pytest.fixture
def engine(proxy: Proxy, postgresql_url: str) -> Iterator[Engine]:
    """What our code works with."""
    made = make_engine(proxy.url(postgresql_url), keyring=KEYRING)
    yield made
    made.dispose()


@pytest.fixture
def runtime(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, tmp_path: Path, loop: Loop, client: ScriptedUpstream
) -> Iterator[Runtime]:
    with working(monkeypatch, engine, str(tmp_path), loop, client) as made:
        yield made


def history(engine: Engine) -> Counter[str]:
    """How often each kind of thing happened."""
    return Counter(str(row.type) for row in every(engine, Event))


def unheard(engine: Engine, proxy: Proxy, nth: int, work: Callable[[], object]) -> None:
    """Do this; the nth of its commits is not heard of."""
    commits = count(1)

    def cut(_: object) -> None:
        if next(commits) == nth:
            proxy.cut_after_commit(1)

    sa.event.listen(engine, "commit", cut)
    with pytest.raises(OperationalError):
        work()
    sa.event.remove(engine, "commit", cut)
    assert proxy.cuts == 1


@pytest.mark.parametrize("key", [None, "a key"])
@pytest.mark.parametrize("times", [1, 3])
def test_a_request_whose_commit_nobody_heard_of_is_taken_once(
    runtime: Runtime, engine: Engine, proxy: Proxy, key: str | None, times: int
) -> None:
    owner = make_requester(engine).id
    intake = Intake(engine, runtime.settings, {NAME: TinyDialect()})
    proxy.cut_after_commit(times)
    taken = intake.take_one(owner, BODY, key, NOW, "test")
    assert proxy.cuts == 1  # the repetition finds it, writes nothing, and is heard
    (row,) = every(engine, Request)
    assert (taken.id, taken.is_new) == (row.id, True)
    assert history(engine) == {"state": 1}
    assert read(engine, counter.of_all)[State.QUEUED] == 1
    proxy.cut_after_commit(0)
    assert intake.take_one(owner, BODY, key, NOW, "test").is_new is (key is None)


def test_only_what_is_repeatable_is_repeated(engine: Engine, proxy: Proxy) -> None:
    runs: list[int] = []

    def work(session: Session) -> int:
        runs.append(1)
        session.execute(sa.text("DELETE FROM requesters"))
        session.execute(sa.text("INSERT INTO requesters VALUES (gen_random_uuid(), 'n', 's', now())"))
        return 5

    unheard(engine, proxy, 1, lambda: write(engine, work))
    assert len(runs) == 1
    proxy.cut_after_commit(2)
    assert write(engine, work, repeatable=True) == 5
    assert len(runs) == 4


def test_what_is_repeatable_is_given_up_when_the_database_stays_away(engine: Engine, proxy: Proxy) -> None:
    def work(session: Session) -> None:
        session.execute(sa.text("SELECT 1"))
        proxy.refuse()
        proxy.cut()
        session.execute(sa.text("SELECT 2"))

    with pytest.raises(OperationalError):
        write(engine, work, repeatable=True)


@pytest.mark.parametrize("do", [write, read])
def test_what_breaks_before_its_commit_is_done_again(engine: Engine, proxy: Proxy, do: Do) -> None:
    runs: list[int] = []

    def work(session: Session) -> int:
        runs.append(1)
        session.execute(sa.text("SELECT 1"))
        if len(runs) == 1:
            proxy.cut()
        return int(session.execute(sa.text("SELECT 5")).scalar_one())

    assert do(engine, work) == 5
    assert len(runs) == 2


@pytest.mark.parametrize(("assumed", "runs_expected"), [(timedelta(0), 1), (timedelta(minutes=1), 2)])
def test_a_connection_that_was_idle_is_tried_before_it_is_used(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, proxy: Proxy, assumed: timedelta, runs_expected: int
) -> None:
    monkeypatch.setattr(base, "ASSUMED_ALIVE", assumed)
    runs: list[int] = []

    def work(session: Session) -> int:
        runs.append(1)
        return int(session.execute(sa.text("SELECT 5")).scalar_one())

    write(engine, work)
    proxy.cut()
    runs.clear()
    assert write(engine, work) == 5
    assert len(runs) == runs_expected


@pytest.mark.parametrize(("nth", "ordered_before"), [(1, 0), (2, 1)], ids=["claim", "answer"])
def test_an_order_is_made_once_and_its_answer_written_once(
    runtime: Runtime, engine: Engine, proxy: Proxy, client: ScriptedUpstream, nth: int, ordered_before: int
) -> None:
    client.on_submit, client.on_look_up = Accepted("ref-1"), NotFound()
    (id_,) = make_requests(engine, due_at=utc_now(), deadline=utc_now() + HOUR)
    unheard(engine, proxy, nth, lambda: advance(runtime, NAME))
    assert len(client.orders) == ordered_before
    while fetch(engine, id_).state is not State.ACCEPTED:
        until_due(engine)
        advance(runtime, NAME)
    assert len(client.orders) == 1
    assert history(engine)["attempt"] == 1 + len(client.looks)
    assert read(engine, counter.of_all)[State.ACCEPTED] == 1


def received(request_id: UUID) -> dict[str, Any]:
    body = b'{"status": "completed", "service_number": "61280740801"}'
    now = utc_now()
    return {
        "id": new_id(), "upstream": NAME, "purpose": Purpose.CALLBACK, "request_id": request_id,
        "digest": hashlib.sha256(body).hexdigest(), "method": "POST", "query": "", "content_type": "application/json",
        "body": body, "received_at": now, "due_at": now, "fence": 0, "attempts": 0, "applied_at": None, "problem": None,
    }  # fmt: skip


def test_a_callback_is_kept_once(engine: Engine, proxy: Proxy) -> None:
    request_id = new_id()

    def come() -> bool:
        return Keeper(engine).keep(received(request_id))

    cuts = iter([proxy.cut])
    sa.event.listen(engine, "before_cursor_execute", lambda *_: next(cuts, lambda: None)())
    assert come() is True
    assert come() is False
    assert len(every(engine, Received)) == 1


@pytest.mark.parametrize("nth", [1, 2], ids=["claim", "application"])
def test_a_callback_is_applied_once(runtime: Runtime, engine: Engine, proxy: Proxy, nth: int) -> None:
    make_endpoint(engine, make_requester(engine), "http://127.0.0.1:1/")
    (id_,) = make_requests(engine)
    with engine.begin() as connection:
        keep(connection, [received(id_)])
    unheard(engine, proxy, nth, lambda: read_inbox(runtime))
    until_due(engine)
    read_inbox(runtime)
    assert fetch(engine, id_).state is State.COMPLETED
    assert history(engine) == {"state": 2, "callback": 1}
    assert len(every(engine, Delivery)) == 1


@pytest.mark.parametrize("nth", [1, 2], ids=["claim", "receipt"])
def test_a_result_arrives_once(runtime: Runtime, engine: Engine, proxy: Proxy, nth: int) -> None:
    with Catcher(204) as crm:
        make_endpoint(engine, make_requester(engine), crm.url)
        (id_,) = make_requests(engine)
        write(engine, lambda session: transition(session, [Move(id_, State.FAILED, "test")], utc_now()))
        unheard(engine, proxy, nth, lambda: deliver(runtime))
        until_due(engine)
        deliver(runtime)
        assert len(crm.caught) == 1
    (row,) = every(engine, Delivery)
    assert row.state is DeliveryState.DELIVERED
    assert history(engine)["delivery"] == 1
