"""The console's users, for admins, and everybody's own account."""

from __future__ import annotations

import re
import threading
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models import user as people
from models.act import Act
from models.base import read, utc_now, write
from models.user import LastAdmin, Role, User, require_another_admin
from tests.integration.console import PASSWORD, Browser, browser, make_user
from tests.receiver import Api
from tests.sandbox import eventually

__all__ = ["browser"]

NEW = "another horse of battery"


@pytest.fixture
def admin(api: Api) -> Browser:
    make_user(api.engine, "ada", Role.ADMIN)
    return enter(api, "ada")


def enter(api: Api, name: str, password: str = PASSWORD) -> Browser:
    opened = Browser(api.app.test_client())
    assert opened.sign_in(name, password).status_code == 302
    opened.get("/account")
    return opened


def find(api: Api, name: str) -> User:
    found = read(api.engine, lambda session: people.find(session, name))
    assert found is not None
    return found


def acts(api: Api) -> list[tuple[str, str, str]]:
    wanted = sa.select(Act).where(Act.act != "session.begin").order_by(Act.id)
    rows = read(api.engine, lambda session: list(session.scalars(wanted)))
    return [(row.actor, row.act, row.subject) for row in rows]


def shown_secret(browser: Browser) -> str:
    assert browser.last is not None
    assert browser.last.headers["Cache-Control"] == "no-store"
    found = re.search(r'id="secret">([^<]+)<', browser.last.get_data(as_text=True))
    assert found is not None
    return found[1]


def test_a_user_is_made_with_a_password_that_is_shown_once(api: Api, admin: Browser) -> None:
    admin.post("/users/new", {"name": " Bob ", "role": "operator"})
    enter(api, "bob", shown_secret(admin))
    assert find(api, "bob").role is Role.OPERATOR
    assert "there is a user" in admin.post("/users/new", {"name": "BOB", "role": "viewer"}).get_data(as_text=True)
    assert admin.post("/users/new", {"name": " ", "role": "viewer"}).status_code == 409
    assert admin.post("/users/new", {"name": "eve", "role": "emperor"}).status_code == 422
    assert admin.post("/users/new", {"name": "pam", "role": "viewer", "by_proxy": "1"}).status_code == 302
    assert find(api, "pam").password is None
    assert acts(api) == [("user:ada", "user.create", "bob"), ("user:ada", "user.create", "pam")]


def test_a_hostile_name_is_text(api: Api, admin: Browser) -> None:
    admin.post("/users/new", {"name": "<script>alert(1)</script>", "role": "viewer"})
    said = admin.get("/users").get_data(as_text=True)
    assert "<script>alert" not in said
    assert "&lt;script&gt;" in said


def test_role_password_and_entry_are_changed_at_once(api: Api, admin: Browser) -> None:
    make_user(api.engine, "bob")
    bob, id_ = enter(api, "bob"), find(api, "bob").id
    admin.post(f"/users/{id_}/role", {"role": "viewer"})
    assert bob.post("/upstreams/all/pause", {"reason": "x"}).status_code == 403
    admin.post(f"/users/{id_}/password")
    assert bob.get("/account").status_code == 302
    bob = enter(api, "bob", shown_secret(admin))
    admin.post(f"/users/{id_}/disable")
    assert bob.get("/account").status_code == 302
    admin.post(f"/users/{id_}/enable")
    assert find(api, "bob").disabled_at is None
    assert [name for _, name, _ in acts(api)] == ["user.role", "user.password", "user.disable", "user.enable"]


@pytest.mark.parametrize(("act", "said"), [("disable", {}), ("role", {"role": "viewer"})])
def test_the_last_admin_stays_one(api: Api, admin: Browser, act: str, said: dict[str, str]) -> None:
    ada = find(api, "ada").id
    answer = admin.post(f"/users/{ada}/{act}", said)
    assert answer.status_code == 409
    assert "last admin" in answer.get_data(as_text=True)
    assert (find(api, "ada").role, find(api, "ada").disabled_at) == (Role.ADMIN, None)
    make_user(api.engine, "abe", Role.ADMIN)
    assert admin.post(f"/users/{ada}/{act}", said).status_code == 302
    assert [name for _, name, _ in acts(api)] == [f"user.{act}"]


