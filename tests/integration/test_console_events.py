"""The console's calls and messages: found by number and time, and shown to those who may see of whom they are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from models import call, message
from models.base import new_id, read, utc_now, write
from models.number import Number
from models.user import Role
from tests.factory import make_requester
from tests.holding import PERTH, SYDNEY, done
from tests.integration.console import Browser, browser, make_user
from tests.receiver import Api, receiver, settings_for

__all__ = ["browser"]

BOTH = pytest.mark.parametrize("listed", ["calls", "messages"])

HOSTILE = "<script>alert(1)</script>"

SOMEBODY, TEXT = "+61400000123", "Is it still for sale?"


def keep(engine: Engine, listed: str, number: str | None = SYDNEY, owner: str = "default", **more: Any) -> None:
    id_ = new_id()
    row: dict[str, Any] = {
        "id": id_,
        "upstream": "messagemedia",
        "upstream_reference": str(id_),
        "request_id": new_id(),
        "requester_id": make_requester(engine, owner).id,
        "number": number,
        "parameters": {},
        "received_at": utc_now(),
    }
    if listed == "messages":
        row |= {"sender": SOMEBODY, "text": TEXT} | more
        write(engine, lambda session: message.keep(session, row))
    else:
        row |= {"caller": SOMEBODY, "status": "answered"} | more
        write(engine, lambda session: call.keep(session, row))


def on(said: str) -> set[str]:
    return {number for number in (SYDNEY, PERTH) if f">{number}</a>" in said}


@BOTH
def test_the_list_is_narrowed_by_number_in_any_format_by_time_and_by_requester(
    api: Api, browser: Browser, listed: str
) -> None:
    keep(api.engine, listed, SYDNEY, received_at=utc_now() - timedelta(minutes=30))
    keep(api.engine, listed, PERTH, "other")
    since = f"{utc_now() - timedelta(minutes=10):%Y-%m-%dT%H:%M}"
    for query, shown in (
        ("", {SYDNEY, PERTH}),
        ("number=02+8074+0801", {SYDNEY}),
        (f"since={since}", {PERTH}),
        ("requester=other", {PERTH}),
        (f"requester=default&since={since}", set()),
    ):
        assert on(browser.get(f"/{listed}?{query}").get_data(as_text=True)) == shown, query


@BOTH
def test_what_is_wrong_is_said_and_an_empty_list_says_what_it_would_hold(browser: Browser, listed: str) -> None:
    said = browser.get(f"/{listed}?number=dealer&since=yesterday&requester=nobody").get_data(as_text=True)
    for fault in (
        "number: &#39;dealer&#39; is not a phone number.",
        "since: &#39;yesterday&#39;",
        "there is none named &#39;nobody&#39;",
    ):
        assert fault in said
    assert "trunkline upstream urls" in said


@BOTH
def test_the_next_page_goes_on_where_this_one_ends(api: Api, browser: Browser, listed: str) -> None:
    numbers = [f"+6128074{place:04}" for place in range(60)]
    for number in numbers:
        keep(api.engine, listed, number)
    first = browser.get(f"/{listed}").get_data(as_text=True)
    cursor = first.partition("cursor=")[2].partition('"')[0]
    second = browser.get(f"/{listed}?cursor={cursor}").get_data(as_text=True)
    assert [number for number in numbers if (number in first) == (number in second)] == []


@BOTH
def test_names_from_outside_are_text_and_nothing_else(api: Api, browser: Browser, listed: str) -> None:
    keep(api.engine, listed, **({"text": HOSTILE} if listed == "messages" else {"status": HOSTILE}))
    said = browser.get(f"/{listed}").get_data(as_text=True)
    assert HOSTILE not in said
    assert "&lt;script&gt;alert(1)" in said


def test_a_call_without_a_number_and_a_time_nobody_could_read_is_shown_as_it_came(api: Api, browser: Browser) -> None:
    keep(api.engine, "calls", None, started_at_raw="half past nine")
    keep(api.engine, "calls", started_at=datetime(2026, 1, 1, tzinfo=UTC), duration=61)
    said = browser.get("/calls").get_data(as_text=True)
    assert "half past nine" in said
    assert "2026-01-01 00:00:00 UTC" in said


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch, database_url: str, engine: Engine, tmp_path: Path) -> Iterator[Api]:
    """Where only keys that may operate see callers."""
    settings = settings_for(monkeypatch, database_url, str(tmp_path), TRUNKLINE_CALLERS_SHOWN_TO="operate")
    with receiver(settings, engine) as running:
        yield running


@pytest.mark.parametrize(("role", "sees"), [(Role.VIEWER, False), (Role.OPERATOR, True), (Role.ADMIN, True)])
def test_who_called_or_wrote_is_shown_to_roles_that_may_see_it(guarded: Api, role: Role, sees: bool) -> None:
    done(guarded.engine)
    (row,) = read(guarded.engine, lambda session: session.scalars(sa.select(Number)).all())
    for listed in ("calls", "messages"):
        keep(guarded.engine, listed)
    make_user(guarded.engine, "vic", role)
    visitor = Browser(guarded.app.test_client())
    visitor.sign_in("vic")
    for path in ("/calls", "/messages", f"/numbers/{row.id}"):
        said = visitor.get(path).get_data(as_text=True)
        assert (SOMEBODY in said) is sees
        assert ("…123" in said) is not sees
        assert ("TRUNKLINE_CALLERS_SHOWN_TO" in said) is not sees
        if path != "/calls":
            assert (TEXT in said) is sees
