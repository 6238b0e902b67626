"""The console's bulk jobs: how far each is, what may be done to it, and its results."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from models.act import Act
from models.base import read, utc_now, write
from models.batch import Batch, BatchState
from models.batch_list import Progress, reasons
from models.state import State
from models.transition import Move, transition
from models.user import Role
from tests.factory import NOW, make_batch, make_requester, make_requests
from tests.integration.console import Browser, browser, make_user
from tests.receiver import Api

__all__ = ["browser"]

HOSTILE = "<script>alert(1)</script>"


def rename(api: Api, batch_id: UUID, name: str, **more: object) -> None:
    values = {"name": name, **more}
    write(api.engine, lambda session: session.execute(sa.update(Batch).where(Batch.id == batch_id).values(values)))


def fetch(api: Api, batch_id: UUID) -> Batch:
    return read(api.engine, lambda session: session.get_one(Batch, batch_id))


def make_moved(api: Api, name: str = "dealers") -> UUID:
    """Of four requests one has completed, one failed, one is held and one waits."""
    batch_id = make_batch(api.engine, 4)
    rename(api, batch_id, name, created_at=utc_now(), sealed_at=utc_now())
    done, failed, held, _ = make_requests(api.engine, 4, batch_id=batch_id)
    moves = [
        Move(done, State.COMPLETED, "test", changes={"number": "+61280740801"}),
        Move(failed, State.FAILED, "test", "upstream_rejected", "No."),
        Move(held, State.HELD, "test", "callback_missing", "Nothing came."),
    ]
    write(api.engine, lambda session: transition(session, moves, NOW))
    return batch_id


def acts(api: Api) -> list[tuple[str, str, str, str | None]]:
    def work(session: Session) -> list[tuple[str, str, str, str | None]]:
        rows = session.scalars(sa.select(Act).where(Act.act != "session.begin").order_by(Act.id))
        return [(row.actor, row.act, row.subject, row.reason) for row in rows]

    return read(api.engine, work)


def test_the_list_shows_the_batches_of_all_requesters_with_how_far_each_is(api: Api, browser: Browser) -> None:
    batch_id = make_moved(api)
    rename(api, make_batch(api.engine, 1, owner=make_requester(api.engine, "other")), "theirs")
    said = browser.get("/batches").get_data(as_text=True)
    assert said.index("theirs") < said.index("dealers")
    assert '<progress max="4" value="2"' in said
    for state in ("completed", "failed", "held", "queued"):
        assert f"/console/requests?batch={batch_id}&amp;state={state}" in said


def test_the_list_is_narrowed_by_state_and_requester(api: Api, browser: Browser) -> None:
    paused = make_batch(api.engine, 1, owner=make_requester(api.engine, "other"))
    rename(api, paused, "waits", state=BatchState.PAUSED)
    rename(api, make_batch(api.engine, 1), "goes")
    rename(api, make_batch(api.engine, 1), "over", state=BatchState.FINISHED, finished_at=NOW)
    names = ("waits", "goes", "over")
    for query, shown in (
        ("state=paused", {"waits"}),
        ("state=running", {"goes"}),
        ("state=finished", {"over"}),
        ("requester=other", {"waits"}),
    ):
        said = browser.get(f"/batches?{query}").get_data(as_text=True)
        assert {name for name in names if f">{name}</a>" in said} == shown
    said = browser.get("/batches?state=asleep&requester=nobody").get_data(as_text=True)
    assert "state: &#39;asleep&#39;" in said
    assert "there is none named &#39;nobody&#39;" in said


def test_the_next_page_goes_on_where_this_one_ends(api: Api, browser: Browser) -> None:
    names = [f"batch-{place:02}" for place in range(60)]
    for name in names:
        rename(api, make_batch(api.engine, 1), name)
    first = browser.get("/batches").get_data(as_text=True)
    cursor = first.partition("cursor=")[2].partition('"')[0]
    second = browser.get(f"/batches?cursor={cursor}").get_data(as_text=True)
    assert [name for name in names if (name in first) == (name in second)] == []


def test_a_batch_shows_why_some_of_it_failed_and_links_to_these_very_requests(api: Api, browser: Browser) -> None:
    batch_id = make_moved(api)
    make_requests(api.engine, 1)  # of no batch
    said = browser.get(f"/batches/{batch_id}").get_data(as_text=True)
    assert f"/console/requests?batch={batch_id}&amp;state=failed&amp;reason=upstream_rejected" in said
    assert f"/console/requests?batch={batch_id}&amp;state=held&amp;reason=callback_missing" in said
    batch = fetch(api, batch_id)
    found = read(api.engine, lambda session: reasons(session, batch, utc_now()))
    assert [(why.state, why.reason, why.count) for why in found] == [
        (State.FAILED, "upstream_rejected", 1),
        (State.HELD, "callback_missing", 1),
    ]


def test_the_time_left_is_told_from_the_own_pace_of_what_goes_on_by_itself() -> None:
    batch = Batch(state=BatchState.RUNNING, created_at=NOW, total=100)
    progress = Progress(batch, {State.COMPLETED: 15, State.FAILED: 5, State.HELD: 50, State.QUEUED: 30})
    assert progress.left(NOW + timedelta(minutes=20)) == timedelta(minutes=30)
    batch.state = BatchState.PAUSED
    assert progress.left(NOW + timedelta(minutes=20)) is None
    batch.state = BatchState.RUNNING
    assert Progress(batch, {State.QUEUED: 30}).left(NOW + timedelta(minutes=20)) is None


def test_a_batch_is_paused_and_resumed_by_one_click_each(api: Api, browser: Browser) -> None:
    batch_id = make_moved(api)
    browser.get(f"/batches/{batch_id}")
    browser.post(f"/batches/{batch_id}/pause")
    assert fetch(api, batch_id).state is BatchState.PAUSED
    assert "Nothing more of it is ordered until it is resumed." in browser.get(f"/batches/{batch_id}").text
    browser.post(f"/batches/{batch_id}/resume")
    assert fetch(api, batch_id).state is BatchState.RUNNING
    assert acts(api) == [("user:ann", f"batch.{act}", str(batch_id), None) for act in ("pause", "resume")]


@pytest.mark.parametrize(
    "said", [{}, {"typed": "dealers"}, {"reason": "wrong file"}, {"typed": "dealer", "reason": "wrong file"}]
)
def test_a_batch_is_not_cancelled_by_a_mere_click(api: Api, browser: Browser, said: dict[str, str]) -> None:
    batch_id = make_moved(api)
    assert "1 of 4 requests are not ordered yet" in browser.get(f"/batches/{batch_id}/cancel").text
    assert browser.post(f"/batches/{batch_id}/cancel", said).status_code == 409
    assert fetch(api, batch_id).state is BatchState.RUNNING
    assert acts(api) == []


def test_a_batch_is_cancelled_by_who_types_its_name_and_says_why(api: Api, browser: Browser) -> None:
    batch_id = make_moved(api)
    browser.get(f"/batches/{batch_id}/cancel")
    answer = browser.post(f"/batches/{batch_id}/cancel", {"typed": "dealers", "reason": "wrong file"})
    assert answer.location == f"/console/batches/{batch_id}"
    assert fetch(api, batch_id).state is BatchState.CANCELLED
    assert acts(api) == [("user:ann", "batch.cancel", str(batch_id), "wrong file")]


def test_what_has_ended_is_steered_no_more_and_says_so(api: Api, browser: Browser) -> None:
    batch_id = make_moved(api)
    rename(api, batch_id, "dealers", state=BatchState.FINISHED, finished_at=NOW)
    assert f"/console/batches/{batch_id}/pause" not in browser.get(f"/batches/{batch_id}").text
    browser.post(f"/batches/{batch_id}/pause")
    assert "Not now: all its requests have ended" in browser.get(f"/batches/{batch_id}").text
    answer = browser.post(f"/batches/{batch_id}/cancel", {"typed": "dealers", "reason": "wrong file"})
    assert answer.status_code == 409
    assert acts(api) == []


def test_to_allow_more_numbers_has_to_be_meant_and_to_allow_fewer_has_not(api: Api, browser: Browser) -> None:
    batch_id = make_moved(api)
    browser.get(f"/batches/{batch_id}")
    browser.post(f"/batches/{batch_id}/limit", {"max_numbers": "2"})
    assert fetch(api, batch_id).max_numbers == 2
    assert "spends money" in browser.get(f"/batches/{batch_id}/limit?max_numbers=3").text
    for more in ("3", ""):
        assert browser.post(f"/batches/{batch_id}/limit", {"max_numbers": more}).status_code == 409
    assert fetch(api, batch_id).max_numbers == 2
    meant = {"max_numbers": "", "typed": "dealers", "reason": "signed off"}
    assert browser.post(f"/batches/{batch_id}/limit", meant).status_code == 302
    assert fetch(api, batch_id).max_numbers is None
    assert acts(api) == [
        ("user:ann", "batch.limit", str(batch_id), None),
        ("user:ann", "batch.limit", str(batch_id), "signed off"),
    ]


@pytest.mark.parametrize("wrong", ["-1", "many", "2147483648"])
def test_a_limit_that_is_no_number_is_refused_in_words(api: Api, browser: Browser, wrong: str) -> None:
    batch_id = make_moved(api)
    assert browser.get(f"/batches/{batch_id}/limit?max_numbers={wrong}").status_code == 302
    assert "max_numbers must be a whole number from 0" in browser.get(f"/batches/{batch_id}").text
    browser.post(f"/batches/{batch_id}/limit", {"max_numbers": wrong})
    assert fetch(api, batch_id).max_numbers is None


def test_results_are_downloaded_in_input_order(api: Api, browser: Browser) -> None:
    batch_id = make_moved(api)
    table = browser.get(f"/batches/{batch_id}/results.csv")
    assert table.headers["Content-Disposition"] == f"attachment; filename=batch-{batch_id}.csv"
    states = [row["state"] for row in csv.DictReader(io.StringIO(table.get_data(as_text=True)))]
    lines = browser.get(f"/batches/{batch_id}/results.ndjson").get_data(as_text=True).splitlines()
    assert states == [json.loads(line)["state"] for line in lines]
    assert sorted(states) == ["completed", "failed", "held", "queued"]


def test_a_viewer_sees_and_downloads_and_does_nothing(api: Api) -> None:
    make_user(api.engine, "vic", Role.VIEWER)
    batch_id = make_moved(api)
    visitor = Browser(api.app.test_client())
    visitor.sign_in("vic")
    said = visitor.get(f"/batches/{batch_id}").get_data(as_text=True)
    assert "results.csv" in said
    assert "Pause" not in said
    assert visitor.get(f"/batches/{batch_id}/results.csv").status_code == 200
    for path in ("pause", "resume", "cancel", "limit"):
        assert visitor.post(f"/batches/{batch_id}/{path}").status_code == 403
    for path in ("cancel", "limit"):
        assert visitor.get(f"/batches/{batch_id}/{path}").status_code == 403


def test_nothing_is_done_for_a_form_of_another_site(api: Api, browser: Browser) -> None:
    batch_id = make_moved(api)
    for path in ("pause", "cancel", "limit"):
        assert browser.post(f"/batches/{batch_id}/{path}", token="").status_code == 400
    assert fetch(api, batch_id).state is BatchState.RUNNING


def test_names_from_outside_are_text_and_nothing_else(api: Api, browser: Browser) -> None:
    batch_id = make_moved(api, HOSTILE)
    for path in ("/batches", f"/batches/{batch_id}", f"/batches/{batch_id}/cancel"):
        said = browser.get(path).get_data(as_text=True)
        assert HOSTILE not in said
        assert "&lt;script&gt;alert(1)" in said


def test_what_is_not_there_is_not_found_and_an_empty_list_says_what_it_would_hold(browser: Browser) -> None:
    nothing = "01a2059d-f346-75e6-a294-7a6dcbc09932"
    for path in ("", "/cancel", "/limit", "/results.csv", "/results.ndjson"):
        assert browser.get(f"/batches/{nothing}{path}").status_code == 404
    assert browser.post(f"/batches/{nothing}/pause").status_code == 404
    assert "trunkline submit FILE" in browser.get("/batches").text
