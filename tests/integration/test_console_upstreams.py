"""The console's upstreams: how each stands, its switch, its stock, what the last comparison has shown."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from models import reconciliation, upstream
from models.act import Act
from models.base import read, write
from models.user import Role
from tests.factory import NOW, make_requests
from tests.integration.console import Browser, browser, make_user
from tests.receiver import Api
from tests.sandbox import ACCOUNT, PASSWORD, USERNAME, SandboxServer

__all__ = ["browser"]

HOSTILE = "<script>alert(1)</script>"


def acts(api: Api) -> list[tuple[str, str, str, str | None]]:
    wanted = sa.select(Act).where(Act.act != "session.begin").order_by(Act.id)
    rows = read(api.engine, lambda session: list(session.scalars(wanted)))
    return [(row.actor, row.act, row.subject, row.reason) for row in rows]


def paused(api: Api) -> set[str]:
    return set(read(api.engine, upstream.paused_names))


def test_each_stands_there_with_what_is_set_and_what_is_missing_and_no_value(api: Api, browser: Browser) -> None:
    make_requests(api.engine, 3)
    said = browser.get("/upstreams").get_data(as_text=True)
    for name in ("avanser", "telmetrics", "messagemedia"):
        assert f'id="{name}"' in said
    assert "TRUNKLINE_AVANSER_PASSWORD</dt><dd>set<" in said
    assert "TRUNKLINE_TELMETRICS_TOKEN</dt><dd>missing<" in said
    assert ">password<" not in said
    assert "3 queued" in said


def test_one_is_paused_with_a_reason(api: Api, browser: Browser) -> None:
    browser.get("/upstreams")
    browser.post("/upstreams/avanser/pause", {"reason": " "})
    assert paused(api) == set()
    browser.post("/upstreams/avanser/pause", {"reason": HOSTILE})
    assert paused(api) == {"avanser"}
    said = browser.get("/upstreams").get_data(as_text=True)
    assert HOSTILE not in said
    assert "&lt;script&gt;" in said
    assert acts(api) == [("user:ann", "upstream.pause", "avanser", HOSTILE)]


@pytest.mark.parametrize("said", [{}, {"reason": "mended"}, {"typed": "avanser"}, {"typed": "all", "reason": "mended"}])
def test_to_resume_one_takes_its_name_and_a_reason(api: Api, browser: Browser, said: dict[str, str]) -> None:
    browser.get("/upstreams")
    browser.post("/upstreams/avanser/pause", {"reason": "the price is wrong"})
    form = browser.get("/upstreams/avanser/resume").get_data(as_text=True)
    assert "spends money" in form
    assert "the price is wrong" in form
    assert browser.post("/upstreams/avanser/resume", said).status_code == 409
    assert paused(api) == {"avanser"}
    browser.post("/upstreams/avanser/resume", {"typed": "avanser", "reason": "mended"})
    assert paused(api) == set()
    assert acts(api)[-1] == ("user:ann", "upstream.resume", "avanser", "mended")


def test_the_switch_of_all_leaves_paused_what_was_paused_by_itself(api: Api, browser: Browser) -> None:
    browser.get("/upstreams")
    browser.post("/upstreams/avanser/pause", {"reason": "the price is wrong"})
    browser.post("/upstreams/all/pause", {"reason": "everything is wrong"})
    assert paused(api) == {"avanser", upstream.ALL}
    browser.post("/upstreams/all/resume", {"typed": "all", "reason": "mended"})
    assert paused(api) == {"avanser"}
    assert "avanser is still paused." in browser.get("/upstreams").get_data(as_text=True)


def test_an_upstream_that_is_none_is_not_found(browser: Browser) -> None:
    browser.get("/upstreams")
    assert browser.get("/upstreams/nobody/resume").status_code == 404
    assert browser.post("/upstreams/nobody/pause", {"reason": "x"}).status_code == 404


def test_a_viewer_switches_nothing_and_neither_does_another_site(api: Api, browser: Browser) -> None:
    browser.get("/upstreams")
    for word in ("pause", "resume"):
        assert browser.post(f"/upstreams/avanser/{word}", {"reason": "x"}, token="forged").status_code == 400
    make_user(api.engine, "vic", Role.VIEWER)
    visitor = Browser(api.app.test_client())
    visitor.sign_in("vic")
    assert "/upstreams/avanser/pause" not in visitor.get("/upstreams").get_data(as_text=True)
    for word in ("pause", "resume"):
        assert visitor.post(f"/upstreams/avanser/{word}", {"reason": "x"}).status_code == 403
    assert (paused(api), acts(api)) == (set(), [])


def test_what_the_last_comparison_found_stands_there_with_its_command(api: Api, browser: Browser) -> None:
    finding = {
        "kind": "orphan",
        "number": "+61280740801",
        "since": "2026-11-21T12:00:00Z",
        "known": f"Nobody holds it {HOSTILE}",
        "todo": "Adopt it.",
        "command": "trunkline reconcile --upstream avanser --adopt +61280740801",
        "request": None,
    }
    counts = {"ours": 1, "theirs": 2, "orphan": 1}
    write(api.engine, lambda session: reconciliation.keep(session, "avanser", NOW, NOW, counts, [finding]))
    write(
        api.engine, lambda session: reconciliation.keep_failure(session, "telmetrics", "refused", NOW, rest=NOW - NOW)
    )
    said = browser.get("/upstreams").get_data(as_text=True)
    assert "--adopt +61280740801" in said
    assert "1 numbers in our books, 2 there" in said
    assert HOSTILE not in said
    assert "refused" in said


def test_stock_is_counted_by_region(
    api: Api, browser: Browser, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured = api.settings.upstreams["avanser"]
    for name, value in (("url", f"{sandbox.url}/avanser/v1"), ("username", USERNAME), ("account_id", ACCOUNT)):
        monkeypatch.setattr(configured, name, value)
    monkeypatch.setattr(configured, "password", type(configured.password)(PASSWORD))  # type: ignore[attr-defined]
    said = browser.get("/upstreams/stock?upstream=avanser&query=country%3DAU+szu%3Dsydney").get_data(as_text=True)
    assert "by region" in said
    assert "+612" in said


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("upstream=telmetrics&query=country%3DAU", "telmetrics is not set up here"),
        ("upstream=avanser&query=sydney", "write it as NAME=VALUE"),
        ("upstream=avanser&query=a%3D1+a%3D2", "given more than once"),
        ("upstream=nobody", "upstream: &#39;nobody&#39;"),
        ("", "Numbers that could be bought now stand here."),
    ],
)
def test_stock_that_cannot_be_asked_for_is_said(browser: Browser, asked: str, told: str) -> None:
    answer = browser.get(f"/upstreams/stock?{asked}")
    assert answer.status_code == 200
    assert told in answer.get_data(as_text=True)


def test_an_upstream_that_cannot_be_reached_is_said(
    api: Api, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.settings.upstreams["avanser"], "url", "http://127.0.0.1:1/v1")
    said = browser.get("/upstreams/stock?upstream=avanser&query=country%3DAU").get_data(as_text=True)
    assert "avanser could not be asked" in said
