"""The console's audit: who did what, narrowed and paged; and what people do in the console is in it."""

from __future__ import annotations

from sqlalchemy.orm import Session

from models import act
from models.base import write
from models.user import Role
from tests.factory import NOW
from tests.integration.console import Browser, browser, make_user
from tests.receiver import Api

__all__ = ["browser"]

HOSTILE = "<script>alert(1)</script>"


def record(api: Api, actor: str, name: str, subject: str, reason: str | None = None) -> None:
    write(api.engine, lambda session: act.record(session, actor, name, subject, NOW, reason, {"limit": 7}))


def test_acts_are_listed_newest_first_and_narrowed(api: Api, browser: Browser) -> None:
    record(api, "cli:bob", "delivery.replay", "01a2059d-f346-75e6-a294-7a6dcbc09931", "wrong file")
    record(api, f"cli:{HOSTILE}", "upstream.pause", "avanser", HOSTILE)
    record(api, "key 1", "upstream.resume", "avanser")

    def found(narrowed: str) -> list[str]:
        said = browser.get(f"/audit?{narrowed}").get_data(as_text=True)
        assert HOSTILE not in said
        return [part.partition("</a>")[0].rpartition(">")[2] for part in said.split('data-label="Act"')[1:]]

    assert found("act=upstream") == ["upstream.resume", "upstream.pause"]
    assert found("act=upstream.pause") == ["upstream.pause"]
    assert found("actor=key+1") == ["upstream.resume"]
    assert found("subject=avanser&act=upstream.resume") == ["upstream.resume"]
    assert found("actor=nobody") == []
    assert "No act fits." in browser.get("/audit?actor=nobody").get_data(as_text=True)
    said = browser.get("/audit").get_data(as_text=True)
    assert said.index("upstream.resume") < said.index("upstream.pause") < said.index("session.begin")
    assert "limit: 7" in said


def test_acts_page(api: Api, browser: Browser) -> None:
    def work(session: Session) -> None:
        for place in range(60):
            act.record(session, "cli:bob", "upstream.pause", f"one-{place:02}", NOW)

    write(api.engine, work)
    first = browser.get("/audit?act=upstream").get_data(as_text=True)
    cursor = first.partition('rel="next" href="')[2].partition("cursor=")[2].partition('"')[0]
    second = browser.get(f"/audit?act=upstream&cursor={cursor}").get_data(as_text=True)
    subjects = [f">one-{place:02}<" for place in range(60)]
    assert [one for one in subjects if (one in first) == (one in second)] == []


def test_what_is_done_in_the_console_stands_there_by_name(api: Api, browser: Browser) -> None:
    browser.get("/upstreams")
    browser.post("/upstreams/all/pause", {"reason": "the price list is wrong"})
    browser.post("/upstreams/all/resume", {"typed": "all", "reason": "mended"})
    said = browser.get("/audit?actor=user:ann&act=upstream").get_data(as_text=True)
    assert said.index("mended") < said.index("the price list is wrong")


def test_a_viewer_may_see_it_and_nobody_else(api: Api) -> None:
    make_user(api.engine, "vic", Role.VIEWER)
    visitor = Browser(api.app.test_client())
    assert visitor.get("/audit").status_code == 302
    visitor.sign_in("vic")
    assert visitor.get("/audit").status_code == 200
