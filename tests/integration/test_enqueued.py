"""Requests that backends put straight on the queue: taken by the API's rules, once each, or kept with the reason."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from models import standing
from models.act import Act
from models.base import make_engine, new_id, read
from models.clock import make_clock
from models.dead_letter import LONGEST_BODY, DeadLetter
from models.intake import Taken
from models.request import Request
from models.user import Role
from tests import services
from tests.chaos.member import Member
from tests.factory import KEYRING, fetch, make_requester
from tests.integration.cli import Cli, cli, environment
from tests.integration.console import Browser, make_user
from tests.receiver import BODY, Api
from tests.sandbox import eventually
from tests.worker_process import a_worker
from tests.working import every
from worker import enqueued, hints
from worker.enqueued import Message
from worker.settings import Settings, load

__all__ = ["cli", "environment"]


@pytest.fixture
def engine(cli: Cli) -> Engine:
    make_requester(cli.engine)
    return cli.engine


@pytest.fixture
def configured(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("TRUNKLINE_QUEUE_REQUESTERS", "default,crm")
    monkeypatch.setattr(hints, "upstream", lambda _: None)
    return load()


def put(engine: Engine, settings: Settings, *args: Any, **given: Any) -> bool:
    return enqueued.take_or_bury(engine, settings, make_clock(engine), Message.of(args, given))


def the_letter(engine: Engine) -> DeadLetter:
    (row,) = every(engine, DeadLetter)
    assert isinstance(row, DeadLetter)
    return row


def test_a_request_is_taken_once_however_often_it_comes(engine: Engine, configured: Settings) -> None:
    for _ in range(3):
        assert put(engine, configured, BODY, idempotency_key="dealer-17")
    (row,) = every(engine, Request)
    assert (row.idempotency_key, row.upstream, row.spec) == ("dealer-17", "avanser", BODY["spec"])
    assert every(engine, DeadLetter) == []


def test_it_is_taken_for_the_requester_that_is_named(engine: Engine, configured: Settings) -> None:
    crm = make_requester(engine, "crm")
    assert put(engine, configured, BODY, idempotency_key="dealer-17", requester="crm")
    assert put(engine, configured, BODY, idempotency_key="dealer-17")
    assert sorted(row.requester_id == crm.id for row in every(engine, Request)) == [False, True]


README = (Path(__file__).parents[2] / "README.md").read_text()

_SECTION = README.partition("\n## Straight on the queue\n")[2].partition("\n## ")[0]

(PRODUCER,) = re.findall(r"^```python\n(.*?)^```$", _SECTION, re.DOTALL | re.MULTILINE)

HUGE = {**BODY, "custom_group": "x" * (LONGEST_BODY + 1)}


@pytest.mark.parametrize(
    ("args", "given", "reason", "said"),
    [
        ([BODY], {}, "no_idempotency_key", "idempotency_key"),
        ([BODY], {"idempotency_key": ""}, "invalid", "255"),
        ([BODY], {"idempotency_key": "\x00\ud800"}, "invalid", "printable"),
        ([BODY], {"idempotency_key": "a", "requester": "\x00\ud800"}, "requester_not_allowed", "QUEUE_REQUESTERS"),
        ([{**BODY, "custom_group": "\ud800"}], {"idempotency_key": "a"}, "invalid", "/custom_group"),
        ([{**BODY, "upstream": "nobody"}], {"idempotency_key": "a"}, "invalid", "/upstream"),
        ([{"upstream": "avanser"}], {"idempotency_key": "a"}, "invalid", "/spec"),
        (["a text"], {"idempotency_key": "a"}, "invalid", "must be an object"),
        ([], {"idempotency_key": "a"}, "invalid", "must be an object"),
        ([BODY, BODY], {"idempotency_key": "a"}, "invalid", "must be an object"),
        ([{**BODY, "custom_id": "\x00"}], {"idempotency_key": "a"}, "invalid", "/custom_id"),
        ([{**BODY, "custom_id": float("nan")}], {"idempotency_key": "a"}, "invalid", "NaN"),
        ([HUGE], {"idempotency_key": "a"}, "too_large", "bytes"),
        ([BODY], {"idempotency_key": "a", "requester": "other"}, "requester_not_allowed", "QUEUE_REQUESTERS"),
        ([BODY], {"idempotency_key": "a", "requester": None}, "requester_not_allowed", "QUEUE_REQUESTERS"),
        ([BODY], {"idempotency_key": "a", "requester": "crm"}, "unknown_requester", "first key"),
    ],
)
def test_what_cannot_be_taken_is_kept_with_the_reason(
    engine: Engine, configured: Settings, args: list[Any], given: dict[str, Any], reason: str, said: str
) -> None:
    for _ in range(2):  # the broker may give it out again: it is one dead letter
        assert not put(engine, configured, *args, **given)
    row = the_letter(engine)
    assert row.reason == reason
    assert said in row.detail
    assert row.is_whole is (args != [HUGE])
    assert every(engine, Request) == []
    assert read(engine, standing.dead_letters) == 1


def test_another_body_under_the_same_key_is_kept(engine: Engine, configured: Settings) -> None:
    assert put(engine, configured, BODY, idempotency_key="a")
    assert not put(engine, configured, {**BODY, "custom_id": "other"}, idempotency_key="a")
    assert the_letter(engine).reason == "idempotency_key_reused"
    assert len(every(engine, Request)) == 1


def test_it_waits_while_the_database_is_away(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, configured: Settings
) -> None:
    tries: list[float] = []

    def away(*args: Any, **given: Any) -> Taken:
        if len(tries) < 3:
            raise sa.exc.OperationalError("SELECT", {}, Exception("away"))
        return take(*args, **given)

    take = enqueued.take
    monkeypatch.setattr(enqueued, "take", away)
    monkeypatch.setattr(enqueued, "sleep", tries.append)
    assert put(engine, configured, BODY, idempotency_key="a")
    assert len(tries) == 3
    assert len(every(engine, Request)) == 1


def test_a_fault_of_ours_costs_no_request(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, configured: Settings, cli: Cli
) -> None:
    take = enqueued.take

    def fail(*_: Any, **__: Any) -> Taken:
        raise KeyError("a fault")

    monkeypatch.setattr(enqueued, "take", fail)
    assert not put(engine, configured, BODY, idempotency_key="a")
    monkeypatch.setattr(enqueued, "take", take)
    assert the_letter(engine).reason == "failed"
    cli.run("dead-letters", "replay", the_letter(engine).id)
    assert len(every(engine, Request)) == 1


def test_a_dead_letter_is_mended_and_replayed(engine: Engine, configured: Settings, cli: Cli, tmp_path: Path) -> None:
    put(engine, configured, {**BODY, "upstream": "nobody"}, idempotency_key="dealer-17")
    (listed,) = cli.json("dead-letters", "list")["data"]
    assert (listed["reason"], listed["requester"]) == ("invalid", "default")
    assert "/upstream" in cli.run("dead-letters", "list").stdout
    assert "nobody" in cli.run("dead-letters", "show", listed["id"]).stdout
    assert "upstream" in cli.run("dead-letters", "replay", listed["id"], status=1).stdout
    (mended := tmp_path / "mended.json").write_text(json.dumps(BODY))
    done = cli.json("dead-letters", "replay", listed["id"], "--body", mended)
    row = fetch(engine, UUID(done["request"]))
    assert row.idempotency_key == "dealer-17"
    assert cli.json("dead-letters", "list")["data"] == []
    (settled,) = cli.json("dead-letters", "list", "--all")["data"]
    assert (settled["settlement"], settled["request"]) == ("replayed", done["request"])
    assert "replayed" in cli.run("dead-letters", "replay", listed["id"], status=2).stderr
    assert [(one.act, one.subject) for one in every(engine, Act)] == [("dead_letter.replay", listed["id"])]
    assert len(every(engine, Request)) == 1


def test_one_without_a_key_gets_one(engine: Engine, configured: Settings, cli: Cli) -> None:
    put(engine, configured, BODY)
    id_ = str(the_letter(engine).id)
    done = cli.json("dead-letters", "replay", id_, "--idempotency-key", "dealer-17")
    assert fetch(engine, UUID(done["request"])).idempotency_key == "dealer-17"


def test_one_that_was_taken_by_another_way_meanwhile_is_settled_with_that_request(
    engine: Engine, configured: Settings, cli: Cli
) -> None:
    put(engine, configured, BODY)
    put(engine, configured, BODY, idempotency_key="a")
    (row,) = every(engine, Request)
    done = cli.json("dead-letters", "replay", the_letter(engine).id, "--idempotency-key", "a")
    assert done["request"] == str(row.id)
    assert the_letter(engine).settlement == "replayed"


def test_one_is_discarded_with_a_reason_and_may_come_again(engine: Engine, configured: Settings, cli: Cli) -> None:
    put(engine, configured, BODY)
    id_ = the_letter(engine).id
    assert "--reason" in cli.run("dead-letters", "discard", id_, status=2).stderr
    cli.run("dead-letters", "discard", id_, "--reason", "a test")
    assert "discarded" in cli.run("dead-letters", "discard", id_, "--reason", "a test", status=2).stderr
    assert [(one.act, one.reason) for one in every(engine, Act)] == [("dead_letter.discard", "a test")]
    put(engine, configured, BODY)
    assert len(every(engine, DeadLetter)) == 2


def test_there_is_no_such_one(cli: Cli) -> None:
    for words in (["show"], ["replay"], ["discard", "--reason", "x"]):
        assert "no dead letter" in cli.run("dead-letters", *words, new_id(), status=2).stderr


def test_the_overview_and_the_console_name_them(api: Api) -> None:
    bury = "<script>alert(1)</script>"
    settings = load()
    enqueued.take_or_bury(api.engine, settings, make_clock(api.engine), Message.of([{"upstream": bury}], {}))
    make_user(api.engine, "ann", Role.VIEWER)
    browser = Browser(api.app.test_client())
    browser.sign_in("ann")
    assert "1 request on the queue could not be taken" in browser.get("/overview").get_data(as_text=True)
    said = browser.get("/dead-letters").get_data(as_text=True)
    assert f"trunkline dead-letters show {the_letter(api.engine).id}" in said
    assert bury not in said


@pytest.fixture(params=["redis", "rabbitmq"])
def broker_url(request: pytest.FixtureRequest) -> str:
    if request.param == "redis":
        return str(request.getfixturevalue("redis_url"))
    server: services.Server = request.getfixturevalue("rabbitmq_server")
    return server.url


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch, sqlite_url: str, broker_url: str, tmp_path: Path) -> Iterator[Member]:
    with a_worker(monkeypatch, sqlite_url, broker_url, tmp_path) as running:
        yield running


def test_the_producer_in_the_readme_sends_it(sqlite_url: str, broker_url: str, worker: Member) -> None:
    """It knows nothing of Trunkline but the names of task and queue. What it sends while no worker runs is not lost."""
    engine = make_engine(sqlite_url, keyring=KEYRING)
    make_requester(engine)

    def send(key: str) -> None:
        words = PRODUCER.replace('"idempotency_key": "dealer-21"', key)
        command = [sys.executable, "-c", words]
        subprocess.run(command, env=os.environ | {"BROKER": broker_url}, check=True, timeout=60)

    for key in ('"idempotency_key": "dealer-21"', '"idempotency_key": "dealer-21"', ""):
        send(key)
    eventually(lambda: every(engine, Request) and every(engine, DeadLetter), within=30)
    worker.kill()
    send('"idempotency_key": "dealer-22"')
    worker.start()
    eventually(lambda: len(every(engine, Request)) == 2, within=60)
    assert sorted(row.idempotency_key for row in every(engine, Request)) == ["dealer-21", "dealer-22"]
    assert the_letter(engine).reason == "no_idempotency_key"
    engine.dispose()
