"""The access log: one line for each HTTP request, with nothing in it that nobody may read."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine

from models.base import make_engine
from models.inbox import Purpose
from tests.factory import KEYRING
from tests.receiver import Api, receiver, settings_for
from webhook_receiver import access_log

LINE = re.compile(r"(\w+) (\S+) (\d{3}) \d+\.\d ms (key=[0-9a-f-]{36}|upstream=\w+|nobody) id=([A-Za-z0-9_.-]{1,64})")
CALLER = "61400000001"


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
def test_a_requests_id_is_taken_and_given_back(logged: Api, caplog: pytest.LogCaptureFixture, sent: str) -> None:
    caplog.set_level(logging.INFO)
    answer = logged.get("/v1/requests", headers={"X-Request-Id": sent})
    assert answer.headers["X-Request-Id"] == sent
    assert lines(caplog)[0].endswith(f" id={sent}")


@pytest.mark.parametrize("sent", ["", "a b", "é", "x" * 65, "a%0aGET /", "id=1"])
def test_an_id_that_is_not_well_formed_is_replaced(logged: Api, caplog: pytest.LogCaptureFixture, sent: str) -> None:
    caplog.set_level(logging.INFO)
    answer = logged.get("/v1/requests", headers={"X-Request-Id": sent})
    made = answer.headers["X-Request-Id"]
    assert re.fullmatch(r"[0-9a-f-]{36}", made)
    assert lines(caplog)[0].endswith(f" id={made}")


def test_without_the_setting_nothing_is_logged_of_a_request(
    monkeypatch: pytest.MonkeyPatch, sqlite_url: str, engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with receiver(settings_for(monkeypatch, sqlite_url, str(tmp_path)), engine) as plain:
        answer = plain.get("/v1/requests")
    assert answer.status_code == 200
    assert "X-Request-Id" not in answer.headers
    assert lines(caplog) == []
