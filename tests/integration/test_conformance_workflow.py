"""Every client in the real workflow: whatever strikes, the ledger shows one order, and its number is ours."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from time import sleep
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.engine import Engine

from models import upstream
from models.base import make_engine, utc_now, write
from models.number import Number
from models.request import Kind, Request
from models.state import Reason, State
from tests.factory import KEYRING, fetch, make_requests
from tests.integration.test_conformance import SUBJECTS, Subject
from tests.sandbox import SandboxServer, eventually
from tests.working import every, is_paused, until_due, working
from worker.limits import Limits
from worker.loop import Loop
from worker.runtime import Runtime
from worker.workflow import advance

ROUNDS = 12
"""Of waiting until something is due: enough for two looks, an order made again, and a look for its end."""


@pytest.fixture
def sandbox(server: SandboxServer) -> SandboxServer:
    server.reset(callback={"delay": 0, "jitter": 0})
    return server


@pytest.fixture(params=SUBJECTS, ids=lambda subject: subject.name)
def subject(request: pytest.FixtureRequest) -> Subject:
    found: Subject = request.param
    return found


@pytest.fixture
def engine(sqlite_url: str) -> Iterator[Engine]:
    """One kind of database will do: what is tried here is the upstream's side."""
    engine = make_engine(sqlite_url, keyring=KEYRING)
    yield engine
    engine.dispose()


@pytest.fixture
def runtime(
    monkeypatch: pytest.MonkeyPatch,
    engine: Engine,
    tmp_path: Path,
    loop: Loop,
    subject: Subject,
    sandbox: SandboxServer,
) -> Iterator[Runtime]:
    prefix = f"TRUNKLINE_{subject.name.upper()}"
    limits = {f"{prefix}_TIMEOUT": "1", f"{prefix}_RATE": "1000", "TRUNKLINE_RELEASE_DELAY": "0"}
    client = subject.client(sandbox)
    with working(monkeypatch, engine, str(tmp_path), loop, client, **limits) as made:
        yield made
        loop.run(client.close())


def ask(engine: Engine, subject: Subject, kind: Kind = Kind.PROVISION, **fields: Any) -> UUID:
    now = utc_now()
    spec = {Kind.PROVISION: subject.spec, Kind.UPDATE: subject.change, Kind.RELEASE: {}}[kind]
    given: dict[str, Any] = {"upstream": subject.name, "kind": kind, "spec": dict(spec), "due_at": now} | fields
    (id_,) = make_requests(engine, 1, deadline=now + timedelta(days=30), **given)
    return id_


def carry_on(runtime: Runtime, subject: Subject, id_: UUID) -> Request:
    """Let time pass until the request has ended, or a person is asked."""
    for _ in range(ROUNDS):
        advance(runtime, subject.name)
        row = fetch(runtime.engine, id_)
        if row.due_at is None:
            return row
        if row.state is State.ACCEPTED:
            sleep(0.05)  # the upstream is another process, and on a busy machine it needs its time
        until_due(runtime.engine)
        runtime.limits = Limits(None)  # which know nothing of time that only passed for the rows
    return fetch(runtime.engine, id_)


FAULTS = [
    "rate_limited",
    "error_before_effect",
    "error_after_effect",
    "timeout_before_effect",
    "timeout_after_effect",
    "reset_before_effect",
    "reset_after_effect",
    "unreadable_after_effect",
    "slow_body",
    "taken_meanwhile",
]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_provision_that_is_struck_once_is_ordered_once(
    runtime: Runtime, engine: Engine, subject: Subject, sandbox: SandboxServer, fault: str
) -> None:
    strike = {"fault": fault, "upstream": subject.name, "on": ["provision"], "times": 1, "seconds": 1.5}
    sandbox.script(callback={"delay": 0, "jitter": 0}, faults=[strike])
    id_ = ask(engine, subject)
    row = carry_on(runtime, subject, id_)
    assert (row.state, row.reason) == (State.COMPLETED, None)
    (entry,) = sandbox.ledger(upstream=subject.name, kind="provision")
    assert str(row.number).endswith(str(entry["number"]).lstrip("+"))
    (held,) = every(engine, Number)
    assert (held.number, held.request_id, held.released_at) == (row.number, id_, None)


