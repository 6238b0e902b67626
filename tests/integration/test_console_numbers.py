"""Numbers, calls and messages in the console: found, shown to whom they may be, and given up."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models.act import Act
from models.base import make_engine, new_id, read, utc_now, write
from models.call import Call
from models.message import Message
from models.number import Number
from models.request import Kind, Request
from models.state import State
from models.transition import Move, transition
from models.user import Role
from tests.factory import KEYRING, make_requests
from tests.integration.console import Browser, browser, make_user
from tests.receiver import Api, receiver, settings_for

__all__ = ["browser"]

NUMBER, CALLER = "+61280740801", "+61400098765"


def make_number(engine: Engine) -> UUID:
    (done,) = make_requests(engine, custom_id="dealer-17")

    def work(session: Session) -> UUID:
        transition(session, [Move(done, State.COMPLETED, "test", changes={"number": NUMBER})], utc_now())
        row = session.scalars(sa.select(Number)).one()
        about = {"upstream": "avanser", "request_id": done, "requester_id": row.requester_id, "number": NUMBER}
        about |= {"parameters": {}, "received_at": utc_now()}
        session.add(Call(id=new_id(), upstream_reference="c", caller=CALLER, **about))
        session.add(Message(id=new_id(), upstream_reference="m", sender=CALLER, text="open <b>today</b>?", **about))
        session.flush()
        return row.id

    return write(engine, work)


def open_releases(api: Api) -> list[Request]:
    found = sa.select(Request).where(Request.kind == Kind.RELEASE)
    return read(api.engine, lambda session: list(session.scalars(found)))


@pytest.mark.parametrize("said", ["02 8074 0801", "(02) 8074-0801", NUMBER, "dealer-17"])
def test_a_number_is_found_in_any_format(api: Api, browser: Browser, said: str) -> None:
    number = make_number(api.engine)
    answer = browser.client.get("/console/numbers", query_string={"q": said})
    assert answer.location == f"/console/numbers/{number}"


def test_the_list_narrows_to_what_is_held_at_an_upstream(api: Api, browser: Browser) -> None:
    make_number(api.engine)
    assert NUMBER in browser.get("/numbers").get_data(as_text=True)
    assert NUMBER in browser.get("/numbers?upstream=avanser").get_data(as_text=True)
    assert NUMBER not in browser.get("/numbers?upstream=telmetrics").get_data(as_text=True)
    assert NUMBER not in browser.get("/numbers?holding=released").get_data(as_text=True)


def test_a_number_shows_its_configuration_its_requests_its_calls_and_messages(api: Api, browser: Browser) -> None:
    said = browser.get(f"/numbers/{make_number(api.engine)}").get_data(as_text=True)
    for shown in ("answer_point", "dealer-17", CALLER, "open &lt;b&gt;today&lt;/b&gt;?"):
        assert shown in said


def test_calls_and_messages_narrow_to_a_number(api: Api, browser: Browser) -> None:
    make_number(api.engine)
    for path in ("/calls", "/messages"):
        assert CALLER in browser.get(path).get_data(as_text=True)
        assert CALLER in browser.get(f"{path}?number=02+8074+0801").get_data(as_text=True)
        assert CALLER not in browser.get(f"{path}?number=02+8074+0899").get_data(as_text=True)
        assert "is not a phone number" in browser.get(f"{path}?number=nobody").get_data(as_text=True)


@pytest.mark.parametrize(
    ("shown_to", "role", "is_shown"),
    [
        ("read", Role.VIEWER, True),
        ("operate", Role.VIEWER, False),
        ("operate", Role.OPERATOR, True),
        ("admin", Role.OPERATOR, False),
        ("admin", Role.ADMIN, True),
    ],
)
def test_who_called_is_shown_to_those_whom_the_settings_name(
    monkeypatch: pytest.MonkeyPatch, sqlite_url: str, tmp_path: Path, shown_to: str, role: Role, is_shown: bool
) -> None:
    settings = settings_for(monkeypatch, sqlite_url, str(tmp_path), TRUNKLINE_CALLERS_SHOWN_TO=shown_to)
    engine = make_engine(sqlite_url, keyring=KEYRING)
    with receiver(settings, engine) as api:
        number = make_number(engine)
        make_user(engine, "sam", role)
        visitor = Browser(api.app.test_client())
        visitor.sign_in("sam")
        for path in ("/calls", "/messages", f"/numbers/{number}"):
            said = visitor.get(path).get_data(as_text=True)
            assert (CALLER in said) is is_shown
            assert ("today" in said) is (is_shown and path != "/calls")
    engine.dispose()


def test_a_number_is_given_up_by_typing_it_with_a_reason(api: Api, browser: Browser) -> None:
    number = make_number(api.engine)
    browser.get(f"/numbers/{number}/release")
    for said in ({}, {"typed": NUMBER}, {"reason": "closed"}, {"typed": "+61280740802", "reason": "closed"}):
        assert browser.post(f"/numbers/{number}/release", said).status_code == 409
    assert open_releases(api) == []
    answer = browser.post(f"/numbers/{number}/release", {"typed": NUMBER, "reason": "the dealer closed"})
    (release,) = open_releases(api)
    assert answer.location == f"/console/requests/{release.id}"
    acts = read(api.engine, lambda session: session.scalars(sa.select(Act).where(Act.act == "number.release")).all())
    assert [(row.actor, row.reason) for row in acts] == [("user:ann", "the dealer closed")]


def test_a_viewer_may_not_give_a_number_up(api: Api) -> None:
    make_user(api.engine, "vic", Role.VIEWER)
    number = make_number(api.engine)
    visitor = Browser(api.app.test_client())
    visitor.sign_in("vic")
    assert "Release" not in visitor.get(f"/numbers/{number}").get_data(as_text=True)
    assert visitor.post(f"/numbers/{number}/release").status_code == 403


def test_a_number_that_is_not_there_is_not_found(browser: Browser) -> None:
    assert browser.get("/numbers/01a2059d-f346-75e6-a294-7a6dcbc09932").status_code == 404
