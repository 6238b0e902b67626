"""Endpoints, deliveries and stock over HTTP."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models.base import make_engine, new_id, read, utc_now, write
from models.delivery import Delivery, DeliveryState
from models.endpoint import Endpoint, EventType
from models.requester import Scope
from models.state import State
from models.transition import Move, transition
from tests.factory import KEYRING, NOW, make_endpoint, make_requester, make_requests
from tests.receiver import Api, receiver, settings_for
from tests.sandbox import (
    ACCOUNT,
    MESSAGEMEDIA_KEY,
    MESSAGEMEDIA_SECRET,
    PASSWORD,
    TELMETRICS_TOKEN,
    USERNAME,
    SandboxServer,
)

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


@pytest.fixture
def selling(monkeypatch: pytest.MonkeyPatch, sqlite_url: str, tmp_path: Path, sandbox: SandboxServer) -> Iterator[Api]:
    """The receiver, with the sandbox for all upstreams."""
    credentials = {
        "AVANSER_URL": sandbox.avanser_url,
        "AVANSER_USERNAME": USERNAME,
        "AVANSER_PASSWORD": PASSWORD,
        "AVANSER_ACCOUNT_ID": ACCOUNT,
        "MESSAGEMEDIA_URL": sandbox.messagemedia_url,
        "MESSAGEMEDIA_KEY": MESSAGEMEDIA_KEY,
        "MESSAGEMEDIA_SECRET": MESSAGEMEDIA_SECRET,
        "TELMETRICS_URL": sandbox.telmetrics_url,
        "TELMETRICS_TOKEN": TELMETRICS_TOKEN,
    }
    more = {f"TRUNKLINE_{name}": value for name, value in credentials.items()}
    engine = make_engine(sqlite_url, keyring=KEYRING)
    with receiver(settings_for(monkeypatch, sqlite_url, str(tmp_path), **more), engine) as api:
        yield api
    engine.dispose()


def test_stock_is_the_upstreams_own_in_our_form(selling: Api) -> None:
    answer = selling.get("/v1/stock?upstream=avanser&country=AU&szu=sydney")

    assert answer.status_code == 200
    rows = (answer.json or {})["data"]
    assert rows
    assert all(row["number"].startswith("+61") and row["pool"] for row in rows)
    assert all((row["classification"], row["capabilities"]) == (None, []) for row in rows)


def test_stock_tells_what_a_number_costs_and_can_do_where_the_upstream_does(selling: Api) -> None:
    answer = selling.get("/v1/stock?upstream=messagemedia&country=AU&service_types=SMS")

    assert answer.status_code == 200
    rows = (answer.json or {})["data"]
    assert rows
    assert all(row["number"].startswith("+61") and "SMS" in row["capabilities"] for row in rows)
    assert {row["classification"] for row in rows} <= {"BRONZE", "SILVER", "GOLD"}


@pytest.mark.parametrize(
    ("query", "parameter", "said"),
    [
        ("upstream=messagemedia&country=AU&szu=sydney", "szu", "cannot be asked by szu"),
        ("upstream=messagemedia&country=Australia", "country", "country: "),
        ("upstream=telmetrics", "upstream", "Telmetrics has no stock"),
        ("upstream=telmetrics&city=Toronto", "upstream", "Telmetrics has no stock"),
    ],
)
def test_what_an_upstreams_stock_cannot_be_asked_is_422_and_named(
    selling: Api, query: str, parameter: str, said: str
) -> None:
    answer = selling.get(f"/v1/stock?{query}")

    assert answer.status_code == 422
    (error,) = (answer.json or {})["errors"]
    assert error["parameter"] == parameter
    assert said in error["detail"]


def test_stock_of_an_upstream_that_does_not_answer_is_503(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.settings.upstreams["avanser"], "url", "http://127.0.0.1:1/v1")
    answer = api.get("/v1/stock?upstream=avanser&country=AU")
    assert (answer.status_code, (answer.json or {})["code"]) == (503, "upstream_unavailable")


@pytest.mark.parametrize("query", ["upstream=nobody", "upstream=", "", "country=AU", "upstream=telmetrics"])
def test_stock_of_no_upstream_of_ours_is_422(api: Api, query: str) -> None:
    answer = api.get(f"/v1/stock?{query}")
    assert answer.status_code == 422
    assert [error["parameter"] for error in (answer.json or {})["errors"]] == ["upstream"]
