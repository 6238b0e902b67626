"""Batches in the console: how far each is, its results, and steering one."""

from __future__ import annotations

import re
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from models.act import Act
from models.base import read, utc_now, write
from models.batch import Batch, BatchState
from models.state import State
from models.transition import Move, transition
from models.user import Role
from tests.factory import make_batch, make_requests
from tests.integration.console import Browser, browser, make_user
from tests.receiver import Api

__all__ = ["browser"]


def make(api: Api) -> UUID:
    """Four rows, of which one is done."""
    batch = make_batch(api.engine, 4)
    ids = [
        make_requests(api.engine, batch_id=batch, position=place, custom_id=f"d-{place}")[0] for place in range(1, 5)
    ]

    def work(session: Session) -> None:
        session.get_one(Batch, batch).created_at = utc_now()
        transition(session, [Move(ids[0], State.COMPLETED, "test", changes={"number": "+61280740801"})], utc_now())

    write(api.engine, work)
    return batch


def row(api: Api, batch: UUID) -> Batch:
    return read(api.engine, lambda session: session.get_one(Batch, batch))


def acts(api: Api) -> list[tuple[str, str, str | None]]:
    def work(session: Session) -> list[tuple[str, str, str | None]]:
        found = session.execute(
            sa.select(Act.actor, Act.act, Act.reason).where(Act.act.like("batch.%")).order_by(Act.id)
        )
        return [tuple(one) for one in found]  # type: ignore[misc]

    return read(api.engine, work)


def test_the_list_and_the_page_say_how_far_a_batch_is(api: Api, browser: Browser) -> None:
    batch = make(api)
    said = browser.get("/batches").get_data(as_text=True)
    assert "1 of 4" in re.sub(r"\s+", " ", said)
    assert f"/console/requests?batch={batch}&amp;state=completed" in said
    page = browser.get(f"/batches/{batch}").get_data(as_text=True)
    assert "1 of 4 ended" in page
    assert "left" in page


def test_results_come_as_a_file_in_input_order(api: Api, browser: Browser) -> None:
    batch = make(api)
    answer = browser.get(f"/batches/{batch}/results.csv")
    assert answer.mimetype == "text/csv"
    lines = answer.get_data(as_text=True).splitlines()
    assert [line.split(",")[2] for line in lines[1:]] == ["d-1", "d-2", "d-3", "d-4"]
    assert len(browser.get(f"/batches/{batch}/results.ndjson").get_data().splitlines()) == 4
    assert browser.get(f"/batches/{batch}/results.xlsx").status_code == 404


def test_a_batch_is_paused_by_one_click_and_resumed_by_its_name_and_a_reason(api: Api, browser: Browser) -> None:
    batch = make(api)
    browser.get(f"/batches/{batch}")
    assert browser.post(f"/batches/{batch}/pause").status_code == 302
    assert row(api, batch).state is BatchState.PAUSED
    browser.get(f"/batches/{batch}/resume")
    for said in ({}, {"typed": "dealers"}, {"reason": "why"}, {"typed": "other", "reason": "why"}):
        assert browser.post(f"/batches/{batch}/resume", said).status_code == 409
    assert row(api, batch).state is BatchState.PAUSED
    assert browser.post(f"/batches/{batch}/resume", {"typed": "dealers", "reason": "all is well"}).status_code == 302
    assert row(api, batch).state is BatchState.RUNNING
    assert acts(api) == [("user:ann", "batch.pause", None), ("user:ann", "batch.resume", "all is well")]


def test_a_batch_is_cancelled_by_its_name_and_a_reason(api: Api, browser: Browser) -> None:
    batch = make(api)
    assert "Ends the 3 that are not ordered yet" in browser.get(f"/batches/{batch}/cancel").get_data(as_text=True)
    browser.post(f"/batches/{batch}/cancel", {"typed": "dealers", "reason": "the wrong file"})
    assert row(api, batch).state is BatchState.CANCELLED
    browser.get(f"/batches/{batch}")
    assert browser.post(f"/batches/{batch}/pause").status_code == 409


@pytest.mark.parametrize(("said", "status"), [("0", 422), ("-1", 422), ("many", 422), ("99999999999", 422)])
def test_a_limit_that_is_none_is_refused(api: Api, browser: Browser, said: str, status: int) -> None:
    batch = make(api)
    browser.get(f"/batches/{batch}")
    assert browser.post(f"/batches/{batch}/limit", {"max_numbers": said}).status_code == status


def test_a_lower_limit_is_safe_and_a_higher_one_spends(api: Api, browser: Browser) -> None:
    batch = make(api)
    browser.get(f"/batches/{batch}")
    assert browser.post(f"/batches/{batch}/limit", {"max_numbers": "2"}).status_code == 302
    browser.get(f"/batches/{batch}")
    assert browser.post(f"/batches/{batch}/limit", {"max_numbers": "3"}).status_code == 409
    assert row(api, batch).max_numbers == 2
    said = {"max_numbers": "", "typed": "dealers", "reason": "the budget came"}
    assert browser.post(f"/batches/{batch}/limit", said).status_code == 302
    assert row(api, batch).max_numbers is None


def test_a_viewer_sees_it_and_may_not_steer_it(api: Api) -> None:
    make_user(api.engine, "vic", Role.VIEWER)
    batch = make(api)
    visitor = Browser(api.app.test_client())
    visitor.sign_in("vic")
    assert "What you may do" not in visitor.get(f"/batches/{batch}").get_data(as_text=True)
    for verb in ("pause", "resume", "cancel", "limit"):
        assert visitor.post(f"/batches/{batch}/{verb}").status_code == 403


def test_a_batch_that_is_not_there_is_not_found(browser: Browser) -> None:
    for path in ("", "/results.csv", "/cancel"):
        assert browser.get(f"/batches/01a2059d-f346-75e6-a294-7a6dcbc09932{path}").status_code == 404
