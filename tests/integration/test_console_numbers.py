"""The console's numbers: found by any name, shown with all that is known of each, and given up."""

from __future__ import annotations

from urllib.parse import quote

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from models.act import Act
from models.base import read
from models.number import Number
from models.request import Kind, Request
from models.state import State
from models.user import Role
from tests.holding import PERTH, SYDNEY, done
from tests.integration.console import Browser, browser, make_user
from tests.receiver import Api

__all__ = ["browser"]

HOSTILE = "<script>alert(1)</script>"


def row_of(api: Api, number: str = SYDNEY) -> Number:
    statement = sa.select(Number).where(Number.number == number).order_by(Number.id.desc()).limit(1)
    return read(api.engine, lambda session: session.scalars(statement).one())


def releases(api: Api) -> list[Request]:
    return [row for row in api.requests() if row.kind is Kind.RELEASE]


def acts(api: Api) -> list[tuple[str, str, str, str | None]]:
    def work(session: Session) -> list[tuple[str, str, str, str | None]]:
        rows = session.scalars(sa.select(Act).where(Act.act != "session.begin").order_by(Act.id))
        return [(row.actor, row.act, row.subject, row.reason) for row in rows]

    return read(api.engine, work)


def test_the_list_shows_what_all_requesters_hold_and_names_them(api: Api, browser: Browser) -> None:
    done(api.engine, number=SYDNEY)
    done(api.engine, number=PERTH, requester="other")
    said = browser.get("/numbers").get_data(as_text=True)
    assert said.index(PERTH) < said.index(SYDNEY)
    assert 'data-label="Requester">other<' in said
    for number, query in ((PERTH, "requester=other"), (SYDNEY, "requester=default")):
        said = browser.get(f"/numbers?{query}").get_data(as_text=True)
        assert {one for one in (SYDNEY, PERTH) if one in said} == {number}


def test_the_list_is_narrowed_by_upstream_and_by_whether_a_number_is_held(api: Api, browser: Browser) -> None:
    done(api.engine, number=SYDNEY)
    done(api.engine, number=PERTH, upstream="messagemedia")
    done(api.engine, Kind.RELEASE, number=PERTH, upstream="messagemedia")
    for query, shown in (
        ("upstream=avanser", {SYDNEY}),
        ("upstream=messagemedia", set()),
        ("upstream=messagemedia&holding=released", {PERTH}),
        ("holding=held", {SYDNEY}),
        ("holding=released", {PERTH}),
        ("holding=released&upstream=avanser", set()),
        ("holding=held+or+released", {SYDNEY, PERTH}),
        ("", {SYDNEY}),
    ):
        said = browser.get(f"/numbers?{query}").get_data(as_text=True)
        assert {one for one in (SYDNEY, PERTH) if one in said} == shown, query


@pytest.mark.parametrize("query", ["", "upstream=avanser"])
def test_the_next_page_goes_on_where_this_one_ends(api: Api, browser: Browser, query: str) -> None:
    numbers = [f"+6128074{place:04}" for place in range(60)]
    for place, number in enumerate(numbers):
        done(api.engine, number=number, requester=("one", "two")[place % 2])
    first = browser.get(f"/numbers?{query}").get_data(as_text=True)
    cursor = first.partition("cursor=")[2].partition('"')[0]
    second = browser.get(f"/numbers?{query}&cursor={cursor}").get_data(as_text=True)
    assert [number for number in numbers if (number in first) == (number in second)] == []


@pytest.mark.parametrize("said", ["02 8074 0801", "(02) 8074-0801", "+61 2 8074 0801", "dealer-17"])
def test_a_number_is_found_however_it_is_written(api: Api, browser: Browser, said: str) -> None:
    done(api.engine, number=SYDNEY, custom_id="dealer-17")
    done(api.engine, number=PERTH)
    answer = browser.get(f"/numbers?q={quote(said)}")
    assert answer.location == f"/console/numbers/{row_of(api).id}"


def test_who_searches_finds_a_number_that_was_given_up_too(api: Api, browser: Browser) -> None:
    done(api.engine)
    done(api.engine, Kind.RELEASE)
    assert browser.get(f"/numbers?q={quote(SYDNEY)}").location == f"/console/numbers/{row_of(api).id}"


def test_a_number_shows_its_configuration_and_its_history(api: Api, browser: Browser) -> None:
    made = done(api.engine, number=SYDNEY, custom_id="dealer-17")
    other = done(api.engine, number=PERTH)
    said = browser.get(f"/numbers/{row_of(api).id}").get_data(as_text=True)
    assert "answer_point" in said
    assert f"/console/requests/{made}" in said
    assert f"/console/requests/{other}" not in said
    assert "no change of it is under way" in said


