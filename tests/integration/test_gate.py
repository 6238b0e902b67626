"""Who may tell us something: until when, and from which addresses."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy.engine import Engine
from werkzeug.test import TestResponse

from models.base import new_id, utc_now
from models.clock import Clock
from models.inbox import Purpose
from models.request import Kind
from tests.factory import fetch, make_requests
from tests.holding import ask, complete, done
from tests.receiver import Api, receiver, settings_for
from tests.working import NAME
from webhook_receiver.gate import Gate
from worker.signing import PORTAL

PATHS = {Purpose.CALLBACK: "callbacks", Purpose.CALL: "calls", Purpose.SMS: "sms"}


class Later(Clock):
    """So many days on."""

    def __init__(self, days: float) -> None:
        self._ahead = timedelta(days=days)

    def now(self) -> datetime:
        return utc_now() + self._ahead


def in_days(api: Api, days: float) -> None:
    """From now on the receiver's day is this one."""
    here = api.app.extensions["trunkline"]
    gate = Gate(api.settings, api.engine, Later(days))
    api.app.extensions["trunkline"] = replace(here, gate=gate)


def tell(api: Api, purpose: Purpose, id_: UUID, **more: Any) -> TestResponse:
    path = f"/{PATHS[purpose]}/{NAME}/{api.token(purpose, of=id_)}"
    return api.post(path, key=None, data=json.dumps({"n": random.random()}).encode(), **more)


def form(answer: TestResponse) -> tuple[int, bytes, str]:
    return answer.status_code, answer.data, str(answer.headers)


def test_the_address_of_a_request_that_ended_long_ago_is_closed(api: Api) -> None:
    id_ = done(api.engine, at=utc_now())
    forged = form(api.post(f"/callbacks/avanser/{api.token()[:-1]}", key=None, data=b"x"))
    in_days(api, 6.9)
    assert tell(api, Purpose.CALLBACK, id_).status_code == 200
    in_days(api, 7.1)
    assert form(tell(api, Purpose.CALLBACK, id_)) == forged
    assert len(api.received()) == 1


def test_days_count_from_the_end_and_not_from_the_beginning(api: Api) -> None:
    (open_,) = make_requests(api.engine, due_at=utc_now(), deadline=utc_now() + timedelta(days=400))
    ended = ask(api.engine)
    complete(api.engine, ended, at=utc_now() + timedelta(days=95))
    in_days(api, 100)
    assert [tell(api, Purpose.CALLBACK, id_).status_code for id_ in (open_, ended)] == [200, 200]


def test_how_long_is_a_setting(
    monkeypatch: pytest.MonkeyPatch, database_url: str, engine: Engine, tmp_path: Path
) -> None:
    settings = settings_for(monkeypatch, database_url, str(tmp_path), TRUNKLINE_CALLBACKS_OPEN_FOR="0.5")
    with receiver(settings, engine) as api:
        id_ = done(engine, at=utc_now())
        in_days(api, 0.6)
        assert tell(api, Purpose.CALLBACK, id_).status_code == 404


@pytest.mark.parametrize("purpose", [Purpose.CALL, Purpose.SMS])
def test_the_addresses_for_calls_and_messages_are_good_while_the_number_is_held(api: Api, purpose: Purpose) -> None:
    id_ = done(api.engine, at=utc_now())
    changed = done(api.engine, Kind.UPDATE, at=utc_now())
    in_days(api, 1_000)
    assert [tell(api, purpose, one).status_code for one in (id_, changed)] == [200, 200]

    done(api.engine, Kind.RELEASE, at=utc_now() + timedelta(days=1_000))
    in_days(api, 1_006)
    assert [tell(api, purpose, one).status_code for one in (id_, changed)] == [200, 200]
    in_days(api, 1_008)
    assert [tell(api, purpose, one).status_code for one in (id_, changed)] == [404, 404]


def test_the_addresses_in_a_vendors_portal_close_never(api: Api) -> None:
    in_days(api, 1_000)
    assert tell(api, Purpose.CALL, PORTAL).status_code == 200


def test_of_a_request_that_is_not_there_everything_is_kept(api: Api) -> None:
    lost = new_id()
    in_days(api, 1_000)
    assert tell(api, Purpose.CALLBACK, lost).status_code == 200


