"""The console's inbox: what nobody understood, as text, masked."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.orm import Session

from models.base import new_id, utc_now, write
from models.inbox import Purpose, Received
from tests.factory import make_requests
from tests.integration.console import Browser, browser
from tests.receiver import Api

__all__ = ["browser"]

BODY = b'{"status": "<script>alert(1)</script>", "caller": "61400098765", "token": "s3cr3t-s3cr3t"}'


def received(api: Api, problem: str | None) -> UUID:
    (about,) = make_requests(api.engine)
    row = Received(
        id=new_id(), upstream="avanser", purpose=Purpose.CALLBACK, request_id=about, digest=str(new_id()),
        method="POST", query="", content_type="application/json", body=BODY, received_at=utc_now(), fence=1,
        attempts=1, due_at=None, applied_at=None, problem=problem,
    )  # fmt: skip

    def work(session: Session) -> UUID:
        session.add(row)
        session.flush()
        return row.id

    return write(api.engine, work)


def test_what_was_not_understood_is_listed_and_what_was_is_not(api: Api, browser: Browser) -> None:
    strange, fine = received(api, "status: not one that avanser documents"), received(api, None)
    said = browser.get("/inbox").get_data(as_text=True)
    assert f"/console/inbox/{strange}" in said
    assert str(fine) not in said


def test_what_came_is_shown_as_text_without_secrets_and_whole_numbers(api: Api, browser: Browser) -> None:
    said = browser.get(f"/inbox/{received(api, 'strange')}").get_data(as_text=True)
    assert "<script>alert" not in said
    assert "&lt;script&gt;alert" in said
    assert "61400098765" not in said
    assert "s3cr3t" not in said
    assert "…765" in said


def test_what_is_not_there_is_not_found(browser: Browser) -> None:
    assert browser.get("/inbox/01a2059d-f346-75e6-a294-7a6dcbc09932").status_code == 404
