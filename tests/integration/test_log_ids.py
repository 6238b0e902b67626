"""Whatever goes wrong is logged with the ids of what it went wrong with."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.engine import Engine

from models.base import make_engine
from models.inbox import Purpose
from tests.catcher import Catcher
from tests.factory import KEYRING, make_batch, make_endpoint, make_requester, make_requests
from tests.holding import ask, complete
from tests.receiver import receiver
from tests.working import NAME, ScriptedUpstream, working
from worker.deliver import deliver
from worker.logs import LogFormat, formatter
from worker.loop import Loop
from worker.upstreams.base import Completed, Misconfigured, Order
from worker.workflow import advance


class Lines(logging.Handler):
    """The lines as they would be written, at the moment when they are."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(formatter(LogFormat.JSON))
        self.written: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.written.append(json.loads(self.format(record)))

    def of(self, logger: str) -> list[dict[str, Any]]:
        return [line for line in self.written if line["logger"] == logger]


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler = Lines()
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)


@pytest.fixture
def engine(sqlite_url: str) -> Iterator[Engine]:
    engine = make_engine(sqlite_url, keyring=KEYRING)
    yield engine
    engine.dispose()


def test_a_line_about_a_request_names_it_its_batch_its_upstream_and_the_attempt(
    lines: Lines, monkeypatch: pytest.MonkeyPatch, engine: Engine, tmp_path: Path, loop: Loop
) -> None:
    batch = make_batch(engine, 2)
    ids = make_requests(engine, 2, batch_id=batch)

    def fail_one(order: Order) -> Completed:
        if order.request_id == ids[0]:
            raise ZeroDivisionError
        return Completed("+61280740801")

    with working(monkeypatch, engine, str(tmp_path), loop, ScriptedUpstream(on_submit=fail_one)) as runtime:
        advance(runtime, NAME)
    (line,) = lines.of("worker.workflow")
    assert "ZeroDivisionError" in line["exception"]
    named = {key: line.get(key) for key in ("request_id", "batch_id", "upstream", "attempt", "requests")}
    about = {"request_id": str(ids[0]), "batch_id": str(batch), "upstream": NAME, "attempt": 1, "requests": None}
    assert named == about


def test_a_line_about_a_set_names_its_upstream_and_its_size(
    lines: Lines, monkeypatch: pytest.MonkeyPatch, engine: Engine, tmp_path: Path, loop: Loop
) -> None:
    make_requests(engine, 3)
    refused = ScriptedUpstream(on_submit=Misconfigured("the upstream refused our credentials (HTTP 401)"))
    with working(monkeypatch, engine, str(tmp_path), loop, refused) as runtime:
        advance(runtime, NAME)
    (line,) = lines.of("worker.pausing")
    assert (line["upstream"], line["requests"], line.get("request_id")) == (NAME, 3, None)


def test_a_line_about_a_result_names_delivery_request_and_endpoint(
    lines: Lines, monkeypatch: pytest.MonkeyPatch, engine: Engine, tmp_path: Path, loop: Loop
) -> None:
    with Catcher(204) as crm, working(monkeypatch, engine, str(tmp_path), loop, ScriptedUpstream()) as runtime:
        place = make_endpoint(engine, make_requester(engine), crm.url)
        id_ = ask(engine)
        complete(engine, id_)
        monkeypatch.setattr(runtime.destinations, "post", None)
        deliver(runtime)
        runtime.lanes.drain(timedelta(seconds=10))
    (line,) = lines.of("worker.deliver")
    assert (line["request_id"], line["endpoint_id"], line["attempt"]) == (str(id_), str(place.id), 1)
    assert line["delivery_id"] in line["event"]


def test_what_goes_wrong_while_a_callback_is_taken_names_the_http_request_and_ours(
    lines: Lines, monkeypatch: pytest.MonkeyPatch, engine: Engine, tmp_path: Path, loop: Loop
) -> None:
    request_id = uuid4()
    with (
        working(monkeypatch, engine, str(tmp_path), loop, ScriptedUpstream()) as runtime,
        receiver(runtime.settings, engine) as api,
    ):
        monkeypatch.setattr(api.app.extensions["trunkline"].keeper, "keep", None)
        path = f"/callbacks/{NAME}/{api.token(Purpose.CALLBACK, of=request_id)}"
        answer = api.post(path, data=b"{}", key=None, headers={"X-Request-Id": "theirs"})
        api.get(f"/v1/requests/{request_id}", headers={"X-Request-Id": "next"})
        api.app.logger.warning("after that")
    assert (answer.status_code, answer.headers["X-Request-Id"]) == (500, "theirs")
    (line,) = lines.of("webhook_receiver.problems")
    named = {key: line.get(key) for key in ("http_id", "upstream", "request_id")}
    assert named == {"http_id": "theirs", "upstream": NAME, "request_id": str(request_id)}
    after = lines.written[-1]
    assert (after["http_id"], after.get("upstream")) == ("next", None)