def test_two_admins_who_disable_each_other_at_the_same_moment_leave_one(postgresql: Engine) -> None:
    ada, abe = (make_user(postgresql, name, Role.ADMIN).id for name in ("ada", "abe"))
    refused = []

    def disable(session: Session, id_: UUID) -> None:
        row = session.get_one(User, id_)
        require_another_admin(session, row)
        people.disable(row, utc_now())
        session.flush()

    def second() -> None:
        try:
            write(postgresql, lambda session: disable(session, abe))
        except LastAdmin as error:
            refused.append(str(error))

    thread = threading.Thread(target=second)
    with Session(postgresql) as session, session.begin():
        disable(session, ada)
        thread.start()
        eventually(lambda: not thread.is_alive() or is_waited_for(postgresql))
    thread.join()
    assert refused == ["abe"]


def is_waited_for(engine: Engine) -> bool:
    """Whether a transaction waits for another's lock."""
    with engine.connect() as connection:
        return bool(connection.scalar(sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted")))


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_users_are_for_admins(api: Api, role: Role) -> None:
    make_user(api.engine, "vic", role)
    visitor, id_ = enter(api, "vic"), find(api, "vic").id
    assert visitor.get("/users").status_code == 403
    assert 'href="/console/users"' not in visitor.get("/account").get_data(as_text=True)
    for act in ("new", f"{id_}/role", f"{id_}/password", f"{id_}/disable", f"{id_}/enable"):
        assert visitor.post(f"/users/{act}", {"role": "admin", "name": "eve"}).status_code == 403
    assert acts(api) == []


def test_a_form_of_another_site_changes_no_user(api: Api, admin: Browser) -> None:
    id_ = find(api, "ada").id
    for act in ("users/new", f"users/{id_}/password", "account/password", "account/end-sessions"):
        assert admin.post(f"/{act}", {"name": "eve", "role": "admin"}, token="forged").status_code == 400
    assert acts(api) == []


# One's own account


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"old": "wrong password"}, "Old password"),
        ({"again": "something else entirely"}, "not the same"),
        ({"new": "short", "again": "short"}, "at least 12"),
        ({"new": "i am ann and who are you", "again": "i am ann and who are you"}, "name"),
    ],
)
def test_a_password_is_not_changed_where_something_is_wrong(
    api: Api, browser: Browser, said: dict[str, str], told: str
) -> None:
    browser.get("/account")
    answer = browser.post("/account/password", {"old": PASSWORD, "new": NEW, "again": NEW} | said)
    assert answer.status_code == 409
    assert told in answer.get_data(as_text=True)
    enter(api, "ann")


def test_a_user_changes_the_own_password_and_all_other_sessions_end(api: Api, browser: Browser) -> None:
    other = enter(api, "ann")
    browser.get("/account")
    browser.post("/account/password", {"old": PASSWORD, "new": NEW, "again": NEW})
    assert browser.get("/account").status_code == 200
    assert other.get("/account").status_code == 302
    assert Browser(api.app.test_client()).sign_in("ann").status_code == 401
    enter(api, "ann", NEW)
    assert acts(api) == [("user:ann", "user.password", "ann")]


def test_the_old_password_is_not_guessed_at_leisure(api: Api, browser: Browser) -> None:
    browser.get("/account")
    for _ in range(5):
        browser.post("/account/password", {"old": "wrong password", "new": NEW, "again": NEW})
    answer = browser.post("/account/password", {"old": PASSWORD, "new": NEW, "again": NEW})
    assert "Too many failures" in answer.get_data(as_text=True)
    assert Browser(api.app.test_client()).sign_in("ann", NEW).status_code == 429


def test_a_user_ends_all_own_sessions(api: Api, browser: Browser) -> None:
    other = enter(api, "ann")
    browser.get("/account")
    assert browser.post("/account/end-sessions").status_code == 302
    assert browser.get("/account").status_code == 302
    assert other.get("/account").status_code == 302
    assert acts(api) == [("user:ann", "session.end_all", "ann")]
