"""An upstream's callback that is read back from the upstream before it ends a request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.engine import Engine

from models.base import make_engine, utc_now, write
from models.number import Number
from models.request import Request
from models.state import Reason, State
from models.transition import Move, transition
from tests.factory import KEYRING, fetch, make_requests
from tests.holding import PERTH, SYDNEY
from tests.integration.test_conformance import SUBJECTS
from tests.receiver import Api, receiver, settings_for
from tests.sandbox import SandboxServer
from tests.working import NAME, ScriptedUpstream, every, history, until_due, working
from worker.inbox import read_inbox
from worker.loop import Loop
from worker.runtime import Runtime
from worker.upstreams.base import Accepted, Completed, NotFound, OutcomeUnknown, Progress, Rejected
from worker.workflow import advance


@pytest.fixture
def careful(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, tmp_path: Path, loop: Loop, client: ScriptedUpstream
) -> Iterator[Runtime]:
    more = {"TRUNKLINE_AVANSER_VERIFY_CALLBACKS": "true"}
    with working(monkeypatch, engine, str(tmp_path), loop, client, **more) as made:
        yield made


def ordered(runtime: Runtime, engine: Engine, client: ScriptedUpstream) -> UUID:
    now = utc_now()
    (id_,) = make_requests(engine, due_at=now, deadline=now + timedelta(days=30))
    client.on_submit = Accepted(SYDNEY, "ref-1")
    advance(runtime, NAME)
    return id_


def call_back(api: Api, id_: UUID, **fields: str) -> None:
    said = {"account_id": "7xxx", "service_number": "61280740801", "status": "completed"} | fields
    path = f"/callbacks/avanser/{api.token(of=id_)}"
    answer = api.post(path, key=None, data=json.dumps(said).encode(), media_type="application/json")
    assert answer.status_code == 200


@pytest.mark.parametrize("status", ["completed", "failed"])
@pytest.mark.parametrize("look", [NotFound(), Progress("not yet"), Accepted(SYDNEY, "ref-1")])
def test_a_callback_that_the_upstreams_list_contradicts_ends_nothing(
    api: Api, careful: Runtime, engine: Engine, client: ScriptedUpstream, status: str, look: Any
) -> None:
    id_, client.on_look_up = ordered(careful, engine, client), look
    call_back(api, id_, status=status)
    read_inbox(careful)
    assert fetch(engine, id_).state is State.ACCEPTED
    assert "Not believed before it is looked up" in str(fetch(engine, id_).detail)
    advance(careful, NAME)
    assert len(client.looks) == 1, "it was looked up at once"
    for _ in range(20):
        assert fetch(engine, id_).state in (State.ACCEPTED, State.HELD)
        until_due(engine)
        advance(careful, NAME)
    row = fetch(engine, id_)
    assert (row.state, row.reason) == (State.HELD, Reason.CALLBACK_MISSING)
    assert every(engine, Number) == []


def test_what_the_list_says_counts_and_not_what_the_callback_said(
    api: Api, careful: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    id_, client.on_look_up = ordered(careful, engine, client), Completed(SYDNEY, "ref-1")
    call_back(api, id_, service_number="61861234567")
    read_inbox(careful)
    advance(careful, NAME)
    row = fetch(engine, id_)
    assert (row.state, row.number, row.contradicted_at) == (State.COMPLETED, SYDNEY, None)
    assert [number.number for number in every(engine, Number)] == [SYDNEY] != [PERTH]
    assert [line["actor"] for line in history(engine, id_) if line.get("to") == "completed"] == ["look_up"]


def test_a_failure_that_the_list_confirms_is_one(
    api: Api, careful: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    id_, client.on_look_up = ordered(careful, engine, client), Rejected(detail="no line")
    call_back(api, id_, status="failed")
    read_inbox(careful)
    advance(careful, NAME)
    assert (fetch(engine, id_).state, fetch(engine, id_).detail) == (State.FAILED, "no line")


def test_an_unverified_callback_leaves_a_held_request_to_its_person(
    api: Api, careful: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    id_ = ordered(careful, engine, client)
    write(engine, lambda s: transition(s, [Move(id_, State.HELD, "test", Reason.CALLBACK_MISSING)], utc_now()))
    call_back(api, id_)
    read_inbox(careful)
    assert (fetch(engine, id_).state, fetch(engine, id_).reason) == (State.HELD, Reason.CALLBACK_MISSING)


def test_an_order_of_unknown_outcome_is_settled_by_the_list_alone(
    api: Api, careful: Runtime, engine: Engine, client: ScriptedUpstream
) -> None:
    now = utc_now()
    (id_,) = make_requests(engine, due_at=now, deadline=now + timedelta(days=30))
    client.on_submit, client.on_look_up = OutcomeUnknown("read time-out"), Accepted(SYDNEY, "ref-1")
    advance(careful, NAME)
    call_back(api, id_)
    read_inbox(careful)
    assert fetch(engine, id_).state is State.SUBMITTING
    until_due(engine)
    advance(careful, NAME)
    assert fetch(engine, id_).state is State.ACCEPTED


def test_a_callback_that_lies_is_found_out_at_the_upstream_itself(
    monkeypatch: pytest.MonkeyPatch, sqlite_url: str, tmp_path: Path, loop: Loop, sandbox: SandboxServer
) -> None:
    """Against the simulated AVANSER, whose order is still pending when somebody who has the token says it is done."""
    sandbox.reset(callback={"delay": 900, "jitter": 0})
    subject = next(one for one in SUBJECTS if one.name == NAME)
    client, engine = subject.client(sandbox), make_engine(sqlite_url, keyring=KEYRING)
    more = {"TRUNKLINE_AVANSER_VERIFY_CALLBACKS": "true"}
    settings = settings_for(monkeypatch, sqlite_url, str(tmp_path))
    with (
        receiver(settings, engine) as api,
        working(monkeypatch, engine, str(tmp_path), loop, client, **more) as runtime,
    ):
        now = utc_now()
        (id_,) = make_requests(engine, spec=dict(subject.spec), due_at=now, deadline=now + timedelta(days=30))
        advance(runtime, NAME)
        before: Request = fetch(engine, id_)
        assert before.state is State.ACCEPTED
        call_back(api, id_, service_number=str(before.number).removeprefix("+"))
        read_inbox(runtime)
        advance(runtime, NAME)
        row: Request = fetch(engine, id_)
        assert (row.state, row.looks) == (State.ACCEPTED, 1)
        assert every(engine, Number) == []
        loop.run(client.close())
    engine.dispose()
