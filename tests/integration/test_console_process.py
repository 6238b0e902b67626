"""The console on an address of its own, as a real process; and people who sign in at a proxy in front of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, Request, build_opener

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from models.act import Act
from models.base import make_engine, read, write
from models.requester import Scope
from models.upstream import paused_names
from models.user import Role, create
from tests.factory import KEYRING, NOW
from tests.integration.console import PASSWORD, make_user
from tests.integration.test_receiver_process import HOST, Server, path_of_callback, serving
from tests.receiver import make_key

OWN = ("worker.cli", "console")

BY_PROXY = {"TRUNKLINE_CONSOLE_USER_HEADER": "X-Forwarded-User"}


class Surfer:
    """A browser on a real connection: it keeps cookies, and the token of the last form."""

    def __init__(self, server: Server, **headers: str) -> None:
        self._root, self._headers = f"http://{HOST}:{server.port}/console", headers
        self._opener = build_opener(HTTPCookieProcessor())
        self._token = ""

    def ask(self, path: str, said: dict[str, str] | None = None, *, token: str | None = None) -> tuple[int, str]:
        form = None if said is None else urlencode({"csrf_token": self._token if token is None else token} | said)
        question = Request(self._root + path, None if form is None else form.encode(), self._headers)  # noqa: S310 -- ours
        try:
            with self._opener.open(question, timeout=10) as answer:
                status, text = answer.status, answer.read().decode()
        except HTTPError as error:
            with error:
                status, text = error.code, error.read().decode()
        if found := re.search(r'name="csrf_token" value="([^"]+)"', text):
            self._token = found[1]
        return status, text


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """One database will do: what is tried here is the server."""
    return sqlite_url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = make_engine(database_url, keyring=KEYRING)
    yield engine
    engine.dispose()


def test_the_console_alone_serves_people_and_neither_api_nor_callbacks(
    database_url: str, engine: Engine, tmp_path: Path
) -> None:
    make_user(engine, "ann")
    key = make_key(engine, *Scope)
    # That the receiver is told not to serve it is nothing to this process.
    with serving(database_url, tmp_path, program=OWN, TRUNKLINE_CONSOLE="false") as server:
        ann = Surfer(server)
        assert "Sign in" in ann.ask("/deliveries")[1]
        status, text = ann.ask("/sign-in", {"name": "ann", "password": PASSWORD, "next": "/console/deliveries"})
        assert (status, "No result fits." in text) == (200, True)
        assert [server.ask(path)[0] for path in ("/healthz", "/readyz")] == [200, 200]
        for path in ("/v1/requests", "/v1/endpoints", "/metrics", "/openapi.json", "/docs"):
            assert server.ask(path, key)[0] == 404
        assert server.ask(path_of_callback(), data=b"{}")[0] == 404


def test_the_receiver_serves_it_too_unless_it_is_told_not_to(database_url: str, engine: Engine, tmp_path: Path) -> None:
    for said, status in (("true", 200), ("false", 404)):
        with serving(database_url, tmp_path, TRUNKLINE_CONSOLE=said) as server:
            assert server.ask("/console/sign-in")[0] == status
            assert server.ask("/v1/requests", make_key(engine, Scope.READ))[0] == 200


def test_who_a_proxy_says_has_signed_in_is_in_and_forms_of_other_sites_do_nothing(
    database_url: str, engine: Engine, tmp_path: Path
) -> None:
    write(engine, lambda session: create(session, "pam", Role.OPERATOR, None, NOW))
    more = BY_PROXY | {"TRUNKLINE_CONSOLE_USER_FROM": f"{HOST}/32"}
    with serving(database_url, tmp_path, program=OWN, **more) as server:
        pam = Surfer(server, **{"X-Forwarded-User": "pam"})
        status, text = pam.ask("/upstreams")
        assert (status, "pam, operator" in text) == (200, True)
        for token in ("", "forged"):
            assert pam.ask("/upstreams/all/pause", {"reason": "x"}, token=token)[0] == 400
        assert read(engine, paused_names) == frozenset()
        pam.ask("/upstreams")
        assert pam.ask("/upstreams/all/pause", {"reason": "the price is wrong"})[0] == 200
        stranger = Surfer(server, **{"X-Forwarded-User": "nobody"})
        assert stranger.ask("/upstreams")[0] == 403
        assert "Sign in" in Surfer(server).ask("/upstreams")[1]
    acts = read(engine, lambda session: list(session.scalars(sa.select(Act))))
    assert [(row.actor, row.act) for row in acts] == [("user:pam", "upstream.pause")]


def test_from_any_other_address_the_header_is_nothing_whatever_is_forwarded(
    database_url: str, engine: Engine, tmp_path: Path
) -> None:
    make_user(engine, "pam", Role.ADMIN)
    more = BY_PROXY | {"TRUNKLINE_CONSOLE_USER_FROM": "203.0.113.7", "TRUNKLINE_TRUSTED_PROXIES": "1"}
    with serving(database_url, tmp_path, program=OWN, **more) as server:
        for hops in ("", "203.0.113.7", "203.0.113.7, 203.0.113.7"):
            forged = {"X-Forwarded-User": "pam", "X-Forwarded-For": hops}
            status, text = Surfer(server, **forged).ask("/upstreams")
            assert (status, "Sign in" in text, "pam, admin" in text) == (200, True, False)