def test_only_what_is_old_costs_a_look_and_only_one_in_some_minutes(api: Api) -> None:
    id_, asked = done(api.engine, at=utc_now()), []

    def hear(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "FROM requests" in statement:
            asked.append(statement)

    sqlalchemy_event.listen(Engine, "before_cursor_execute", hear)
    try:
        tell(api, Purpose.CALL, id_)
        assert asked == [], "a young id tells its age itself"
        in_days(api, 1_000)
        for _ in range(5):
            assert tell(api, Purpose.CALL, id_).status_code == 200
        assert len(asked) == 1
    finally:
        sqlalchemy_event.remove(Engine, "before_cursor_execute", hear)


def test_ten_thousand_forgeries_get_one_answer_and_change_nothing(api: Api) -> None:
    """Each a good token with some bits or characters changed, or of another address, at the right one's place."""
    id_, chance = done(api.engine, at=utc_now()), random.Random(6)
    good, before = api.token(of=id_), fetch(api.engine, id_)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    client, answers = api.app.test_client(), set()
    for _ in range(10_000):
        places = chance.sample(range(len(good)), chance.randint(1, 4))
        forged = "".join(chance.choice(letters.replace(c, "")) if n in places else c for n, c in enumerate(good))
        said = client.post(f"/callbacks/avanser/{forged}", data=b'{"status":"completed"}')
        answers.add((said.status_code, said.data, str(said.headers)))
    assert [status for status, *_ in answers] == [404], "one kind of forgery can be told from another"
    assert api.received() == []
    assert fetch(api.engine, id_).updated_at == before.updated_at


@contextmanager
def behind(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, tmp_path: Path, allowed: str, proxies: int
) -> Iterator[Api]:
    url = engine.url.render_as_string(hide_password=False)
    more = {"TRUNKLINE_AVANSER_CALLBACKS_FROM": allowed, "TRUNKLINE_TRUSTED_PROXIES": str(proxies)}
    with receiver(settings_for(monkeypatch, url, str(tmp_path), **more), engine) as api:
        yield api


UPSTREAM, OTHER, PROXY, INNER = "203.0.113.7", "198.51.100.9", "10.0.0.1", "10.0.0.2"


@pytest.mark.parametrize(
    ("allowed", "proxies", "peer", "forwarded", "status"),
    [
        ("", 0, OTHER, None, 200),
        ("203.0.113.0/24", 0, UPSTREAM, None, 200),
        ("203.0.113.0/24", 0, f"::ffff:{UPSTREAM}", None, 200),
        ("203.0.113.0/24, 2001:db8::/32", 0, "2001:db8::7", None, 200),
        ("203.0.113.7", 0, UPSTREAM, None, 200),
        ("203.0.113.0/24", 0, OTHER, None, 404),
        ("203.0.113.0/24", 0, "2001:db8::7", None, 404),
        ("203.0.113.0/24", 0, "", None, 404),
        ("203.0.113.0/24", 0, OTHER, UPSTREAM, 404),  # no proxy is trusted: the header is the sender's own
        ("203.0.113.0/24", 1, PROXY, UPSTREAM, 200),
        ("203.0.113.0/24", 1, PROXY, OTHER, 404),
        ("203.0.113.0/24", 1, PROXY, f"{UPSTREAM}, {OTHER}", 404),  # the sender wrote the first
        ("203.0.113.0/24", 1, PROXY, f"{OTHER}, {UPSTREAM}", 200),
        ("203.0.113.0/24", 1, PROXY, None, 404),
        ("203.0.113.0/24", 2, PROXY, f"{UPSTREAM}, {INNER}", 200),
        ("203.0.113.0/24", 2, PROXY, f"{UPSTREAM}, {OTHER}, {INNER}", 404),
        ("203.0.113.0/24", 2, PROXY, UPSTREAM, 404),  # it came past the first proxy
        ("203.0.113.0/24", 1, PROXY, "nonsense", 404),
    ],
)
def test_only_an_upstreams_own_addresses_are_heard_where_they_are_set(
    monkeypatch: pytest.MonkeyPatch,
    engine: Engine,
    tmp_path: Path,
    allowed: str,
    proxies: int,
    peer: str,
    forwarded: str | None,
    status: int,
) -> None:
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    with behind(monkeypatch, engine, tmp_path, allowed, proxies) as api:
        wrong = form(api.post("/callbacks/avanser/nonsense", key=None))
        for purpose in Purpose:
            answer = tell(api, purpose, uuid4(), headers=headers, environ_overrides={"REMOTE_ADDR": peer})
            assert answer.status_code == status
            assert status == 200 or form(answer) == wrong
        assert len(api.received()) == (3 if status == 200 else 0)


def test_one_upstreams_addresses_are_not_anothers(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, tmp_path: Path
) -> None:
    with behind(monkeypatch, engine, tmp_path, UPSTREAM, 0) as api:
        path = f"/callbacks/telmetrics/{api.token(upstream='telmetrics')}"
        assert api.post(path, key=None, environ_overrides={"REMOTE_ADDR": OTHER}).status_code == 200
