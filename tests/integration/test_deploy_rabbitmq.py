"""The definitions of RabbitMQ: a real one loads them, and a worker finds everything as it would declare it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kombu
import pytest
from sqlalchemy.engine import Engine

from models.base import read
from models.heartbeat import last_beat
from tests.conftest import or_skip
from tests.deployed import DEPLOY
from tests.receiver import environment
from tests.sandbox import eventually
from tests.services import Server
from tests.services.amqp import rabbitmq
from worker.app import QUEUES
from worker.relay import HEARTBEAT

DEFINITIONS: dict[str, Any] = json.loads((DEPLOY / "rabbitmq" / "definitions.json").read_text())

DEAD = "trunkline.dead"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with or_skip(), rabbitmq(DEFINITIONS) as running:
        yield running


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """One kind will do: what is tried here is the broker."""
    return sqlite_url


def log_of(server: Server) -> str:
    return (server._program.folder / "log").read_text(errors="replace")


def test_they_hold_every_queue_of_ours_and_one_for_dead_letters() -> None:
    assert {queue["name"] for queue in DEFINITIONS["queues"]} == {*QUEUES, DEAD}
    assert {queue["arguments"]["x-queue-type"] for queue in DEFINITIONS["queues"]} == {"quorum"}
    bound = {one["destination"] for one in DEFINITIONS["bindings"]}
    assert bound == {queue["name"] for queue in DEFINITIONS["queues"]}


def test_no_password_is_in_them_and_the_user_may_manage_nothing() -> None:
    (user,) = DEFINITIONS["users"]
    assert user["password_hash"] == ""
    assert user["tags"] == []
    (rights,) = DEFINITIONS["permissions"]
    assert ".*" not in (rights["configure"], rights["write"], rights["read"])


def test_relay_and_worker_work_on_them_with_these_rights(server: Server, engine: Engine, tmp_path: Path) -> None:
    settings = environment(engine.url.render_as_string(hide_password=False), str(tmp_path))
    settings |= {"TRUNKLINE_BROKER_URL": server.url}
    log = tmp_path / "log"
    with log.open("wb") as output:
        running = [
            subprocess.Popen(
                [sys.executable, "-m", "worker.cli", *words], env=os.environ | settings, stdout=output, stderr=output
            )
            for words in (["worker", "--concurrency", "1"], ["relay"])
        ]
    try:
        eventually(lambda: read(engine, lambda session: last_beat(session, HEARTBEAT)) is not None, 40)
    finally:
        for process in running:
            process.terminate()
        ended = [process.wait(60) for process in running]
    assert ended == [0, 0], log.read_text()
    assert "Unrecoverable" not in log.read_text()
    for refused in ("ACCESS_REFUSED", "access_refused", "PRECONDITION_FAILED", "precondition_failed"):
        assert refused not in log.read_text() + log_of(server)


def test_a_message_that_is_refused_is_kept_among_the_dead_letters(server: Server) -> None:
    with kombu.Connection(server.url) as connection, connection.channel() as channel:
        live, dead = kombu.Queue(QUEUES[0], channel=channel), kombu.Queue(DEAD, channel=channel)
        live.purge()
        kombu.Producer(channel, routing_key=QUEUES[0]).publish({"hint": 1})
        eventually(lambda: refuse(live), 10)
        eventually(lambda: (found := dead.get(no_ack=True)) is not None and found.payload == {"hint": 1}, 20)


def refuse(queue: kombu.Queue) -> bool:
    """The message that is there, if there is one."""
    message = queue.get()
    if message is None:
        return False
    message.reject()
    return True


def test_the_user_may_make_nothing_that_is_not_ours(server: Server) -> None:
    with kombu.Connection(server.url) as connection, connection.channel() as channel:
        foreign = kombu.Queue("somebody-elses", channel=channel)
        with pytest.raises(Exception, match="ACCESS_REFUSED"):
            foreign.declare()
