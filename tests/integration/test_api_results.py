"""Endpoints, deliveries, calls and stock over HTTP."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models import call
from models.base import new_id, read, utc_now, write
from models.delivery import Delivery, DeliveryState
from models.endpoint import Endpoint, EventType
from models.requester import Scope
from models.state import State
from models.transition import Move, transition
from tests.factory import NOW, make_endpoint, make_requester, make_requests
from tests.receiver import Api, receiver, settings_for
from tests.sandbox import ACCOUNT, PASSWORD, USERNAME, SandboxServer

URL = "https://crm.example/results"


def test_an_endpoint_shows_its_secret_once(api: Api) -> None:
    made = api.post("/v1/endpoints", json={"url": URL, "types": ["request.completed"]})

    assert made.status_code == 201
    assert made.json is not None
    assert made.json["secret"].startswith("whsec_")
    assert (made.json["name"], made.json["types"]) == ("crm.example", ["request.completed"])
    shown = {name: value for name, value in made.json.items() if name != "secret"}
    assert api.get("/v1/endpoints").json == {"data": [shown], "next_cursor": None}


def test_an_endpoint_takes_all_types_unless_told_which(api: Api) -> None:
    made = api.post("/v1/endpoints", json={"url": URL, "name": "all"}).json
    assert made is not None
    assert set(made["types"]) == set(EventType)


def test_a_name_is_taken_once(api: Api) -> None:
    answers = [api.post("/v1/endpoints", json={"url": URL, "name": "crm"}) for _ in range(2)]
    theirs = api.post(
        "/v1/endpoints", json={"url": URL, "name": "crm"}, key=api.make_key(Scope.ADMIN, requester="other")
    )

    assert [answer.status_code for answer in answers] == [201, 409]
    assert theirs.status_code == 201


def test_after_a_rotation_both_secrets_sign_for_a_day(api: Api) -> None:
    made = api.post("/v1/endpoints", json={"url": URL}).json
    assert made is not None
    rotated = api.post(f"/v1/endpoints/{made['id']}/rotate").json

    assert rotated is not None
    assert rotated["secret"] != made["secret"]
    (kept,) = read(api.engine, lambda session: list(session.scalars(sa.select(Endpoint))))
    assert (kept.secret, kept.previous_secret) == (rotated["secret"], made["secret"])
    assert kept.previous_expires_at is not None
    assert timedelta(hours=23) < kept.previous_expires_at - utc_now() < timedelta(hours=25)


@pytest.mark.parametrize(
    "url", ["http://crm.example/", "https://127.0.0.1/", "https://u:p@crm.example/", "ftp://x", "x"]
)
def test_a_url_to_which_nothing_may_go_is_refused(
    monkeypatch: pytest.MonkeyPatch, database_url: str, engine: Engine, tmp_path: Path, url: str
) -> None:
    strict = settings_for(monkeypatch, database_url, str(tmp_path), TRUNKLINE_ALLOW_PRIVATE_DESTINATIONS="false")
    with receiver(strict, engine) as api:
        answer = api.post("/v1/endpoints", json={"url": url})

    assert answer.status_code == 422
    assert [error["pointer"] for error in (answer.json or {})["errors"]] == ["/url"]


def delivered(api: Api) -> tuple[UUID, Delivery]:
    """A request that has ended, and the result that tells of it, which has arrived."""
    owner = make_requester(api.engine)
    make_endpoint(api.engine, owner, URL)
    (request_id,) = make_requests(api.engine)

    def work(session: Session) -> Delivery:
        transition(session, [Move(request_id, State.COMPLETED, "test")], NOW)
        row = session.scalars(sa.select(Delivery)).one()
        row.state, row.due_at, row.delivered_at, row.attempts = DeliveryState.DELIVERED, None, NOW, 3
        session.flush()
        return row

    return request_id, write(api.engine, work)


def test_deliveries_are_found_by_state_and_request(api: Api) -> None:
    request_id, row = delivered(api)

    def found(query: str) -> list[str]:
        return [one["id"] for one in (api.get(f"/v1/deliveries?{query}").json or {})["data"]]

    assert found("") == found("state=delivered") == found(f"request={request_id}") == [str(row.id)]
    assert found("state=pending") == found(f"request={new_id()}") == []


def test_a_replay_sends_the_same_result_again_under_the_same_id(api: Api) -> None:
    _, row = delivered(api)

    answer = api.post(f"/v1/deliveries/{row.id}/replay")

    assert (answer.status_code, (answer.json or {})["state"], (answer.json or {})["id"]) == (
        202,
        "pending",
        str(row.id),
    )
    again = read(api.engine, lambda session: session.get_one(Delivery, row.id))
    assert again.due_at is not None
    assert (again.attempts, again.fence) == (0, row.fence + 1)


@pytest.mark.parametrize("path", ["/v1/deliveries/{delivery}/replay", "/v1/endpoints/{endpoint}/rotate"])
def test_what_is_another_requesters_is_not_there(api: Api, path: str) -> None:
    _, row = delivered(api)
    theirs = api.make_key(*Scope, requester="other")

    assert api.post(path.format(delivery=row.id, endpoint=row.endpoint_id), key=theirs).status_code == 404
    for listed in ("deliveries", "endpoints", "calls"):
        assert api.get(f"/v1/{listed}", key=theirs).json == {"data": [], "next_cursor": None}
    assert read(api.engine, lambda session: session.get_one(Delivery, row.id)).due_at is None


def keep_call(api: Api, reference: str, number: str, received_at: datetime) -> None:
    owner = make_requester(api.engine)
    row: dict[str, Any] = {
        "id": new_id(),
        "upstream": "avanser",
        "upstream_reference": reference,
        "request_id": new_id(),
        "requester_id": owner.id,
        "number": number,
        "caller": "+61400123456",
        "answer_point": None,
        "status": "answered",
        "duration": 12,
        "started_at": received_at,
        "started_at_raw": "2017-06-11T16:49:17+10:00",
        "parameters": {"callid": reference},
        "received_at": received_at,
    }
    write(api.engine, lambda session: call.keep(session, row))


def test_calls_are_found_by_number_in_any_form_and_by_time(api: Api) -> None:
    keep_call(api, "1", "+61280740801", datetime(2026, 1, 1, tzinfo=UTC))
    keep_call(api, "2", "+61280740802", datetime(2026, 1, 2, tzinfo=UTC))

    def found(query: str) -> list[str]:
        return [one["upstream_reference"] for one in (api.get(f"/v1/calls?{query}").json or {})["data"]]

    assert found("") == ["2", "1"]
    assert found("number=%2B61280740801") == found("number=(02)%208074%200801") == ["1"]
    assert found("since=2026-01-02T00:00:00Z") == found("since=2026-01-02T10:00:00%2B10:00") == ["2"]


@pytest.fixture(scope="module")
def sandbox() -> Any:
    with SandboxServer() as running:
        yield running


def test_stock_is_the_upstreams_own_in_our_form(
    monkeypatch: pytest.MonkeyPatch, database_url: str, engine: Engine, tmp_path: Path, sandbox: SandboxServer
) -> None:
    account = {"USERNAME": USERNAME, "PASSWORD": PASSWORD, "ACCOUNT_ID": ACCOUNT, "URL": f"{sandbox.url}/avanser/v1"}
    more = {f"TRUNKLINE_AVANSER_{name}": value for name, value in account.items()}
    with receiver(settings_for(monkeypatch, database_url, str(tmp_path), **more), engine) as api:
        answer = api.get("/v1/stock?upstream=avanser&country=AU&szu=sydney")

    assert answer.status_code == 200
    rows = (answer.json or {})["data"]
    assert rows
    assert all(row["number"].startswith("+61") for row in rows)


def test_stock_of_an_upstream_that_does_not_answer_is_503(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.settings.avanser, "url", "http://127.0.0.1:1/v1")
    answer = api.get("/v1/stock?upstream=avanser&country=AU")
    assert (answer.status_code, (answer.json or {})["code"]) == (503, "upstream_unavailable")


@pytest.mark.parametrize("query", ["upstream=nobody", "upstream=", "", "country=AU", "upstream=telmetrics"])
def test_stock_of_no_upstream_of_ours_is_422(api: Api, query: str) -> None:
    answer = api.get(f"/v1/stock?{query}")
    assert answer.status_code == 422
    assert [error["parameter"] for error in (answer.json or {})["errors"]] == ["upstream"]
