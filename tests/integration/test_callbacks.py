"""What upstreams send us: durable before it is answered, once, and for nobody without the token."""

import logging
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr
from sqlalchemy.engine import Engine

from models.inbox import Purpose
from tests.factory import SECRET_KEY
from tests.receiver import Api, chunked, receiver, settings_for
from webhook_receiver.context import BodyLimits
from worker import hints
from worker.signing import Tokens

COMPLETION = b'{"account_id":"7xxx","service_number":"61280740801","status":"completed"}'

PATHS = {"callbacks": Purpose.CALLBACK, "calls": Purpose.CALL, "sms": Purpose.SMS}


def test_what_came_is_stored_as_it_came(api: Api) -> None:
    request_id = uuid4()
    token = api.token(of=request_id)

    answer = api.post(f"/callbacks/avanser/{token}?a=1&b=%2B61", data=COMPLETION, media_type="application/json")

    assert (answer.status_code, answer.data) == (200, b"")
    (kept,) = api.received()
    assert (kept.upstream, kept.purpose, kept.request_id) == ("avanser", Purpose.CALLBACK, request_id)
    assert (kept.method, kept.query, kept.content_type) == ("POST", "a=1&b=%2B61", "application/json")
    assert kept.body == COMPLETION
    assert kept.due_at == kept.received_at


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_each_address_takes_get_and_post(api: Api, path: str, method: str) -> None:
    answer = api.call(method, f"/{path}/avanser/{api.token(PATHS[path])}?callid=1", key=None)

    assert answer.status_code == 200
    assert [(kept.purpose, kept.method) for kept in api.received()] == [(PATHS[path], method)]


def test_a_repeat_gets_the_same_answer_and_has_no_second_effect(api: Api) -> None:
    path = f"/callbacks/avanser/{api.token()}"

    answers = [api.post(path, data=COMPLETION, media_type="application/json").status_code for _ in range(3)]

    assert answers == [200, 200, 200]
    assert len(api.received()) == 1


def test_the_workers_hear_of_it_when_it_can_be_read(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(hints, "inbox", lambda: seen.append(len(api.received())))
    api.post(f"/callbacks/avanser/{api.token()}", data=COMPLETION)

    assert seen == [1]


def test_what_differs_in_anything_is_not_a_repeat(api: Api) -> None:
    path = f"/callbacks/avanser/{api.token()}"
    api.post(path, data=COMPLETION)
    api.post(path, data=COMPLETION + b" ")
    api.post(path, data=COMPLETION, media_type="text/plain")
    api.post(f"{path}?a=1", data=COMPLETION)
    api.get(path)

    assert len(api.received()) == 5


def test_the_same_words_at_two_addresses_are_two_events(api: Api) -> None:
    request_id = uuid4()
    for path, purpose in PATHS.items():
        assert api.get(f"/{path}/avanser/{api.token(purpose, of=request_id)}?status=completed").status_code == 200

    assert [kept.purpose for kept in api.received()] == list(PATHS.values())


def test_everything_wrong_gets_one_and_the_same_404(api: Api) -> None:
    good = api.token()
    of_another_key = Tokens([SecretStr("another key that is long enough, too")]).make(
        "avanser", Purpose.CALLBACK, uuid4()
    )
    wrong = [
        "/callbacks/avanser/nonsense",
        f"/callbacks/avanser/{good[:-1]}",
        f"/callbacks/avanser/{good}=",
        f"/callbacks/avanser/{good.swapcase()}",
        f"/callbacks/avanser/{of_another_key}",
        f"/callbacks/avanser/{api.token(Purpose.CALL)}",
        f"/callbacks/telmetrics/{good}",
        f"/callbacks/nobody/{good}",
        f"/calls/avanser/{good}",
        f"/callbacks/avanser/{good}/more",
        "/callbacks/avanser/%00",
        "/callbacks/avanser/%C3%A9",
        "/callbacks/avanser/",
        "/nowhere",
    ]

    answers = [api.post(path, data=b"x" * 100_000, key=None) for path in wrong]

    assert {answer.status_code for answer in answers} == {404}
    assert len({(answer.data, str(answer.headers)) for answer in answers}) == 1
    assert api.received() == []


def test_a_token_made_with_the_key_before_the_last_is_good(
    monkeypatch: pytest.MonkeyPatch, database_url: str, engine: Engine, tmp_path: Path
) -> None:
    rotated = f"a newer key which is long enough as well,{SECRET_KEY}"
    settings = settings_for(monkeypatch, database_url, str(tmp_path), TRUNKLINE_SECRET_KEY=rotated)
    old = Tokens([SecretStr(SECRET_KEY)]).make("avanser", Purpose.CALLBACK, uuid4())

    with receiver(settings, engine) as api:
        assert api.get(f"/callbacks/avanser/{old}").status_code == 200


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_up_to_65536_bytes_is_taken_and_not_a_byte_more(api: Api, is_chunked: bool) -> None:
    def send(body: bytes) -> int:
        more: dict[str, Any] = chunked(body) if is_chunked else {"data": body}
        return api.post(f"/callbacks/avanser/{api.token()}", **more).status_code

    assert send(b"x" * 65_536) == 200
    assert send(b"x" * 65_537) == 413
    assert [len(kept.body) for kept in api.received()] == [65_536]


def test_a_body_that_breaks_off_is_not_stored(api: Api) -> None:
    half = {"input_stream": BytesIO(COMPLETION[:20]), "environ_overrides": {"CONTENT_LENGTH": str(len(COMPLETION))}}
    answer = api.post(f"/callbacks/avanser/{api.token()}", **half)

    assert answer.status_code == 400
    assert api.received() == []


def test_bytes_that_no_text_column_keeps_are_kept_all_the_same(api: Api) -> None:
    path = f"/callbacks/avanser/{api.token()}"
    answers = [
        api.post(path, data=b"\0\xff\xfe", media_type="text/plain"),
        api.get(path, environ_overrides={"QUERY_STRING": "a=%00&b=\xc3\xa9&c=\xff"}),
        api.post(path, data=b"{}", media_type="application/json; note=" + "x" * 300),
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert [kept.query for kept in api.received()] == ["", "a=%00&b=%C3%A9&c=%FF", ""]


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "DELETE"])
def test_another_method_is_no_news(api: Api, method: str) -> None:
    response = api.app.test_client().open(f"/callbacks/avanser/{api.token()}", method=method)

    assert response.status_code == 405
    assert set(response.headers["Allow"].split(", ")) >= {"GET", "POST"}
    assert api.received() == []


def test_a_query_of_excessive_length_is_refused(api: Api) -> None:
    assert api.get(f"/callbacks/avanser/{api.token()}?a={'x' * 70_000}").status_code == 414
    assert api.received() == []


def test_no_2xx_while_the_database_is_away_and_no_token_in_the_log(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    away = settings_for(monkeypatch, "postgresql+psycopg://nobody:password@127.0.0.1:1/none", str(tmp_path))
    with receiver(away, engine, BodyLimits()) as api, caplog.at_level(logging.DEBUG):
        token = api.token()
        answer = api.post(f"/callbacks/avanser/{token}", data=b"caller 0400123456")

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert "does not answer at /callbacks/<upstream>/<token>" in caplog.text
    assert token not in caplog.text
    assert "0400123456" not in caplog.text
