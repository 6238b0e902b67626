"""Who gets in to the console, and who does not."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from models import sign_in
from models import user as people
from models.act import Act
from models.base import read, utc_now, write
from models.user import Role
from tests.integration.console import PASSWORD, Browser, browser, make_user
from tests.receiver import Api

__all__ = ["browser"]


def fresh(api: Api) -> Browser:
    return Browser(api.app.test_client())


def test_who_has_not_signed_in_is_led_to_the_form_and_back(api: Api) -> None:
    make_user(api.engine, "ann")
    visitor = fresh(api)
    answer = visitor.get("/requests?state=held")
    assert (answer.status_code, answer.location) == (302, "/console/sign-in?next=/console/requests?state%3Dheld")
    visitor.get("/sign-in?next=/console/requests?state%3Dheld")
    answer = visitor.post("/sign-in", {"name": "Ann ", "password": PASSWORD, "next": "/console/requests?state=held"})
    assert (answer.status_code, answer.location) == (302, "/console/requests?state=held")


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example", "/console//evil.example", "/v1/x"])
def test_nobody_is_led_elsewhere_by_signing_in(api: Api, elsewhere: str) -> None:
    make_user(api.engine, "ann")
    visitor = fresh(api)
    visitor.get("/sign-in")
    answer = visitor.post("/sign-in", {"name": "ann", "password": PASSWORD, "next": elsewhere})
    assert answer.location == "/console/overview"


@pytest.mark.parametrize(("name", "password"), [("ann", "wrong password"), ("nobody", PASSWORD), ("", "")])
def test_a_wrong_name_and_a_wrong_password_are_answered_alike(api: Api, name: str, password: str) -> None:
    make_user(api.engine, "ann")
    answer = fresh(api).sign_in(name, password)
    assert answer.status_code == 401
    assert "Name or password is wrong." in answer.get_data(as_text=True)


def test_who_is_disabled_is_out_with_the_next_click(api: Api, browser: Browser) -> None:
    assert browser.get("/requests").status_code == 200
    write(api.engine, lambda session: people.disable(one(session, "ann"), utc_now()))
    assert browser.get("/requests").status_code == 302
    assert fresh(api).sign_in("ann").status_code == 401


def test_another_password_ends_every_session(api: Api, browser: Browser) -> None:
    write(api.engine, lambda session: people.change_password(one(session, "ann"), "$argon2id$other"))
    assert browser.get("/requests").status_code == 302


def test_after_too_many_failures_not_even_the_right_password_is_looked_at(api: Api) -> None:
    make_user(api.engine, "ann")
    make_user(api.engine, "bob")
    visitor = fresh(api)
    for _ in range(sign_in.MOST_OF_A_PAIR):
        assert visitor.sign_in("ann", "wrong password").status_code == 401
    assert visitor.sign_in("ann").status_code == 429
    assert visitor.sign_in("bob").status_code == 302
    write(api.engine, lambda session: session.execute(sa.update(sign_in.SignInFailure).values(at=long_ago())))
    assert fresh(api).sign_in("ann").status_code == 302


def test_a_form_of_another_site_changes_nothing(api: Api, browser: Browser) -> None:
    for token in ("", "forged", fresh_token(api)):
        assert browser.post("/sign-out", token=token).status_code == 400
    assert browser.get("/requests").status_code == 200
    assert browser.post("/sign-out").status_code == 302
    assert browser.get("/requests").status_code == 302


def test_the_cookie_is_for_the_console_alone_and_no_script_reads_it(api: Api) -> None:
    make_user(api.engine, "ann")
    cookie = fresh(api).sign_in("ann").headers["Set-Cookie"]
    assert {"HttpOnly", "Path=/console", "SameSite=Lax"} <= set(cookie.split("; "))


def test_every_page_forbids_scripts_and_styles_within_it_and_frames_around_it(browser: Browser) -> None:
    for path in ("/requests", "/nowhere"):
        answer = browser.get(path)
        policy = answer.headers["Content-Security-Policy"]
        assert "script-src 'self'" in policy
        assert "'unsafe-inline'" not in policy
        assert "frame-ancestors 'none'" in policy
        said = answer.get_data(as_text=True)
        assert " style=" not in said
        assert "<style" not in said
        assert " onclick=" not in said


def test_what_is_not_there_is_said_on_a_page(browser: Browser) -> None:
    answer = browser.get("/nowhere")
    assert (answer.status_code, answer.mimetype) == (404, "text/html")


def test_signing_in_stands_in_the_audit(api: Api, browser: Browser) -> None:
    acts = read(api.engine, lambda session: list(session.scalars(sa.select(Act))))
    assert [(row.actor, row.act) for row in acts] == [("user:ann", "session.begin")]


def test_a_viewer_sees_and_does_nothing(api: Api) -> None:
    make_user(api.engine, "vic", Role.VIEWER)
    visitor = fresh(api)
    visitor.sign_in("vic")
    assert visitor.get("/requests").status_code == 200
    assert visitor.get("/requests/01a2059d-f346-75e6-a294-7a6dcbc09932/do/cancel").status_code == 403
    assert visitor.post("/requests/01a2059d-f346-75e6-a294-7a6dcbc09932/do/cancel").status_code == 403


def test_the_menu_is_in_the_order_of_the_work_and_holds_what_the_role_may_see(api: Api, browser: Browser) -> None:
    make_user(api.engine, "ada", Role.ADMIN)
    admin = fresh(api)
    admin.sign_in("ada")
    for visitor, extra in ((browser, []), (admin, ["Users"])):
        menu = visitor.get("/requests").get_data(as_text=True).partition("<nav aria-label")[2].partition("</nav>")[0]
        shown = [part.partition("</a>")[0].rpartition(">")[2] for part in menu.split("<a ")[1:]]
        known = ["Overview", "Requests", "Deliveries", "Endpoints", "Upstreams", "Audit", *extra]
        assert [title for title in shown if title in {*known, "Users"}] == known


def one(session: object, name: str) -> people.User:
    found = people.find(session, name)  # type: ignore[arg-type]
    assert found is not None
    return found


def long_ago() -> object:
    return utc_now() - sign_in.WINDOW


def fresh_token(api: Api) -> str:
    """That of another browser's session."""
    other = fresh(api)
    other.get("/sign-in")
    return other.token
