"""The receiver under test: the application on a database, called as a requester or an upstream calls it.

Every answer is held against the form that the API's document promises for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from models.base import Base, read, utc_now, write
from models.batch import Batch
from models.counter import Count
from models.event import Event
from models.inbox import Purpose, Received
from models.request import Request
from models.requester import Scope, create_key, find_or_make
from tests.factory import SECRET_KEY
from webhook_receiver import APIS, create_app
from webhook_receiver.context import BodyLimits
from webhook_receiver.operations import Operation
from webhook_receiver.problems import MEDIA_TYPE
from webhook_receiver.schemas import ProblemShape
from worker.settings import Settings, load
from worker.signing import Tokens

NO_BROKER = "redis://127.0.0.1:1/0"
"""Nobody listens there. What is taken must be safe without a broker."""

SPEC = {
    "name": "service #1",
    "service_number": {"country": "AU", "search_type": "szu", "szu": "sydney"},
    "service": {"type": "transfer", "answer_point": "61401603859"},
}
BODY = {"upstream": "avanser", "custom_id": "dealer-17", "spec": SPEC}
"""A good request."""

COLUMNS = (
    "upstream,custom_id,spec.name,spec.service_number.country,spec.service_number.search_type,"
    "spec.service_number.szu,spec.service.type,spec.service.answer_point"
)


def row(custom_id: str, upstream: str = "avanser") -> str:
    """A good row of CSV under `COLUMNS`."""
    return f"{upstream},{custom_id},service,AU,szu,sydney,transfer,61401603859"


def csv_file(rows: Sequence[str], end: str = "\n", columns: str = COLUMNS) -> bytes:
    return end.join([columns, *rows, ""]).encode()


def chunked(body: bytes, **headers: str) -> dict[str, Any]:
    """What `call` needs to send a body in chunks, without a Content-Length, as the server hands it on."""
    return {
        "input_stream": BytesIO(body),
        "headers": {"Transfer-Encoding": "chunked"} | headers,
        "environ_overrides": {"wsgi.input_terminated": True},
    }


def environment(database_url: str, home: str) -> dict[str, str]:
    return {
        "TRUNKLINE_HOME": home,
        "TRUNKLINE_DATABASE_URL": database_url,
        "TRUNKLINE_BROKER_URL": NO_BROKER,
        "TRUNKLINE_SECRET_KEY": SECRET_KEY,
        "TRUNKLINE_AVANSER_USERNAME": "user",
        "TRUNKLINE_AVANSER_PASSWORD": "password",
        "TRUNKLINE_AVANSER_ACCOUNT_ID": "7xxx",
        "TRUNKLINE_ALLOW_PRIVATE_DESTINATIONS": "true",
    }


def settings_for(monkeypatch: pytest.MonkeyPatch, database_url: str, home: str, **more: str) -> Settings:
    for name, value in (environment(database_url, home) | more).items():
        monkeypatch.setenv(name, value)
    return load()


@dataclass(frozen=True)
class Api:
    """The application, and a key of the requester `default` that may do everything."""

    app: Flask
    engine: Engine
    settings: Settings
    key: str

    def make_key(self, *scopes: Scope, requester: str = "default") -> str:
        return make_key(self.engine, *scopes, requester=requester)

    def call(
        self,
        method: str,
        path: str,
        *,
        key: str | None = "",
        json: Any = None,
        data: bytes | None = None,
        media_type: str | None = None,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> TestResponse:
        """One HTTP request, by default with the key; `key=None` sends none."""
        sent = dict(headers or {})
        if key is not None:
            sent["Authorization"] = f"Bearer {key or self.key}"
        given: dict[str, Any] = {"json": json} if json is not None else {"data": data, "content_type": media_type}
        response = self.app.test_client().open(path, method=method, headers=sent, **given, **more)
        self._hold_against_the_document(method, response)
        return response

    def get(self, path: str, **more: Any) -> TestResponse:
        return self.call("GET", path, **more)

    def post(self, path: str, **more: Any) -> TestResponse:
        return self.call("POST", path, **more)

    def token(self, purpose: Purpose = Purpose.CALLBACK, upstream: str = "avanser", *, of: UUID | None = None) -> str:
        return Tokens(self.settings.secret_keys).make(upstream, purpose, of or uuid4())

    def received(self) -> list[Received]:
        """The inbox, as another process sees it."""
        return read(self.engine, lambda session: list(session.scalars(sa.select(Received).order_by(Received.id))))

    def requests(self) -> list[Request]:
        return read(self.engine, lambda session: list(session.scalars(sa.select(Request).order_by(Request.id))))

    def assert_nothing_was_taken(self) -> None:
        """Neither a request nor any trace of one."""
        left = {table.__tablename__: self._count(table) for table in (Request, Batch, Event, Count)}
        assert left == dict.fromkeys(left, 0)

    def _count(self, table: type[Base]) -> int:
        return read(self.engine, lambda session: session.scalar(sa.select(sa.func.count()).select_from(table)) or 0)

    def _hold_against_the_document(self, method: str, response: TestResponse) -> None:
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        if response.status_code >= 400:
            assert response.mimetype == MEDIA_TYPE
            problem = ProblemShape.model_validate(response.json)
            assert problem.status == response.status_code
        operation = self._operation(method, response)
        if operation is None:
            return
        allowed = {*operation.answers, 400, 401, 403, 404, 413, 415, 422, 429, 503, *operation.problems}
        assert response.status_code in allowed
        answer = operation.answers.get(response.status_code)
        if answer is not None and answer.model is not None:
            answer.model.model_validate(response.json)
            assert not answer.location or response.headers["Location"]

    def _operation(self, method: str, response: TestResponse) -> Operation | None:
        adapter = self.app.url_map.bind("localhost")
        if not adapter.test(response.request.path, method):
            return None
        rule, _ = adapter.match(response.request.path, method, return_rule=True)
        assert isinstance(rule, Rule)
        return next((one for one in declared() if (one.method, one.path) == (method, rule.rule)), None)


def declared() -> list[Operation]:
    return [operation for api in APIS for operation in api.operations]


def make_key(engine: Engine, *scopes: Scope, requester: str = "default") -> str:
    def work(session: Session) -> str:
        return create_key(session, find_or_make(session, requester, utc_now()), "test", scopes, utc_now())[1]

    return write(engine, work)


@contextmanager
def receiver(settings: Settings, engine: Engine, limits: BodyLimits | None = None) -> Iterator[Api]:
    app = create_app(settings, limits=limits)
    try:
        yield Api(app, engine, settings, make_key(engine, *Scope))
    finally:
        app.extensions["trunkline"].key_uses.close()
        app.extensions["trunkline"].engine.dispose()
