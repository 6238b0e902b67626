"""The access log: one line for each HTTP request, with nothing in it that nobody may read."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy.engine import Engine
from werkzeug.test import TestResponse

from models.base import make_engine, new_id
from models.inbox import Purpose
from tests.factory import KEYRING
from tests.lines import written
from tests.receiver import BODY, Api, receiver, settings_for
from webhook_receiver import access_log

LINE = re.compile(r"(\w+) (\S+) (\d{3}) \d+\.\d ms (key=[0-9a-f-]{36}|upstream=\w+|nobody)")
CALLER = "61400000001"
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def engine(sqlite_url: str) -> Iterator[Engine]:
    engine = make_engine(sqlite_url, keyring=KEYRING)
    yield engine
    engine.dispose()


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch, sqlite_url: str, engine: Engine, tmp_path: Path) -> Iterator[Api]:
    settings = settings_for(monkeypatch, sqlite_url, str(tmp_path), TRUNKLINE_ACCESS_LOG="true")
    with receiver(settings, engine) as running:
        yield running


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.name == access_log.__name__]


def test_a_line_tells_route_status_and_who_and_neither_path_nor_query(
    logged: Api, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token, number = logged.token(Purpose.CALL), "+61280740801"
    logged.call("GET", f"/calls/avanser/{token}?ani={CALLER}", key=None)
    logged.call("POST", f"/callbacks/avanser/{token}", key=None)
    logged.get(f"/v1/numbers/{number}")
    logged.get(f"/v1/calls?number={number}")
    logged.get("/v1/requests", key=None)
    logged.get("/v1/requests", key="tk_wrong")
    logged.get(f"/nowhere/{token}?ani={CALLER}", key=None)
    logged.call("GET", f"/calls/{CALLER}/{token}", key=None)

    found = [LINE.fullmatch(line) for line in lines(caplog)]
    assert [one.group(1, 2, 3) for one in found if one] == [
        ("GET", "/calls/<upstream>/<token>", "200"),
        ("POST", "/callbacks/<upstream>/<token>", "404"),
        ("GET", "/v1/numbers/<number>", "404"),
        ("GET", "/v1/calls", "200"),
        ("GET", "/v1/requests", "401"),
        ("GET", "/v1/requests", "401"),
        ("GET", "none", "404"),
        ("GET", "/calls/<upstream>/<token>", "404"),
    ]
    who = [one[4].partition("=")[0] for one in found if one]
    assert who == ["upstream", "upstream", "key", "key", "nobody", "nobody", "nobody", "nobody"]
    for secret in (token, CALLER, number.removeprefix("+"), logged.key, "tk_wrong"):
        assert secret not in caplog.text


@pytest.mark.parametrize("sent", ["abc-123", "0af7651916cd43dd8448eb211c80319c"])
def test_a_requests_id_is_taken_and_given_back(logged: Api, sent: str) -> None:
    with written() as log:
        answer = logged.get("/v1/requests", headers={"X-Request-Id": sent, "traceparent": f"00-{TRACE}-{'b' * 16}-01"})
    assert answer.headers["X-Request-Id"] == sent
    assert [line["http_id"] for line in log.documents] == [sent] * len(log.documents)
    assert len(log.of(access_log.__name__)) == 1


@pytest.mark.parametrize("sent", [f"00-{TRACE}-{'b' * 16}-01", f"01-{TRACE}-{'b' * 16}-00-more"])
def test_else_the_id_is_that_of_the_trace(logged: Api, sent: str) -> None:
    answer = logged.get("/v1/requests", headers={"traceparent": sent})
    assert answer.headers["X-Request-Id"] == TRACE


def test_a_line_about_a_request_of_ours_names_it_and_the_next_line_does_not(logged: Api, engine: Engine) -> None:
    id_ = str(new_id())
    with written() as log:
        made = logged.post("/v1/requests", json=BODY)
        logged.get(f"/v1/requests/{id_}")
        logged.call("POST", f"/callbacks/avanser/{logged.token(of=made_id(made))}", key=None)
        logged.get("/v1/requests")
        logging.getLogger("a.library").warning("between two")
    about = [(line.get("request_id"), line.get("upstream")) for line in log.of(access_log.__name__)]
    assert about == [(str(made_id(made)), "avanser"), (id_, None), (str(made_id(made)), "avanser"), (None, None)]
    assert "http_id" not in log.of("a.library")[0]


def made_id(answer: TestResponse) -> UUID:
    assert answer.json is not None
    return UUID(answer.json["id"])


BAD_TRACES = [
    "0" * 55,
    f"00-{TRACE.upper()}-{'b' * 16}-01",
    f"00-{'0' * 32}-{'b' * 16}-01",
    f"ff-{TRACE}-{'b' * 16}-01",
]


@pytest.mark.parametrize("sent", ["", "a b", "é", "x" * 65, "a%0aGET /", "id=1", "tk_abcdefgh", *BAD_TRACES])
def test_an_id_that_is_not_well_formed_is_replaced(logged: Api, sent: str) -> None:
    name = "traceparent" if sent in BAD_TRACES else "X-Request-Id"
    with written() as log:
        answer = logged.get("/v1/requests", headers={name: sent})
    made = answer.headers["X-Request-Id"]
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f-]{27}", made)
    assert [line["http_id"] for line in log.of(access_log.__name__)] == [made]


def test_without_the_setting_there_is_no_line_and_an_id_all_the_same(
    monkeypatch: pytest.MonkeyPatch, sqlite_url: str, engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with receiver(settings_for(monkeypatch, sqlite_url, str(tmp_path)), engine) as plain:
        answer = plain.get("/v1/requests", headers={"X-Request-Id": "abc"})
    assert answer.status_code == 200
    assert answer.headers["X-Request-Id"] == "abc"
    assert lines(caplog) == []
