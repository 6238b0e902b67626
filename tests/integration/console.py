"""A browser without a screen: signs in to the console, follows its forms, and reads its pages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from flask.testing import FlaskClient
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from models import user as people
from models.base import utc_now, write
from models.user import Role, User
from tests.receiver import Api
from worker.passwords import hashed

PASSWORD = "a horse of correct battery"

_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')

_HASHED = hashed(PASSWORD, "nobody")
"""Once for all: to hash takes its time by design."""


def make_user(engine: Engine, name: str, role: Role = Role.OPERATOR) -> User:
    def work(session: Session) -> User:
        return people.create(session, name, role, _HASHED, utc_now())

    return write(engine, work)


@dataclass
class Browser:
    """Keeps cookies, and the token of the last page that had one."""

    client: FlaskClient
    token: str = ""
    last: TestResponse | None = field(default=None, repr=False)

    def get(self, path: str, **more: str) -> TestResponse:
        return self._seen(self.client.get(f"/console{path}", headers=more, follow_redirects=False))

    def post(self, path: str, said: Mapping[str, str] | None = None, *, token: str | None = None) -> TestResponse:
        """Send a form, with the token of the last page where no other is given."""
        form = {"csrf_token": self.token if token is None else token, **(said or {})}
        return self._seen(self.client.post(f"/console{path}", data=form))

    def sign_in(self, name: str, password: str = PASSWORD) -> TestResponse:
        self.get("/sign-in")
        return self.post("/sign-in", {"name": name, "password": password})

    def _seen(self, response: TestResponse) -> TestResponse:
        if found := _TOKEN.search(response.get_data(as_text=True)):
            self.token = found[1]
        self.last = response
        return response


@pytest.fixture
def browser(api: Api) -> Browser:
    """Signed in as `ann`, an operator."""
    make_user(api.engine, "ann")
    opened = Browser(api.app.test_client())
    assert opened.sign_in("ann").status_code == 302
    opened.get("/requests")  # where the token of the new session stands
    return opened
