"""The console's inbox: what nobody understood is shown as it came, safely, with what can be done about it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.engine import Engine

from models.base import new_id, utc_now, write
from models.inbox import Purpose, Received, keep
from models.user import Role
from tests.factory import make_requests
from tests.integration.console import Browser, browser, make_user
from tests.receiver import Api, receiver, settings_for
from webhook_receiver.console.inbox import MOST_SHOWN
from worker.inbox import NO_READER, NO_REQUEST, NOT_OURS, OUR_FAULT, what_to_do

__all__ = ["browser"]

HOSTILE = "<script>alert(1)</script>"

TOKEN = "AZSx9-kQd1eJ7c_Rr0pW2mTuVb3yXhN5oLgKfIaZqYwEsC8D4Hj"


def came(engine: Engine, body: str = "{}", problem: str | None = "The body is no JSON.", **more: Any) -> UUID:
    id_ = new_id()
    row = {
        "id": id_,
        "upstream": "avanser",
        "purpose": Purpose.CALLBACK,
        "request_id": new_id(),
        "digest": id_.hex * 2,
        "method": "POST",
        "query": "",
        "content_type": "application/json",
        "body": body.encode(),
        "received_at": utc_now(),
        "due_at": None,
        "fence": 0,
        "attempts": 1,
    }
    write(engine, lambda session: keep(session.connection(), [row | more]))
    write(engine, lambda session: setattr(session.get_one(Received, id_), "problem", problem))
    return id_


def waits(engine: Engine, due_at: datetime, **more: Any) -> UUID:
    return came(engine, problem=None, due_at=due_at, **more)


def test_what_was_not_understood_is_listed_with_its_problem_and_what_to_do(api: Api, browser: Browser) -> None:
    (about,) = make_requests(api.engine)
    bad = came(api.engine, request_id=about)
    good = came(api.engine, problem=None)
    said = browser.get("/inbox").get_data(as_text=True)
    assert f"/console/inbox/{bad}" in said
    assert f"/console/inbox/{good}" not in said
    assert "The body is no JSON." in said
    assert f"trunkline explain {about}" in said
    assert f"/console/requests?q={about}" in said


def test_what_waits_to_be_read_is_listed_in_the_order_in_which_it_is(api: Api, browser: Browser) -> None:
    later = waits(api.engine, utc_now() + timedelta(minutes=5))
    sooner = waits(api.engine, utc_now())
    read_already = came(api.engine)
    said = browser.get("/inbox?which=waiting").get_data(as_text=True)
    assert said.index(str(sooner)) < said.index(str(later))
    assert str(read_already) not in said


def test_the_next_page_goes_on_where_this_one_ends(api: Api, browser: Browser) -> None:
    ids = [str(came(api.engine)) for _ in range(60)]
    first = browser.get("/inbox").get_data(as_text=True)
    cursor = first.partition("cursor=")[2].partition('"')[0]
    second = browser.get(f"/inbox?cursor={cursor}").get_data(as_text=True)
    assert [id_ for id_ in ids if (f"/inbox/{id_}" in first) == (f"/inbox/{id_}" in second)] == []


def test_what_was_sent_is_shown_as_text_without_its_tokens(api: Api, browser: Browser) -> None:
    id_ = came(api.engine, f'{HOSTILE} "number": "61280740801"', query=f"token={TOKEN}&status=odd")
    said = browser.get(f"/inbox/{id_}").get_data(as_text=True)
    assert HOSTILE not in said
    assert "&lt;script&gt;alert(1)" in said
    assert "61280740801" in said  # a number of ours
    assert TOKEN not in said
    assert "status=odd" in said


def test_of_a_long_body_the_beginning_is_shown(api: Api, browser: Browser) -> None:
    id_ = came(api.engine, "begin " + "x " * MOST_SHOWN + "end-of-it")
    said = browser.get(f"/inbox/{id_}").get_data(as_text=True)
    assert "begin x" in said
    assert "end-of-it" not in said


def test_bytes_that_are_no_text_are_shown_all_the_same(api: Api, browser: Browser) -> None:
    id_ = came(api.engine, body="", query="")
    garbled = came(api.engine)

    write(api.engine, lambda session: setattr(session.get_one(Received, garbled), "body", b"\xff\x00\xfe odd"))
    assert "(empty)" in browser.get(f"/inbox/{id_}").get_data(as_text=True)
    assert "odd" in browser.get(f"/inbox/{garbled}").get_data(as_text=True)


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch, database_url: str, engine: Engine, tmp_path: Path) -> Iterator[Api]:
    """Where only keys that may operate see callers."""
    settings = settings_for(monkeypatch, database_url, str(tmp_path), TRUNKLINE_CALLERS_SHOWN_TO="operate")
    with receiver(settings, engine) as running:
        yield running


@pytest.mark.parametrize(("role", "sees"), [(Role.VIEWER, False), (Role.OPERATOR, True)])
def test_what_tells_of_people_is_shown_to_roles_that_may_see_it(guarded: Api, role: Role, sees: bool) -> None:
    told = came(guarded.engine, "caller=61400000123", purpose=Purpose.CALL, query="from=61400000124")
    callback = came(guarded.engine, "contact=61400000125&status=odd")
    make_user(guarded.engine, "vic", role)
    visitor = Browser(guarded.app.test_client())
    visitor.sign_in("vic")
    said = visitor.get(f"/inbox/{told}").get_data(as_text=True)
    for caller in ("61400000123", "61400000124"):
        assert (caller in said) is sees
    said = visitor.get(f"/inbox/{callback}").get_data(as_text=True)
    assert "status=odd" in said
    assert ("61400000125" in said) is sees


def test_what_is_wrong_is_said_and_an_empty_list_says_what_it_would_hold(browser: Browser) -> None:
    said = browser.get("/inbox?which=lost").get_data(as_text=True)
    assert "which: &#39;lost&#39;" in said
    assert "all that upstreams sent was understood" in said
    assert "Nothing waits" in browser.get("/inbox?which=waiting").text
    assert browser.get("/inbox/01a2059d-f346-75e6-a294-7a6dcbc09932").status_code == 404


@pytest.mark.parametrize(
    ("problem", "advice"),
    [
        (NO_READER, "trunkline doctor"),
        (NO_REQUEST, "trunkline reconcile --upstream avanser"),
        (NOT_OURS.format("+61280740801"), "trunkline reconcile --upstream avanser"),
        (OUR_FAULT.format("KeyError"), "Report it"),
        ("The body is no JSON.", "trunkline explain"),
        (None, "was understood"),
    ],
)
def test_each_problem_comes_with_what_to_do(problem: str | None, advice: str) -> None:
    row = Received(upstream="avanser", request_id=new_id(), problem=problem, due_at=None)
    assert advice in what_to_do(row)
