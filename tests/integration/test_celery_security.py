"""What a broker that others can write to and read from gives them: no code that runs, and nothing worth reading."""

from __future__ import annotations

import base64
import json
import os
import pickle
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from uuid import uuid4

import pytest
import redis
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.engine import Engine

from models.base import make_engine, new_id, read, utc_now, write
from models.heartbeat import last_beat
from models.inbox import Purpose, Received
from tests.chaos.member import Member
from tests.receiver import environment
from tests.sandbox import eventually
from tests.worker_process import a_worker
from worker import hints
from worker.app import DELIVERIES, INBOX, QUEUES, RELAY, UPSTREAM_QUEUES, app, configure
from worker.relay import HEARTBEAT
from worker.settings import load
from worker.signing import Tokens

PASSWORD, SECRET = "canary-password-of-the-upstream", "canary-secret-key-that-is-long-enough"


class Evil:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._path),)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch, sqlite_url: str, redis_url: str, tmp_path: Path) -> Iterator[Member]:
    """A process as in production, with a child. This process sends to the same broker."""
    secret = {"TRUNKLINE_AVANSER_PASSWORD": PASSWORD, "TRUNKLINE_SECRET_KEY": SECRET}
    with a_worker(monkeypatch, sqlite_url, redis_url, tmp_path, TRUNKLINE_TASK_EVENTS="true", **secret) as running:
        yield running


@pytest.fixture
def engine(sqlite_url: str) -> Iterator[Engine]:
    engine = make_engine(sqlite_url)
    yield engine
    engine.dispose()


def push(redis_url: str, queue: str, body: bytes, content_type: str, headers: dict[str, Any]) -> None:
    """A message as kombu lays it into Redis."""
    properties = {
        "correlation_id": str(uuid4()),
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": queue},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": str(uuid4()),
    }
    message = {
        "body": base64.b64encode(body).decode(),
        "content-encoding": "binary",
        "content-type": content_type,
        "headers": headers,
        "properties": properties,
    }
    with redis.Redis.from_url(redis_url) as client:
        client.lpush(queue, json.dumps(message))


def headers_of(task: str) -> dict[str, Any]:
    """Of a message in Celery's second protocol."""
    id_ = str(uuid4())
    return {"lang": "py", "task": task, "id": id_, "root_id": id_, "parent_id": None, "group": None, "retries": 0}


def is_at_work(engine: Engine) -> bool:
    """Whether a tick that is sent now is done."""
    before = beat(engine)
    app.send_task("trunkline.relay", queue=RELAY)
    return eventually(lambda: beat(engine) != before, within=30)


def beat(engine: Engine) -> datetime | None:
    return read(engine, lambda session: last_beat(session, HEARTBEAT))


def test_a_pickled_message_is_refused_and_nothing_of_it_runs(
    worker: Member, engine: Engine, redis_url: str, tmp_path: Path
) -> None:
    assert is_at_work(engine)
    done, kinds = tmp_path / "evil", ("application/x-python-serialize", "application/x-python-serialize", "pickle")
    evil = Evil(done)
    bodies = [((evil,), {}, {}), evil, {"task": "trunkline.relay", "id": "1", "args": [evil], "kwargs": {}}]
    for kind, content in zip(kinds, bodies, strict=True):
        for queue in QUEUES:
            for headers in (headers_of("trunkline.relay"), headers_of("trunkline.advance"), {}):
                push(redis_url, queue, pickle.dumps(content), kind, headers)
    with redis.Redis.from_url(redis_url) as client:
        eventually(lambda: not any(client.llen(queue) for queue in QUEUES), within=60)
        assert is_at_work(engine)
        eventually(lambda: not client.hlen("unacked"), within=30)
    assert worker.is_alive
    assert not done.exists()
    log = worker.log.read_text()
    assert "Refusing to deserialize" in log or "ContentDisallowed" in log
    pickle.loads(pickle.dumps(evil))  # noqa: S301 -- that it would have done harm
    assert done.exists()


