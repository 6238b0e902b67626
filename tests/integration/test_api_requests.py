"""Requests over HTTP: asked for once however often it is sent, found again, and steered."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.orm import Session

from models.base import write
from models.request import Request
from models.requester import Scope
from models.state import Reason, State
from models.transition import Move, transition
from tests.factory import NOW, make_requests
from tests.receiver import BODY, Api
from worker import hints


def move(api: Api, request_id: UUID, *states: State, **fields: Any) -> None:
    def work(session: Session) -> None:
        for state in states:
            transition(session, [Move(request_id, state, "test", **fields)], NOW)

    write(api.engine, work)


def test_a_request_is_taken_and_can_be_looked_up(api: Api) -> None:
    answer = api.post("/v1/requests", json=BODY)

    assert answer.status_code == 202
    assert answer.json is not None
    assert (answer.json["state"], answer.json["custom_id"], answer.json["spec"]) == (
        "queued",
        "dealer-17",
        BODY["spec"],
    )
    assert UUID(answer.json["id"]).version == 7
    assert answer.headers["Location"] == f"/v1/requests/{answer.json['id']}"
    assert api.get(answer.headers["Location"]).json == answer.json


def test_the_workers_hear_of_it_when_it_can_be_read(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, int]] = []
    monkeypatch.setattr(hints, "upstream", lambda name: seen.append((name, len(api.requests()))))
    api.post("/v1/requests", json=BODY)

    assert seen == [("avanser", 1)]


def test_the_same_key_and_body_is_the_same_request(api: Api) -> None:
    first = api.post("/v1/requests", json=BODY, headers={"Idempotency-Key": "once"})
    again = api.post("/v1/requests", json=dict(reversed(BODY.items())), headers={"Idempotency-Key": "once"})

    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json == first.json
    assert again.headers["Location"] == first.headers["Location"]
    assert len(api.requests()) == 1


def test_the_same_key_with_another_body_is_refused(api: Api) -> None:
    api.post("/v1/requests", json=BODY, headers={"Idempotency-Key": "once"})
    other = api.post("/v1/requests", json=BODY | {"custom_id": "dealer-18"}, headers={"Idempotency-Key": "once"})

    assert other.status_code == 422
    assert other.json is not None
    assert other.json["code"] == "idempotency_key_reused"
    assert [request.custom_id for request in api.requests()] == ["dealer-17"]


def test_the_same_key_of_another_requester_is_another_key(api: Api) -> None:
    theirs = api.make_key(Scope.SUBMIT, requester="other")
    answers = [
        api.post("/v1/requests", json=BODY, key=key, headers={"Idempotency-Key": "once"}) for key in ("", theirs)
    ]

    assert [answer.status_code for answer in answers] == [202, 202]
    assert len(api.requests()) == 2


def test_lists_are_paged_newest_first_without_gap_or_double(api: Api) -> None:
    ids = [str(id_) for id_ in make_requests(api.engine, 25)]
    seen, path = [], "/v1/requests?limit=10"
    while True:
        page = api.get(path).json
        assert page is not None
        seen.append([one["id"] for one in page["data"]])
        make_requests(api.engine)  # newer than all that is still to come
        if page["next_cursor"] is None:
            break
        path = f"/v1/requests?limit=10&cursor={page['next_cursor']}"

    assert [len(ids) for ids in seen] == [10, 10, 5]
    assert sorted(sum(seen, [])) == sorted(ids)  # noqa: RUF017 -- three short lists


@pytest.mark.parametrize(
    "query",
    ["state=held", "upstream=avanser&state=held", "kind=provision&reason=outcome_unknown", "q=x-1", "q=0280740801"],
)
def test_lists_are_narrowed(api: Api, query: str) -> None:
    wanted, other = make_requests(api.engine, 1, custom_id="x-1") + make_requests(api.engine, 1, custom_id="x-2")
    changes = {"number": "+61280740801"}
    move(api, wanted, State.SUBMITTING, State.HELD, reason=Reason.OUTCOME_UNKNOWN, changes=changes)

    page = api.get(f"/v1/requests?{query}&batch=&cursor=").json  # an empty parameter is none
    assert page is not None
    assert [one["id"] for one in page["data"]] == [str(wanted)]
    assert api.get(f"/v1/requests?q={other}").json["data"][0]["custom_id"] == "x-2"  # type: ignore[index]


def test_the_timeline_tells_every_move_oldest_first(api: Api) -> None:
    (request_id,) = make_requests(api.engine)
    move(api, request_id, State.SUBMITTING, State.ACCEPTED, State.COMPLETED)

    answer = api.get(f"/v1/requests/{request_id}/timeline").json
    assert answer is not None
    assert [(entry["from"], entry["to"]) for entry in answer["data"]] == [
        (None, "queued"),
        ("queued", "submitting"),
        ("submitting", "accepted"),
        ("accepted", "completed"),
    ]


def test_a_queued_request_can_be_cancelled_and_a_completed_one_cannot(api: Api) -> None:
    queued, completed = make_requests(api.engine, 2)
    move(api, completed, State.COMPLETED)

    cancelled = api.post(f"/v1/requests/{queued}/cancel")
    assert (cancelled.status_code, cancelled.json and cancelled.json["state"]) == (200, "cancelled")
    refused = api.post(f"/v1/requests/{completed}/cancel")
    assert (refused.status_code, refused.json and refused.json["code"]) == (409, "not_now")
    assert "completed" in (refused.json or {})["detail"]


def test_a_held_request_is_settled_by_hand_and_the_history_names_the_key(api: Api) -> None:
    (request_id,) = make_requests(api.engine)
    move(api, request_id, State.SUBMITTING, State.HELD)
    said = {"outcome": "completed", "number": "+61280740801", "note": "Seen in the portal."}

    settled = api.post(f"/v1/requests/{request_id}/resolve", json=said)

    assert settled.json is not None
    assert (settled.json["state"], settled.json["number"]) == ("completed", "+61280740801")
    last = api.get(f"/v1/requests/{request_id}/timeline").json["data"][-1]  # type: ignore[index]
    assert (last["detail"], last["actor"][:4]) == ("Seen in the portal.", "key ")


def test_retry_makes_a_waiting_request_due_now(api: Api) -> None:
    (request_id,) = make_requests(api.engine)
    move(api, request_id, State.QUEUED, reason=Reason.OUT_OF_STOCK, due_at=NOW + timedelta(days=365))

    before = api.get(f"/v1/requests/{request_id}").json
    after = api.post(f"/v1/requests/{request_id}/retry").json
    assert before is not None
    assert after is not None
    assert after["due_at"] < before["due_at"]


@pytest.mark.parametrize("action", ["", "/timeline", "/cancel", "/retry", "/resolve"])
@pytest.mark.parametrize("is_there", [True, False])
def test_another_requesters_request_is_not_there(api: Api, action: str, is_there: bool) -> None:
    request_id = make_requests(api.engine)[0] if is_there else uuid4()
    theirs = api.make_key(*Scope, requester="other")
    body = {"outcome": "failed"} if action == "/resolve" else None
    method = "GET" if action in ("", "/timeline") else "POST"

    answer = api.call(method, f"/v1/requests/{request_id}{action}", key=theirs, json=body)

    assert answer.status_code == 404
    assert answer.json == api.get("/v1/requests/no-id").json
    assert api.get("/v1/requests", key=theirs).json == {"data": [], "next_cursor": None}
    assert [request.state for request in api.requests()] == [State.QUEUED] * is_there


def test_what_is_taken_is_due_at_once_without_a_broker(api: Api) -> None:
    api.post("/v1/requests", json=BODY)

    (request,) = api.requests()
    assert isinstance(request, Request)
    assert request.due_at == request.created_at


def test_requests_whose_end_is_contradicted_are_found_by_whoever_sees_the_metric(api: Api) -> None:
    fine, doubtful = make_requests(api.engine, 2)
    for request_id in (fine, doubtful):
        move(api, request_id, State.CANCELLED)
    move(api, doubtful, State.COMPLETED)

    def listed(words: str) -> list[str]:
        answer = api.get(f"/v1/requests{words}").json
        assert answer is not None
        return [row["id"] for row in answer["data"]]

    assert listed("?contradicted=true") == [str(doubtful)]
    assert listed("?contradicted=false") == [str(fine)]
    assert len(listed("")) == 2
    assert api.get("/v1/requests?contradicted=perhaps").status_code == 422