@pytest.mark.parametrize(
    "said", [{}, {"typed": SYDNEY}, {"reason": "contract ended"}, {"typed": PERTH, "reason": "contract ended"}]
)
def test_a_number_is_not_given_up_by_a_mere_click(api: Api, browser: Browser, said: dict[str, str]) -> None:
    done(api.engine, number=SYDNEY)
    place = f"/numbers/{row_of(api).id}/release"
    assert "irreversible" in browser.get(place).text
    assert browser.post(place, said).status_code == 409
    assert releases(api) == []
    assert acts(api) == []


def test_who_gives_a_number_up_is_led_to_its_release_which_can_still_be_cancelled(api: Api, browser: Browser) -> None:
    done(api.engine, requester="other")
    row = row_of(api)
    browser.get(f"/numbers/{row.id}/release")
    answer = browser.post(f"/numbers/{row.id}/release", {"typed": SYDNEY, "reason": "contract ended"})
    (release,) = releases(api)
    assert answer.location == f"/console/requests/{release.id}"
    assert (release.requester_id, release.number, release.state) == (row.requester_id, SYDNEY, State.QUEUED)
    assert release.due_at is not None
    assert release.due_at > release.created_at
    assert acts(api) == [("user:ann", "number.release", SYDNEY, "contract ended")]
    said = browser.get(f"/numbers/{row.id}").get_data(as_text=True)
    assert "It is being given up" in said
    assert f"/console/numbers/{row.id}/release" not in said


def test_a_number_that_is_being_given_up_is_given_up_once(api: Api, browser: Browser) -> None:
    done(api.engine, number=SYDNEY)
    row, meant = row_of(api), {"typed": SYDNEY, "reason": "contract ended"}
    browser.get(f"/numbers/{row.id}/release")
    places = [browser.post(f"/numbers/{row.id}/release", meant).location for _ in range(2)]
    assert places[0] == places[1]
    assert len(releases(api)) == 1


def test_a_number_that_is_ours_no_longer_is_not_given_up(api: Api, browser: Browser) -> None:
    done(api.engine, number=SYDNEY)
    done(api.engine, Kind.RELEASE, number=SYDNEY)
    row = row_of(api)
    browser.get("/requests")
    answer = browser.post(f"/numbers/{row.id}/release", {"typed": SYDNEY, "reason": "contract ended"})
    assert answer.status_code == 409
    assert f"Not now: {SYDNEY} was given up" in answer.text
    assert len(releases(api)) == 1


def test_a_viewer_sees_and_gives_nothing_up(api: Api) -> None:
    make_user(api.engine, "vic", Role.VIEWER)
    done(api.engine, number=SYDNEY)
    row = row_of(api)
    visitor = Browser(api.app.test_client())
    visitor.sign_in("vic")
    assert f"/console/numbers/{row.id}/release" not in visitor.get(f"/numbers/{row.id}").text
    assert visitor.get(f"/numbers/{row.id}/release").status_code == 403
    assert visitor.post(f"/numbers/{row.id}/release").status_code == 403


def test_nothing_is_done_for_a_form_of_another_site(api: Api, browser: Browser) -> None:
    done(api.engine, number=SYDNEY)
    meant = {"typed": SYDNEY, "reason": "contract ended"}
    assert browser.post(f"/numbers/{row_of(api).id}/release", meant, token="").status_code == 400
    assert releases(api) == []


def test_names_from_outside_are_text_and_nothing_else(api: Api, browser: Browser) -> None:
    done(api.engine, number=SYDNEY, custom_id=HOSTILE, spec={"name": HOSTILE})
    for path in ("/numbers", f"/numbers/{row_of(api).id}"):
        said = browser.get(path).get_data(as_text=True)
        assert HOSTILE not in said
        assert "&lt;script&gt;alert(1)" in said


def test_what_is_wrong_is_said_and_an_empty_list_says_what_it_would_hold(browser: Browser) -> None:
    said = browser.get("/numbers?upstream=nobody&holding=maybe&requester=stranger").get_data(as_text=True)
    for fault in ("upstream: &#39;nobody&#39;", "holding: &#39;maybe&#39;", "there is none named &#39;stranger&#39;"):
        assert fault in said
    assert "trunkline reconcile" in browser.get("/numbers").text
    nothing = "01a2059d-f346-75e6-a294-7a6dcbc09932"
    for path in ("", "/release"):
        assert browser.get(f"/numbers/{nothing}{path}").status_code == 404
