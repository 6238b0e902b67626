"""The console's list of requests and the page of one: found by any name, explained, steered."""

from __future__ import annotations

from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from models.act import Act
from models.base import read, write
from models.state import State
from models.transition import Move, transition
from models.user import Role
from tests.factory import NOW, fetch, make_requester, make_requests
from tests.integration.console import Browser, browser, make_user
from tests.receiver import Api

__all__ = ["browser"]

HOSTILE = "<script>alert(1)</script>"


def make_held(api: Api, custom_id: str | None = None) -> UUID:
    (held,) = make_requests(api.engine, custom_id=custom_id)

    def work(session: Session) -> None:
        transition(session, [Move(held, State.HELD, "worker", "callback_missing", "No callback came.")], NOW)

    write(api.engine, work)
    return held


def acts(api: Api) -> list[tuple[str, str, str, str | None]]:
    def work(session: Session) -> list[tuple[str, str, str, str | None]]:
        rows = session.scalars(sa.select(Act).where(Act.act != "session.begin").order_by(Act.id))
        return [(row.actor, row.act, row.subject, row.reason) for row in rows]

    return read(api.engine, work)


def test_the_list_shows_the_requests_of_all_requesters_newest_first(api: Api, browser: Browser) -> None:
    for name in ("one", "two"):
        make_requests(api.engine, owner=make_requester(api.engine, name), custom_id=f"of-{name}")
    said = browser.get("/requests").get_data(as_text=True)
    assert said.index("of-two") < said.index("of-one")


def test_a_filter_finds_across_requesters_and_the_next_page_goes_on_where_this_one_ends(
    api: Api, browser: Browser
) -> None:
    for name in ("one", "two"):
        owner = make_requester(api.engine, name)
        for place in range(30):
            make_requests(api.engine, owner=owner, custom_id=f"{name}-{place:02}")
    held = make_held(api, custom_id="held-one")
    first = browser.get("/requests?state=queued").get_data(as_text=True)
    cursor = first.partition("cursor=")[2].partition('"')[0]
    second = browser.get(f"/requests?state=queued&cursor={cursor}").get_data(as_text=True)
    shown = [f"{name}-{place:02}" for name in ("one", "two") for place in range(30)]
    assert [name for name in shown if (name in first) == (name in second)] == []
    only = browser.get("/requests?state=held").get_data(as_text=True)
    assert "held-one" in only
    assert "one-00" not in only
    assert str(held) in only


@pytest.mark.parametrize("said", ["02 8074 0801", "(02) 8074-0801", "+61 2 8074 0801", "61280740801"])
def test_a_number_in_any_format_leads_straight_to_its_request(api: Api, browser: Browser, said: str) -> None:
    (done,) = make_requests(api.engine, custom_id="dealer-17")

    def work(session: Session) -> None:
        transition(session, [Move(done, State.COMPLETED, "test", changes={"number": "+61280740801"})], NOW)

    write(api.engine, work)
    answer = browser.client.get("/console/requests", query_string={"q": said})
    assert answer.location == f"/console/requests/{done}"


def test_a_parameter_that_is_wrong_is_said_and_left_out(api: Api, browser: Browser) -> None:
    make_requests(api.engine, custom_id="dealer-17")
    said = browser.get("/requests?state=asleep&upstream=nobody&requester=stranger").get_data(as_text=True)
    assert "state: &#39;asleep&#39;" in said
    assert "upstream: &#39;nobody&#39;" in said
    assert "there is none named &#39;stranger&#39;" in said


def test_a_page_shows_the_explanation_the_story_and_what_may_be_done(api: Api, browser: Browser) -> None:
    held = make_held(api, custom_id="dealer-17")
    said = browser.get(f"/requests/{held}").get_data(as_text=True)
    assert "No callback came." in said
    assert "queued → held (callback_missing)" in said
    for risk in ("irreversible", "spends money", "safe"):
        assert f">{risk}<" in said
    assert f"trunkline resolve {held} --failed" in said


def test_names_from_outside_are_text_and_nothing_else(api: Api, browser: Browser) -> None:
    held = make_held(api, custom_id=HOSTILE)
    for path in (f"/requests/{held}", "/requests", f"/requests/{held}/do/cancel"):
        said = browser.get(path).get_data(as_text=True)
        assert HOSTILE not in said
        assert "&lt;script&gt;alert(1)" in said


def test_what_is_safe_is_done_by_one_click(api: Api, browser: Browser) -> None:
    held = make_held(api)
    browser.get(f"/requests/{held}")
    answer = browser.post(f"/requests/{held}/do/retry")
    assert answer.location == f"/console/requests/{held}"
    row = fetch(api.engine, held)
    assert (row.state, row.reason) == (State.SUBMITTING, "outcome_unknown")
    assert acts(api) == [("user:ann", "request.retry", str(held), None)]


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"reason": "seen in the portal"},
        {"typed": "dealer-17"},
        {"typed": "dealer-18", "reason": "seen in the portal"},
        {"typed": "dealer-17", "reason": "  "},
    ],
)
def test_what_cannot_be_undone_takes_the_typed_name_and_a_reason(
    api: Api, browser: Browser, said: dict[str, str]
) -> None:
    held = make_held(api, custom_id="dealer-17")
    browser.get(f"/requests/{held}/do/resolve_failed")
    assert browser.post(f"/requests/{held}/do/resolve_failed", said).status_code == 409
    assert fetch(api.engine, held).state is State.HELD
    assert acts(api) == []


def test_a_held_request_is_settled_with_the_number_that_the_portal_shows(api: Api, browser: Browser) -> None:
    held = make_held(api, custom_id="dealer-17")
    said = {"typed": "dealer-17", "reason": "seen in the portal", "number": "no number"}
    answer = browser.post(f"/requests/{held}/do/resolve_completed", said)
    assert answer.status_code == 409
    assert "seen in the portal" in answer.get_data(as_text=True)  # nothing that was typed is lost
    browser.post(f"/requests/{held}/do/resolve_completed", said | {"number": "02 8074 0801"})
    row = fetch(api.engine, held)
    assert (row.state, row.number, row.detail) == (State.COMPLETED, "+61280740801", "seen in the portal")
    assert acts(api) == [("user:ann", "request.resolve", str(held), "seen in the portal")]


def test_who_comes_second_is_told_so(api: Api, browser: Browser) -> None:
    held = make_held(api, custom_id="dealer-17")
    browser.get(f"/requests/{held}/do/resolve_failed")
    write(api.engine, lambda session: transition(session, [Move(held, State.CANCELLED, "cli:bob")], NOW))
    answer = browser.post(f"/requests/{held}/do/resolve_failed", {"typed": "dealer-17", "reason": "gone"})
    assert answer.status_code == 409
    assert "it is cancelled" in answer.get_data(as_text=True) or "is cancelled" in answer.get_data(as_text=True)


def test_a_viewer_is_shown_the_acts_and_no_buttons(api: Api) -> None:
    make_user(api.engine, "vic", Role.VIEWER)
    held = make_held(api)
    visitor = Browser(api.app.test_client())
    visitor.sign_in("vic")
    said = visitor.get(f"/requests/{held}").get_data(as_text=True)
    assert "Settle as failed" in said
    assert f"/console/requests/{held}/do/" not in said


def test_a_request_that_is_not_there_is_not_found(browser: Browser) -> None:
    assert browser.get("/requests/01a2059d-f346-75e6-a294-7a6dcbc09932").status_code == 404
    assert browser.get("/requests/01a2059d-f346-75e6-a294-7a6dcbc09932/do/cancel").status_code == 404
