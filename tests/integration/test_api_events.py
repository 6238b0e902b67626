"""`GET /v1/events`: all that was to be told, each once, and none skipped."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models import delivery
from models.base import make_engine, new_id, utc_now, write
from models.delivery import Delivery, Notice
from models.endpoint import EventType
from models.requester import Requester, Scope
from models.state import State
from models.transition import Move, transition
from tests.factory import KEYRING, NOW, make_endpoint, make_requester, make_requests
from tests.receiver import Api, csv_file, receiver, row, settings_for
from tests.working import every
from worker import relay


def asked(api: Api, *, key: str = "", **query: Any) -> tuple[list[dict[str, Any]], str]:
    answer = api.get("/v1/events", query_string=query, key=key)
    assert answer.status_code == 200, answer.text
    assert answer.json is not None
    return answer.json["data"], answer.json["next_cursor"]


def tell(api: Api, owner: Requester, *texts: str, **fields: Any) -> None:
    notices = [Notice(EventType.CALL_FINISHED, owner.id, {"text": text}, **fields) for text in texts]
    write(api.engine, lambda session: delivery.file(session, notices, NOW))


def texts(rows: list[dict[str, Any]]) -> list[str]:
    return [row["data"]["text"] for row in rows]


def test_events_are_there_without_an_endpoint_and_are_no_deliveries(api: Api) -> None:
    (id_,) = make_requests(api.engine)
    for to in (State.HELD, State.QUEUED, State.HELD, State.FAILED):
        write(api.engine, lambda session, to=to: transition(session, [Move(id_, to, "test")], NOW))  # type: ignore[misc]
    rows, _ = asked(api)
    assert [(row["type"], row["sequence"]) for row in rows] == [
        ("request.held", 1),
        ("request.held", 2),
        ("request.failed", 3),
    ]
    assert {row["request"] for row in rows} == {str(id_)}
    assert rows[-1]["data"]["state"] == "failed"
    assert api.get("/v1/deliveries").json == {"data": [], "next_cursor": None}
    assert api.post(f"/v1/deliveries/{rows[0]['id']}/replay").status_code == 404
    assert "Nobody was told" in api.get(f"/v1/requests/{id_}/explain").text
    assert {row.due_at for row in every(api.engine, Delivery)} == {None}


def test_a_finished_batch_is_told_of_with_its_counts_and_where_its_results_are(api: Api) -> None:
    answer = api.post("/v1/batches", data=csv_file([row("a"), row("b")]), media_type="text/csv")
    moves = [Move(request.id, State.COMPLETED, "test") for request in api.requests()]
    write(api.engine, lambda session: transition(session, moves, NOW))
    write(api.engine, lambda session: relay.finish_batches(session, NOW))
    (told,), _ = asked(api, type="batch.finished")
    assert told["batch"] == (answer.json or {})["id"]
    assert told["data"]["counts"]["completed"] == 2
    results = api.get(told["data"]["results_url"])
    assert results.status_code == 200
    assert results.text.count("completed") == 2


def test_an_event_that_goes_to_several_endpoints_is_there_once(api: Api) -> None:
    owner = make_requester(api.engine)
    for name in ("crm", "billing", "log"):
        make_endpoint(api.engine, owner, "https://crm.example/", name=name)
    tell(api, owner, "a", "b")
    rows, _ = asked(api)
    assert texts(rows) == ["a", "b"]
    filed = api.get("/v1/deliveries").json or {}
    assert sorted(one["event"] for one in filed["data"]) == sorted(row["id"] for row in rows for _ in range(3))


def test_the_cursor_goes_on_from_where_it_was_and_stays_where_nothing_is_new(api: Api) -> None:
    owner = make_requester(api.engine)
    tell(api, owner, "a", "b", "c")
    first, cursor = asked(api, limit=2)
    rest, end = asked(api, limit=2, after=cursor)
    assert (texts(first), texts(rest)) == (["a", "b"], ["c"])
    assert asked(api, after=end) == ([], end)
    tell(api, owner, "d")
    assert texts(asked(api, after=end)[0]) == ["d"]
    assert asked(api, type="request.failed", after=end) == ([], end)
    assert texts(asked(api, type="call.finished")[0]) == ["a", "b", "c", "d"]


def test_who_reads_before_anything_happened_misses_nothing(api: Api) -> None:
    _, cursor = asked(api)
    tell(api, make_requester(api.engine), "a")
    assert texts(asked(api, after=cursor)[0]) == ["a"]


def test_another_requesters_events_are_not_there(api: Api) -> None:
    tell(api, make_requester(api.engine), "a")
    theirs = api.get("/v1/events", key=api.make_key(Scope.READ, requester="other")).json or {}
    assert theirs["data"] == []
    assert api.get("/v1/events", key=api.make_key(Scope.SUBMIT)).status_code == 403


def test_who_called_is_shown_only_to_keys_that_may_see_it(
    monkeypatch: pytest.MonkeyPatch, database_url: str, engine: Engine, tmp_path: Any
) -> None:
    settings = settings_for(monkeypatch, database_url, str(tmp_path), TRUNKLINE_CALLERS_SHOWN_TO="operate")
    data = {"caller": "+61400000123", "sender": "+61400000123", "text": "hello", "parameters": {"from": "+61400000123"}}
    masked: dict[str, Any] = {"caller": "…123", "sender": "…123", "text": None, "parameters": {}}
    with receiver(settings, engine) as api:
        owner = make_requester(engine)
        notices = [Notice(type_, owner.id, data) for type_ in (EventType.CALL_FINISHED, EventType.MESSAGE_RECEIVED)]
        write(engine, lambda session: delivery.file(session, notices, NOW))
        whole, _ = asked(api)
        less, _ = asked(api, key=api.make_key(Scope.READ))
    assert [row["data"] for row in whole] == [data, data]
    assert [row["data"] for row in less] == [masked, masked]


@pytest.mark.parametrize("after", ["x", "1", "1-", f"-{0:032x}", f"{1 << 63:x}-{0:032x}", "1-" + "A" * 32])
def test_what_is_no_cursor_is_named(api: Api, after: str) -> None:
    answer = api.get("/v1/events", query_string={"after": after})
    assert answer.status_code == 422
    assert (answer.json or {})["errors"][0]["parameter"] == "after"


def test_a_cursor_from_before_a_restore_is_gone(api: Api) -> None:
    tell(api, make_requester(api.engine), "a")
    answer = api.get("/v1/events", query_string={"after": f"{1 << 50:x}-{new_id().hex}"})
    assert (answer.status_code, (answer.json or {})["code"]) == (410, "cursor_ahead")


def test_a_transaction_that_commits_late_is_not_skipped(
    monkeypatch: pytest.MonkeyPatch, postgresql_url: str, tmp_path: Any
) -> None:
    """The first to begin, with the lower ids, commits last: a reader by id would have gone past it."""
    engine = make_engine(postgresql_url, keyring=KEYRING)
    with receiver(settings_for(monkeypatch, postgresql_url, str(tmp_path)), engine) as api:
        owner = make_requester(engine)
        read_on, cursor = asked(api)
        assert read_on == []
        with Session(engine) as slow:
            delivery.file(slow, [Notice(EventType.CALL_FINISHED, owner.id, {"text": "slow"})], utc_now())
            tell(api, owner, "quick")
            assert every(engine, Delivery)[0].data == {"text": "quick"}, "it is committed"
            seen, cursor = asked(api, after=cursor)
            assert seen == []
            slow.commit()
        seen, cursor = asked(api, after=cursor)
        assert texts(seen) == ["slow", "quick"]
        tell(api, owner, "next")
        assert texts(asked(api, after=cursor)[0]) == ["next"]
    engine.dispose()


def test_rows_from_another_servers_count_are_told_of_and_mended(
    monkeypatch: pytest.MonkeyPatch, postgresql_url: str, tmp_path: Any
) -> None:
    engine = make_engine(postgresql_url, keyring=KEYRING)
    with receiver(settings_for(monkeypatch, postgresql_url, str(tmp_path)), engine) as api:
        tell(api, make_requester(engine), "a", "b")
        write(engine, lambda session: session.execute(sa.update(Delivery).values(position=1 << 50)))
        answer = api.get("/v1/events")
        assert (answer.status_code, (answer.json or {})["code"]) == (410, "cursor_ahead")
        write(engine, lambda session: session.execute(sa.text("UPDATE deliveries SET position = 0")))
        assert texts(asked(api)[0]) == ["a", "b"]
    engine.dispose()
