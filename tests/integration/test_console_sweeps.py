"""Acting on all requests that a filter matches, from the console: nothing unseen, nothing by mere clicking."""

from __future__ import annotations

import re
from html import unescape
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from models.base import read, utc_now, write
from models.state import State
from models.sweep import Sweep, newest
from models.transition import Move, transition
from models.user import Role
from tests.factory import NOW, fetch, make_requests
from tests.integration.console import Browser, browser, make_user
from tests.receiver import Api
from worker.sweeping import do_portion

__all__ = ["browser"]

HELD = "state=held&upstream=avanser"

_HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)"')


def make_held(api: Api, count: int) -> list[UUID]:
    ids = make_requests(api.engine, count)

    def work(session: Session) -> None:
        transition(session, [Move(id_, State.HELD, "worker", "callback_missing") for id_ in ids], NOW)

    write(api.engine, work)
    return ids


def preview(browser: Browser, act: str, filters: str = HELD) -> dict[str, str]:
    """What the form of the preview sends besides what a person types."""
    said = browser.get(f"/sweeps/new?act={act}&{filters}").get_data(as_text=True)
    return {name: unescape(value) for name, value in _HIDDEN.findall(said) if name != "csrf_token"}


def to_the_end(api: Api) -> Sweep:
    while do_portion(api.engine, utc_now().replace(year=2100)) is not None:
        pass
    return sweeps(api)[0]


def sweeps(api: Api) -> list[Sweep]:
    return read(api.engine, newest)


def test_a_preview_tells_how_many_what_becomes_of_them_and_what_it_costs(api: Api, browser: Browser) -> None:
    make_held(api, 3)
    make_requests(api.engine)
    said = browser.get(f"/sweeps/new?act=resolve_retry&{HELD}").get_data(as_text=True)
    assert "3 match; 3 of them would be acted on: avanser 3." in said
    assert "It may buy up to 3 numbers: avanser 3." in said
    assert ">spends money<" in said


def test_what_was_previewed_is_done_and_what_came_later_is_left_alone(api: Api, browser: Browser) -> None:
    held = make_held(api, 3)
    form = preview(browser, "resolve_failed")
    (late,) = make_held(api, 1)
    answer = browser.post("/sweeps/new", form | {"why": "a dead area code", "typed": "3", "rate": "1000"})
    assert answer.status_code == 409  # four match by now: what is typed is what is seen
    answer = browser.post("/sweeps/new", form | {"why": "a dead area code", "typed": "4", "rate": "1000"})
    assert answer.status_code == 302
    ended = to_the_end(api)
    assert (ended.done, ended.refused, ended.actor) == (3, 0, "user:ann")
    assert {fetch(api.engine, id_).state for id_ in held} == {State.FAILED}
    assert fetch(api.engine, late).state is State.HELD


@pytest.mark.parametrize(
    "said",
    [
        {"typed": "2", "rate": "50"},
        {"typed": "2", "rate": "50", "why": " "},
        {"typed": "1", "rate": "50", "why": "why"},
        {"rate": "50", "why": "why"},
        {"typed": "2", "rate": "0", "why": "why"},
        {"typed": "2", "rate": "many", "why": "why"},
    ],
)
def test_nothing_is_ordered_without_a_reason_a_rate_and_the_typed_count(
    api: Api, browser: Browser, said: dict[str, str]
) -> None:
    make_held(api, 2)
    assert browser.post("/sweeps/new", preview(browser, "resolve_failed") | said).status_code == 409
    assert sweeps(api) == []


def test_what_is_safe_takes_no_typing(api: Api, browser: Browser) -> None:
    held = make_held(api, 2)
    assert browser.post("/sweeps/new", preview(browser, "retry") | {"why": "the telco is back"}).status_code == 302
    assert to_the_end(api).done == 2
    assert {fetch(api.engine, id_).reason for id_ in held} == {"outcome_unknown"}


@pytest.mark.parametrize(
    "address", ["act=retry", f"act=sell&{HELD}", HELD, "act=retry&state=asleep", "act=retry&requester=x"]
)
def test_what_is_not_said_rightly_is_not_guessed(api: Api, browser: Browser, address: str) -> None:
    make_held(api, 1)
    assert browser.get(f"/sweeps/new?{address}").status_code == 422


def test_a_sweep_is_paused_resumed_and_ended(api: Api, browser: Browser) -> None:
    make_held(api, 2)
    browser.post("/sweeps/new", preview(browser, "retry") | {"why": "the telco is back"})
    (ordered,) = sweeps(api)
    path = f"/sweeps/{ordered.id}"
    browser.get(path)
    for verb, state in (("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")):
        assert browser.post(f"{path}/{verb}").status_code == 302
        assert sweeps(api)[0].state == state
        browser.get(path)
    assert browser.post(f"{path}/resume").status_code == 409
    assert browser.post(f"{path}/sell").status_code == 404


def test_each_refusal_stands_on_its_page(api: Api, browser: Browser) -> None:
    moved, _ = make_held(api, 2)
    browser.post("/sweeps/new", preview(browser, "retry") | {"why": "the telco is back"})
    (ordered,) = sweeps(api)

    def work(session: Session) -> Any:
        return transition(session, [Move(moved, State.CANCELLED, "cli:bob")], utc_now())

    write(api.engine, work)
    to_the_end(api)
    said = browser.get(f"/sweeps/{ordered.id}").get_data(as_text=True)
    assert str(moved) in said
    assert "refused" in said
    assert "the telco is back" in browser.get("/sweeps").get_data(as_text=True)


def test_a_viewer_may_not(api: Api) -> None:
    make_user(api.engine, "vic", Role.VIEWER)
    make_held(api, 1)
    visitor = Browser(api.app.test_client())
    visitor.sign_in("vic")
    visitor.get("/requests")
    assert visitor.get(f"/sweeps/new?act=retry&{HELD}").status_code == 403
    assert visitor.post("/sweeps/new", {"act": "retry", "state": "held", "why": "why"}).status_code == 403
    assert "Preview" not in visitor.get(f"/requests?{HELD}").get_data(as_text=True)
