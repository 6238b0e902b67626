"""Reading what upstreams sent: applied once, in sets, whatever else is in the set."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.engine import Engine

from models.base import new_id, utc_now, write
from models.call import Call
from models.delivery import Delivery
from models.due import claim
from models.inbox import Purpose, Received, keep
from models.request import Kind
from models.state import Reason, State
from models.transition import Move, transition
from tests.factory import fetch, make_endpoint, make_requester, make_requests
from tests.working import NAME, every, history, let_pass, moves, together
from worker import inbox
from worker.fault import Fault
from worker.inbox import LEASE, NO_READER, NO_REQUEST, read_inbox
from worker.runtime import Runtime
from worker.upstreams import DIALECTS
from worker.upstreams.base import (
    Answer,
    Completed,
    Dialect,
    FinishedCall,
    Incoming,
    Progress,
    Rejected,
    Unreadable,
)

SYDNEY, PERTH = "+61280740801", "+61861234567"


class PlainDialect(Dialect):
    """Reads bodies such as `completed +61280740801` and `call 17`."""

    name = NAME

    def check(self, kind: Kind, spec: Mapping[str, Any]) -> list[Fault]:
        return []

    def read_completion(self, incoming: Incoming) -> Answer:
        match incoming.body.decode().split():
            case ["completed", number]:
                return Completed(number, "ref-1")
            case ["failed", detail]:
                return Rejected(detail=detail)
            case ["pending"]:
                return Progress("it takes its time")
            case ["lone-surrogate"]:
                return Completed(SYDNEY, "\ud800")
            case ["bug"]:
                raise KeyError("status")
        raise Unreadable("no word that we know")

    def read_calls(self, incoming: Incoming) -> list[FinishedCall]:
        _, reference = incoming.body.decode().split()
        return [FinishedCall(reference, None, "+61400000001", None, "answered", 61, None, None, {"id": reference})]


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DIALECTS, NAME, PlainDialect())


def came(engine: Engine, id_: UUID, body: str, purpose: Purpose = Purpose.CALLBACK, name: str = NAME) -> bool:
    now = utc_now()
    row = {
        "id": new_id(),
        "upstream": name,
        "purpose": purpose,
        "request_id": id_,
        "digest": hashlib.sha256(body.encode()).hexdigest(),
        "method": "POST",
        "query": "",
        "content_type": None,
        "body": body.encode(),
        "received_at": now,
        "due_at": now,
        "fence": 0,
        "attempts": 0,
    }
    return bool(write(engine, lambda session: keep(session.connection(), [row])))


def accepted(engine: Engine, count: int = 1, **fields: Any) -> list[UUID]:
    ids = make_requests(engine, count, **fields)
    ordered = [Move(id_, State.ACCEPTED, "worker", changes={"number": SYDNEY}) for id_ in ids]
    write(engine, lambda session: transition(session, ordered, utc_now()))
    return ids


def assert_applied(engine: Engine) -> None:
    for row in every(engine, Received):
        assert (row.due_at, row.problem) == (None, None)
        assert row.applied_at is not None


def test_a_completion_ends_its_request_and_is_told(runtime: Runtime, engine: Engine) -> None:
    (id_,) = accepted(engine, notify_url="https://once.test")
    came(engine, id_, f"completed {SYDNEY}")
    assert read_inbox(runtime) is False
    row = fetch(engine, id_)
    assert (row.state, row.number, row.upstream_reference) == (State.COMPLETED, SYDNEY, "ref-1")
    assert [told.type for told in every(engine, Delivery)] == ["request.completed"]
    assert_applied(engine)
    line = next(line for line in history(engine, id_) if line["type"] == "callback")
    assert (line["actor"], line["says"], line["method"]) == (NAME, "completed", "POST")


def test_the_same_words_twice_are_one_row(runtime: Runtime, engine: Engine) -> None:
    (id_,) = accepted(engine)
    assert came(engine, id_, f"completed {SYDNEY}")
    assert not came(engine, id_, f"completed {SYDNEY}")
    read_inbox(runtime)
    assert not came(engine, id_, f"completed {SYDNEY}")
    assert len(every(engine, Received)) == 1


def test_a_refusal_ends_its_request(runtime: Runtime, engine: Engine) -> None:
    (id_,) = accepted(engine)
    came(engine, id_, "failed no-line")
    read_inbox(runtime)
    row = fetch(engine, id_)
    assert (row.state, row.reason, row.detail) == (State.FAILED, Reason.UPSTREAM_REJECTED, "no-line")


def test_news_that_settle_nothing_are_remembered(runtime: Runtime, engine: Engine) -> None:
    (id_,) = accepted(engine)
    came(engine, id_, "pending")
    read_inbox(runtime)
    assert fetch(engine, id_).state is State.ACCEPTED
    assert history(engine, id_)[-1]["detail"] == "it takes its time"
    assert_applied(engine)


def test_a_completion_for_an_order_that_looked_absent_completes_it(runtime: Runtime, engine: Engine) -> None:
    (id_,) = make_requests(engine)
    came(engine, id_, f"completed {SYDNEY}")
    read_inbox(runtime)
    assert fetch(engine, id_).state is State.COMPLETED


def test_contradicting_news_in_one_set_are_applied_in_the_order_in_which_they_came(
    runtime: Runtime, engine: Engine
) -> None:
    (id_,) = accepted(engine)
    came(engine, id_, f"completed {SYDNEY}")
    came(engine, id_, "failed after-all")
    read_inbox(runtime)
    row = fetch(engine, id_)
    assert row.state is State.COMPLETED
    assert row.contradicted_at is not None
    assert_applied(engine)


def test_another_number_than_the_one_that_was_acknowledged_is_seen(runtime: Runtime, engine: Engine) -> None:
    (id_,) = accepted(engine)
    came(engine, id_, f"completed {PERTH}")
    read_inbox(runtime)
    row = fetch(engine, id_)
    assert (row.state, row.number) == (State.COMPLETED, PERTH)
    assert row.contradicted_at is not None


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("garbled", "no word that we know"),
        ("bug", "Trunkline's own reader failed: KeyError"),
        ("lone-surrogate", "The database cannot hold what it says."),
    ],
)
def test_what_cannot_be_understood_stays_visible_and_hinders_no_other(
    runtime: Runtime, engine: Engine, body: str, problem: str
) -> None:
    good, bad, fine = accepted(engine, 3)
    came(engine, good, f"completed {SYDNEY}")
    came(engine, bad, body)
    came(engine, fine, f"completed {SYDNEY}")
    read_inbox(runtime)
    assert [fetch(engine, id_).state for id_ in (good, bad, fine)] == [
        State.COMPLETED,
        State.ACCEPTED,
        State.COMPLETED,
    ]
    (row,) = (row for row in every(engine, Received) if row.request_id == bad)
    assert (row.problem, row.applied_at, row.due_at, row.body) == (problem, None, None, body.encode())
    assert history(engine, bad)[-1]["says"] == "unreadable"


def test_a_message_from_an_upstream_that_nobody_reads_is_kept(runtime: Runtime, engine: Engine) -> None:
    (id_,) = accepted(engine)
    came(engine, id_, "hello", Purpose.SMS)
    came(engine, id_, "hello there", name="acme")
    read_inbox(runtime)
    assert [row.problem for row in every(engine, Received)] == ["avanser sends no messages", NO_READER]


def test_news_about_a_request_that_is_not_there_are_kept(runtime: Runtime, engine: Engine) -> None:
    (id_,) = accepted(engine)
    came(engine, new_id(), f"completed {SYDNEY}")
    came(engine, new_id(), "call 17", Purpose.CALL)
    came(engine, id_, f"completed {SYDNEY}")
    read_inbox(runtime)
    assert [row.problem for row in every(engine, Received)] == [NO_REQUEST, NO_REQUEST, None]
    assert fetch(engine, id_).state is State.COMPLETED
    assert every(engine, Call) == []


def test_a_call_is_stored_and_told_once_however_often_it_comes(runtime: Runtime, engine: Engine) -> None:
    make_endpoint(engine, make_requester(engine), "https://crm.test")
    (id_,) = accepted(engine)
    came(engine, id_, "call 17", Purpose.CALL)
    came(engine, id_, "call  17", Purpose.CALL)
    read_inbox(runtime)
    came(engine, id_, "call   17", Purpose.CALL)
    read_inbox(runtime)
    (call,) = every(engine, Call)
    assert (call.upstream_reference, call.request_id, call.number, call.duration) == ("17", id_, SYDNEY, 61)
    (told,) = every(engine, Delivery)
    assert (told.type, told.data["id"], told.data["caller"]) == ("call.finished", str(call.id), "+61400000001")
    assert fetch(engine, id_).state is State.ACCEPTED
    assert_applied(engine)


def test_a_call_is_told_where_the_results_of_its_request_go(runtime: Runtime, engine: Engine) -> None:
    (id_,) = accepted(engine, notify_url="https://once.test")
    came(engine, id_, "call 17", Purpose.CALL)
    read_inbox(runtime)
    assert [told.url for told in every(engine, Delivery)] == ["https://once.test"]


def test_more_than_a_chunk_says_so(runtime: Runtime, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "CHUNK", 2)
    for id_ in accepted(engine, 3):
        came(engine, id_, f"completed {SYDNEY}")
    assert read_inbox(runtime) is True
    assert read_inbox(runtime) is False
    assert_applied(engine)


def test_what_a_dead_reader_held_is_read_by_another(runtime: Runtime, engine: Engine) -> None:
    (id_,) = accepted(engine)
    came(engine, id_, f"completed {SYDNEY}")
    write(engine, lambda session: claim(session, Received, 10, utc_now(), LEASE))
    read_inbox(runtime)
    assert fetch(engine, id_).state is State.ACCEPTED
    let_pass(engine, LEASE + timedelta(seconds=1))
    read_inbox(runtime)
    assert fetch(engine, id_).state is State.COMPLETED


def test_readers_at_the_same_time_apply_everything_once(runtime: Runtime, engine: Engine) -> None:
    make_endpoint(engine, make_requester(engine), "https://crm.test")
    ids = accepted(engine, 60)
    for id_ in ids:
        came(engine, id_, f"completed {SYDNEY}")
        came(engine, id_, f"call {id_}", Purpose.CALL)
    inboxes = together(*(lambda: [read_inbox(runtime) for _ in range(3)] for _ in range(3)))
    assert len(inboxes) == 3
    assert_applied(engine)
    for id_ in ids:
        assert [to for to, _ in moves(engine, id_)] == ["queued", "accepted", "completed"]
    assert len(every(engine, Delivery)) == 120
