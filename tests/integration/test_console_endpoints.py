"""The console's endpoints: their health, their log, and all that a person does to one."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from models.act import Act
from models.base import read, utc_now, write
from models.delivery import Delivery, DeliveryState, Notice, file
from models.endpoint import Endpoint
from models.outage import Outage
from models.user import Role
from tests.factory import NOW, make_endpoint, make_requester
from tests.integration.console import Browser, browser, make_user
from tests.receiver import Api

__all__ = ["browser"]

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def admin(api: Api) -> Browser:
    make_user(api.engine, "ada", Role.ADMIN)
    opened = Browser(api.app.test_client())
    opened.sign_in("ada")
    opened.get("/requests")
    return opened


def make(api: Api, owner: str = "default", name: str = "crm") -> UUID:
    return make_endpoint(api.engine, make_requester(api.engine, owner), "https://crm.example/results", name=name).id


def fetch(api: Api, id_: UUID) -> Endpoint:
    return read(api.engine, lambda session: session.get_one(Endpoint, id_))


def acts(api: Api) -> list[tuple[str, str, str, str | None]]:
    wanted = sa.select(Act).where(Act.act != "session.begin").order_by(Act.id)
    rows = read(api.engine, lambda session: list(session.scalars(wanted)))
    return [(row.actor, row.act, row.subject, row.reason) for row in rows]


def fail(api: Api, id_: UUID, count: int = 1) -> None:
    """Results for it that were given up."""

    def work(session: Session) -> None:
        owner = session.get_one(Endpoint, id_).requester_id
        file(session, [Notice("request.completed", owner, {}, endpoint_id=id_)] * count, NOW)
        session.execute(sa.update(Delivery).values(state=DeliveryState.FAILED, due_at=None))

    write(api.engine, work)


def states(api: Api) -> set[DeliveryState]:
    return read(api.engine, lambda session: set(session.scalars(sa.select(Delivery.state))))


def test_all_endpoints_are_listed_with_their_health(api: Api, browser: Browser) -> None:
    ill = make(api, "crm-inc", HOSTILE)
    make(api)

    def work(session: Session) -> None:
        now = utc_now()
        row = Outage(line_id=ill, endpoint_id=ill, failures=14, probes=3, error="answered 503")
        row.began_at = row.failed_at = row.opened_at = row.probe_at = now
        session.add(row)

    write(api.engine, work)
    said = browser.get("/endpoints").get_data(as_text=True)
    assert said.index(">healthy<") < said.index(">open<")  # the newest first
    assert HOSTILE not in said
    assert "&lt;script&gt;" in said
    one = browser.get(f"/endpoints/{ill}").get_data(as_text=True)
    assert "14 times in a row" in one
    assert "answered 503" in one
    assert "Probed next" in one
    assert HOSTILE not in one
    assert "&lt;script&gt;" not in browser.get("/endpoints?requester=default").get_data(as_text=True)


def test_endpoints_page(api: Api, browser: Browser) -> None:
    for place in range(51):
        make(api, name=f"place-{place:02}")
    first = browser.get("/endpoints").get_data(as_text=True)
    cursor = first.partition('rel="next" href="')[2].partition("cursor=")[2].partition('"')[0]
    second = browser.get(f"/endpoints?cursor={cursor}").get_data(as_text=True)
    names = [f"place-{place:02}<" for place in range(51)]
    assert [name for name in names if (name in first) == (name in second)] == []


def test_a_test_event_is_sent_and_its_log_shows_it(api: Api, browser: Browser) -> None:
    id_ = make(api)
    browser.get(f"/endpoints/{id_}")
    answer = browser.post(f"/endpoints/{id_}/test")
    (filed,) = read(api.engine, lambda session: list(session.scalars(sa.select(Delivery.id))))
    assert answer.location == f"/console/deliveries/{filed}"
    assert "endpoint.test" in browser.get(f"/endpoints/{id_}").get_data(as_text=True)
    assert acts(api) == [("user:ann", "endpoint.test", str(id_), None)]


def test_one_is_disabled_with_a_reason_and_enabled(api: Api, browser: Browser) -> None:
    id_ = make(api)
    browser.get(f"/endpoints/{id_}")
    browser.post(f"/endpoints/{id_}/disable", {"reason": "it moves"})
    row = fetch(api, id_)
    assert (row.disabled_at is not None, row.disabled_reason) == (True, "it moves")
    said = browser.get(f"/endpoints/{id_}").get_data(as_text=True)
    assert f"/endpoints/{id_}/test" not in said
    refused = browser.post(f"/endpoints/{id_}/test")
    assert refused.status_code == 409
    assert "it moves" in refused.get_data(as_text=True)
    browser.post(f"/endpoints/{id_}/enable")
    assert fetch(api, id_).disabled_at is None
    assert [(one[1], one[3]) for one in acts(api)] == [("endpoint.disable", "it moves"), ("endpoint.enable", None)]


def test_what_it_missed_is_counted_before_it_is_sent(api: Api, browser: Browser) -> None:
    id_ = make(api)
    fail(api, id_, 3)
    preview = browser.get(f"/endpoints/{id_}/replay?since=2026-11-01T00:00&state=failed").get_data(as_text=True)
    assert "3 results go to " in preview
    assert "all since 2026-11-01T00:00:00Z that did not arrive" in preview
    assert read(api.engine, lambda session: {row.state for row in session.scalars(sa.select(Delivery))}) == {"failed"}
    browser.post(
        f"/endpoints/{id_}/replay", {"since": "2026-11-01T00:00:00Z", "state": "failed", "reason": "it is back"}
    )
    assert read(api.engine, lambda session: {row.state for row in session.scalars(sa.select(Delivery))}) == {"pending"}
    assert acts(api) == [("user:ann", "endpoint.replay", str(id_), "it is back")]


@pytest.mark.parametrize("since", ["yesterday", "2999-01-01T00:00", "2026-13-01"])
def test_a_time_that_is_none_is_said(api: Api, browser: Browser, since: str) -> None:
    answer = browser.get(f"/endpoints/{make(api)}/replay?since={since}")
    assert answer.status_code == 422
    assert "Since: " in answer.get_data(as_text=True)


def test_an_admin_rotates_a_secret_which_is_shown_once(api: Api, admin: Browser) -> None:
    id_ = make(api)
    before = fetch(api, id_).secret
    admin.get(f"/endpoints/{id_}/rotate")
    assert admin.post(f"/endpoints/{id_}/rotate", {"typed": "cmr", "reason": "it leaked"}).status_code == 409
    assert fetch(api, id_).secret == before
    answer = admin.post(f"/endpoints/{id_}/rotate", {"typed": "crm", "reason": "it leaked"})
    after = fetch(api, id_).secret
    assert after not in (None, before)
    assert str(after) in answer.get_data(as_text=True).replace("&#43;", "+")
    assert answer.headers["Cache-Control"] == "no-store"
    assert str(after) not in admin.get(f"/endpoints/{id_}").get_data(as_text=True)
    assert acts(api) == [("user:ada", "endpoint.rotate", str(id_), "it leaked")]


def test_an_admin_makes_one(api: Api, admin: Browser) -> None:
    make_requester(api.engine)
    said: dict[str, Any] = {"url": "https://crm.example/results", "requester": "default", "types": "request.failed"}
    admin.get("/endpoints/new")
    for wrong in ({"url": ""}, {"url": "ftp://x"}, {"requester": "nobody"}, {"types": "request.lost"}):
        assert admin.post("/endpoints/new", said | wrong).status_code == 409
    answer = admin.post("/endpoints/new", said)
    (row,) = read(api.engine, lambda session: list(session.scalars(sa.select(Endpoint))))
    assert (row.name, row.types) == ("crm.example", ["request.failed"])
    assert str(row.secret) in answer.get_data(as_text=True)
    again = admin.post("/endpoints/new", said)
    assert "has an endpoint called" in again.get_data(as_text=True)
    assert acts(api) == [("user:ada", "endpoint.create", str(row.id), None)]


def test_what_is_an_admins_is_not_an_operators_and_a_viewer_does_nothing(api: Api, browser: Browser) -> None:
    id_ = make(api)
    said = browser.get(f"/endpoints/{id_}").get_data(as_text=True)
    assert f"/endpoints/{id_}/test" in said
    assert f"/endpoints/{id_}/rotate" not in said
    for path in (f"/endpoints/{id_}/rotate", "/endpoints/new"):
        assert browser.get(path).status_code == 403
        assert browser.post(path).status_code == 403
    make_user(api.engine, "vic", Role.VIEWER)
    visitor = Browser(api.app.test_client())
    visitor.sign_in("vic")
    visitor.get(f"/endpoints/{id_}")
    for act in ("test", "disable", "enable", "replay"):
        assert visitor.post(f"/endpoints/{id_}/{act}").status_code == 403
    assert acts(api) == []


def test_a_form_of_another_site_changes_nothing(api: Api, browser: Browser) -> None:
    id_ = make(api)
    for act in ("test", "disable", "enable", "replay"):
        assert browser.post(f"/endpoints/{id_}/{act}", token="").status_code == 400
    assert acts(api) == []