def test_what_inspect_shows_holds_no_secret(worker: Member, redis_url: str) -> None:
    (name,) = eventually(lambda: app.control.inspect(timeout=1).ping() or {}, within=30)
    inspect = app.control.inspect([name], timeout=20)  # by its name: then nobody waits for others to answer
    commands = ("stats", "conf", "report", "registered", "active_queues", "active", "reserved", "scheduled", "revoked")
    shown = {command: getattr(inspect, command)() for command in commands}
    assert all(list(answer) == [name] for answer in shown.values())
    said = json.dumps(shown, default=str)
    assert "trunkline.advance" in said
    broker_password = redis_url.partition("@")[0].rpartition(":")[2]
    assert len(broker_password) > 8
    assert [secret for secret in (PASSWORD, SECRET, broker_password) if secret in said] == []
    log = worker.log.read_text()
    assert [secret for secret in (PASSWORD, SECRET, broker_password) if secret in log] == []


CALLER, TEXT = "61400000123", "canary-text-of-a-message"


def keep_a_call(engine: Engine) -> str:
    """What an upstream sent about a call, in the inbox; its token."""
    id_ = uuid4()
    body = f"ani={CALLER}&callid=1&target={CALLER}&name={TEXT}".encode()
    row = Received(
        id=new_id(), upstream="avanser", purpose=Purpose.CALL, request_id=id_, digest="0" * 64, method="POST",
        query="", content_type="application/x-www-form-urlencoded", body=body, received_at=utc_now(), due_at=utc_now(),
    )  # fmt: skip
    write(engine, lambda session: session.add(row))
    return Tokens([SecretStr(SECRET)]).make("avanser", Purpose.CALL, id_)


def failure_of(task: str) -> dict[str, Any]:
    """What Celery's events tell of the next failure of a task, as Flower would show it."""
    names: dict[str, str] = {}
    failed: SimpleQueue[dict[str, Any]] = SimpleQueue()
    hears = threading.Event()

    def hear(event: dict[str, Any]) -> None:
        hears.set()
        names.setdefault(event.get("uuid", ""), event.get("name", ""))
        if event["type"] == "task-failed" and names[event["uuid"]] == task:
            failed.put(event)

    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": hear})
        listening = threading.Thread(target=receiver.capture, kwargs={"wakeup": False}, daemon=True)
        listening.start()
        try:
            eventually(lambda: is_heard(hears), within=30)
            app.send_task(task, queue=INBOX)
            return failed.get(timeout=30)
        finally:
            receiver.should_stop = True
            listening.join(30)


def is_heard(hears: threading.Event) -> bool:
    """Whether one tick more was heard of: what was told before the receiver listened is told to nobody."""
    app.send_task("trunkline.relay", queue=RELAY)
    return hears.wait(2)


def test_the_traceback_of_a_task_that_fails_holds_no_secret_in_log_events_or_inspect(
    worker: Member, engine: Engine
) -> None:
    assert is_at_work(engine)
    token = keep_a_call(engine)
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE requests RENAME TO requests_away"))
    event = failure_of("trunkline.read_inbox")
    eventually(lambda: "Task trunkline.read_inbox" in worker.log.read_text(), within=30)
    assert "OperationalError" in event["exception"]
    assert "Traceback" in event["traceback"]
    inspect = app.control.inspect(timeout=20)
    shown = json.dumps([inspect.active(), inspect.reserved(), inspect.stats()], default=str)
    (line,) = (one for one in map(json.loads, worker.log.read_text().splitlines()) if one.get("hint") == event["uuid"])
    assert "Traceback" in line["exception"]
    said = "\n".join([worker.log.read_text(), json.dumps(event, default=str), shown])
    assert [secret for secret in (PASSWORD, SECRET, CALLER, TEXT, token) if secret in said] == []


def test_a_message_names_a_queues_upstream_and_holds_nothing_else(
    monkeypatch: pytest.MonkeyPatch, sqlite_url: str, redis_url: str, tmp_path: Path
) -> None:
    for name, value in (environment(sqlite_url, str(tmp_path)) | {"TRUNKLINE_BROKER_URL": redis_url}).items():
        monkeypatch.setenv(name, value)
    configure(load())
    names = {queue: [name] for name, queue in UPSTREAM_QUEUES.items()} | {INBOX: [], DELIVERIES: []}
    for queue in names:
        hints._send(queue, 1)
    with redis.Redis.from_url(redis_url) as client:
        for queue, args in names.items():
            (message,) = (json.loads(one) for one in client.lrange(queue, 0, -1))
            nothing = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
            assert json.loads(base64.b64decode(message["body"])) == [args, {}, nothing]
            assert message["content-type"] == "application/json"
            headers = message["headers"]
            assert headers["kwargsrepr"] == "{}"
            assert headers["argsrepr"] in (repr(args), repr(tuple(args)))
