"""Signing in by a proxy's header: it counts from that proxy's address alone, and makes nobody who is not a user."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine

from models import user as people
from models.base import utc_now, write
from models.user import Role
from tests.integration.console import Browser, make_user
from tests.receiver import Api, receiver, settings_for
from worker.settings import SettingsError, load

PROXY, ELSEWHERE = "203.0.113.7", "198.51.100.9"


@pytest.fixture
def api(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, sqlite_url: str, engine: Engine, tmp_path: Path
) -> Iterator[Api]:
    """Behind so many proxies as the parameter says."""
    more = {
        "TRUNKLINE_CONSOLE_USER_HEADER": "X-Forwarded-User",
        "TRUNKLINE_CONSOLE_USER_FROM": PROXY,
        "TRUNKLINE_TRUSTED_PROXIES": str(getattr(request, "param", 0)),
    }
    with receiver(settings_for(monkeypatch, sqlite_url, str(tmp_path), **more), engine) as running:
        make_user(engine, "pam", Role.OPERATOR)
        yield running


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


def status(api: Api, peer: str, **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    browser = Browser(api.app.test_client())
    browser.client.environ_base["REMOTE_ADDR"] = peer
    return browser.get("/account", **named).status_code


@pytest.mark.parametrize("api", [0, 1, 2], indirect=True)
def test_the_header_counts_from_the_proxy_alone(api: Api) -> None:
    assert status(api, PROXY, X_Forwarded_User="pam") == 200
    assert status(api, PROXY, X_Forwarded_User="PAM") == 200
    assert status(api, PROXY) == 302
    assert status(api, PROXY, X_Forwarded_User="nobody") == 403
    assert status(api, ELSEWHERE, X_Forwarded_User="pam") == 302


@pytest.mark.parametrize("api", [0, 1, 2], indirect=True)
@pytest.mark.parametrize("hops", [PROXY, f"{PROXY}, {PROXY}", f"{PROXY}, {ELSEWHERE}", f"{ELSEWHERE}, {PROXY}"])
def test_no_forwarded_address_stands_for_the_proxy(api: Api, hops: str) -> None:
    assert status(api, ELSEWHERE, X_Forwarded_User="pam", X_Forwarded_For=hops) == 302
    # And from the proxy it is the proxy that counts, whatever it forwards.
    assert status(api, PROXY, X_Forwarded_User="pam", X_Forwarded_For=ELSEWHERE) == 200


def test_who_is_disabled_is_out(api: Api) -> None:
    def work(session: object) -> None:
        found = people.find(session, "pam")  # type: ignore[arg-type]
        assert found is not None
        people.disable(found, utc_now())

    write(api.engine, work)
    assert status(api, PROXY, X_Forwarded_User="pam") == 403


def test_a_form_takes_a_token_all_the_same(api: Api) -> None:
    browser = Browser(api.app.test_client())
    browser.client.environ_base |= {"REMOTE_ADDR": PROXY, "HTTP_X_FORWARDED_USER": "pam"}
    browser.get("/upstreams")
    assert browser.post("/upstreams/all/pause", {"reason": "x"}, token="").status_code == 400
    assert browser.post("/upstreams/all/pause", {"reason": "x"}).status_code == 302


def test_a_header_without_the_addresses_that_may_send_it_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TRUNKLINE_HOME", str(tmp_path))
    monkeypatch.setenv("TRUNKLINE_CONSOLE_USER_HEADER", "X-Forwarded-User")
    with pytest.raises(SettingsError, match="TRUNKLINE_CONSOLE_USER_FROM"):
        load()