def test_an_order_that_lands_after_our_time_out_is_adopted(
    runtime: Runtime, engine: Engine, subject: Subject, sandbox: SandboxServer
) -> None:
    strike = {"fault": "timeout_then_effect", "upstream": subject.name, "on": ["provision"], "times": 1, "seconds": 1.5}
    sandbox.script(callback={"delay": 0, "jitter": 0}, faults=[strike])
    id_ = ask(engine, subject)
    advance(runtime, subject.name)
    assert fetch(engine, id_).reason == Reason.OUTCOME_UNKNOWN
    assert sandbox.ledger(upstream=subject.name) == []
    (entry,) = eventually(lambda: sandbox.ledger(upstream=subject.name))
    row = carry_on(runtime, subject, id_)
    assert row.state is State.COMPLETED
    assert str(row.number).endswith(str(entry["number"]).lstrip("+"))
    assert len(sandbox.ledger(upstream=subject.name)) == 1


@pytest.mark.parametrize("fault", FAULTS[:-1])
@pytest.mark.parametrize("kind", [Kind.UPDATE, Kind.RELEASE])
def test_a_change_that_is_struck_once_is_made(
    runtime: Runtime, engine: Engine, subject: Subject, sandbox: SandboxServer, kind: Kind, fault: str
) -> None:
    bought = carry_on(runtime, subject, ask(engine, subject))
    strike = {"fault": fault, "upstream": subject.name, "on": [kind.value], "times": 1, "seconds": 1.5}
    sandbox.script(callback={"delay": 0, "jitter": 0}, faults=[strike])
    row = carry_on(runtime, subject, ask(engine, subject, kind, number=bought.number))
    assert (row.state, row.reason) == (State.COMPLETED, None)
    assert 1 <= len(sandbox.ledger(upstream=subject.name, kind=kind.value)) <= 2, "a change may be made twice"
    (held,) = every(engine, Number)
    assert (held.released_at is None) is (kind is Kind.UPDATE)


def test_wrong_credentials_pause_that_upstream_and_burn_no_attempt(
    runtime: Runtime, engine: Engine, subject: Subject, sandbox: SandboxServer, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.script(
        callback={"delay": 0, "jitter": 0},
        faults=[{"fault": "wrong_credentials", "upstream": subject.name, "on": ["provision"]}],
    )
    id_ = ask(engine, subject)
    advance(runtime, subject.name)
    row = fetch(engine, id_)
    assert (row.state, row.reason, row.retries) == (State.QUEUED, Reason.UPSTREAM_PAUSED, 0)
    assert is_paused(engine, subject.name) == "credentials_refused"
    assert f"upstream {subject.name} is paused" in caplog.text
    sandbox.script(callback={"delay": 0, "jitter": 0})
    write(engine, lambda session: upstream.resume(session, subject.name))
    until_due(engine)
    assert carry_on(runtime, subject, id_).state is State.COMPLETED
    assert len(sandbox.ledger(upstream=subject.name, kind="provision")) == 1


def test_fifty_orders_at_once_get_fifty_numbers(
    runtime: Runtime, engine: Engine, subject: Subject, sandbox: SandboxServer
) -> None:
    now = utc_now()
    ids = make_requests(
        engine, 50, upstream=subject.name, spec=dict(subject.spec), due_at=now, deadline=now + timedelta(days=30)
    )
    for id_ in ids:
        assert carry_on(runtime, subject, id_).state is State.COMPLETED
    summary = sandbox.summary()
    assert (summary["orders"], summary["numbers_taken"], summary["bought_twice"]) == (50, 50, 0)
