"""Endpoints: changed, tried with a test event, and sent again what they missed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session
from standardwebhooks import Webhook

import worker.cli.endpoints as cli_endpoints
import worker.replaying as worker_replaying
from models import delivery, replaying
from models.base import rfc3339, utc_now, write
from models.delivery import Delivery, DeliveryState, Notice
from models.endpoint import TEST, Endpoint, EventType
from models.requester import Requester, Scope
from tests.catcher import Catcher
from tests.factory import NOW, make_endpoint, make_requester
from tests.integration.cli import Cli, cli, environment
from tests.receiver import Api
from tests.working import every, let_pass, together
from worker.deliver import deliver
from worker.runtime import Runtime

__all__ = ["cli", "environment"]

URL = "https://crm.example/results"
BEFORE = "2026-01-01T00:00:00Z"


@pytest.fixture
def crm() -> Iterator[Catcher]:
    """A requester that takes everything."""
    with Catcher(204) as catcher:
        yield catcher


def tell(engine: Engine, owner: Requester, *texts: str, type_: str = EventType.CALL_FINISHED, **fields: Any) -> None:
    notices = [Notice(type_, owner.id, {"text": text}, **fields) for text in texts]
    write(engine, lambda session: delivery.file(session, notices, utc_now()))


def filed(engine: Engine) -> list[Delivery]:
    """What goes somewhere."""
    return [row for row in every(engine, Delivery) if row.endpoint_id or row.url]


def settle(engine: Engine, state: DeliveryState) -> None:
    """All that is pending has come to this."""
    change = sa.update(Delivery).where(Delivery.state == DeliveryState.PENDING).values(state=state, due_at=None)
    write(engine, lambda session: session.execute(change))


def switch(engine: Engine, endpoint: Endpoint, *, on: bool) -> None:
    values = {"disabled_at": None if on else NOW, "disabled_reason": None if on else "moved"}
    write(engine, lambda session: session.execute(sa.update(Endpoint).where(Endpoint.id == endpoint.id).values(values)))


# Changing


def test_an_endpoint_is_shown_and_changed(api: Api) -> None:
    made = api.post("/v1/endpoints", json={"url": URL, "description": "where the CRM listens"}).json or {}
    path = f"/v1/endpoints/{made['id']}"
    assert (api.get(path).json or {})["description"] == "where the CRM listens"
    changes = {"url": "https://b.example/", "name": "b", "types": ["call.finished"], "description": ""}
    changed = api.call("PATCH", path, json=changes).json or {}
    assert {name: changed[name] for name in changes} == changes | {"description": None}
    assert api.get(path).json == changed
    assert api.call("PATCH", path, json={}).json == changed


def test_an_endpoint_is_disabled_and_enabled_over_http(api: Api) -> None:
    made = api.post("/v1/endpoints", json={"url": URL}).json or {}
    path = f"/v1/endpoints/{made['id']}"
    off = api.call("PATCH", path, json={"disabled": True}).json or {}
    assert off["disabled_at"] is not None
    assert off["disabled_reason"].startswith("disabled by key")
    assert api.post(f"{path}/test").status_code == 409
    assert api.post(f"{path}/replay?since={BEFORE}").status_code == 409
    on = api.call("PATCH", path, json={"disabled": False}).json or {}
    assert (on["disabled_at"], on["disabled_reason"]) == (None, None)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"url": "gopher://x"}, "/url"),
        ({"types": []}, "/types"),
        ({"types": [TEST]}, "/types/0"),
        ({"name": ""}, "/name"),
        ({"disabled": "perhaps"}, "/disabled"),
        ({"secret": "mine"}, "/secret"),
    ],
)
def test_a_change_that_cannot_be_names_the_place(api: Api, change: dict[str, Any], place: str) -> None:
    made = api.post("/v1/endpoints", json={"url": URL}).json or {}
    answer = api.call("PATCH", f"/v1/endpoints/{made['id']}", json=change)
    assert answer.status_code == 422
    assert [error["pointer"] for error in (answer.json or {})["errors"]] == [place]


def test_a_name_that_is_taken_is_not_given_again(api: Api) -> None:
    api.post("/v1/endpoints", json={"url": URL, "name": "crm"})
    made = api.post("/v1/endpoints", json={"url": URL, "name": "b"}).json or {}
    assert api.call("PATCH", f"/v1/endpoints/{made['id']}", json={"name": "crm"}).status_code == 409


@pytest.mark.parametrize(("body", "grace"), [(None, 86_400), ({"grace_seconds": 60}, 60), ({"grace_seconds": 0}, 0)])
def test_the_old_secret_signs_for_as_long_as_is_said(api: Api, body: Any, grace: int) -> None:
    made = api.post("/v1/endpoints", json={"url": URL}).json or {}
    assert api.post(f"/v1/endpoints/{made['id']}/rotate", json=body).status_code == 200
    (kept,) = every(api.engine, Endpoint)
    assert abs((kept.previous_expires_at - utc_now()).total_seconds() - grace) < 30


@pytest.mark.parametrize("grace", [-1, 604_801, "60", 1.5, None])
def test_a_grace_that_cannot_be_is_refused(api: Api, grace: Any) -> None:
    made = api.post("/v1/endpoints", json={"url": URL}).json or {}
    answer = api.post(f"/v1/endpoints/{made['id']}/rotate", json={"grace_seconds": grace})
    assert answer.status_code == 422
    (kept,) = every(api.engine, Endpoint)
    assert kept.secret == made["secret"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("PATCH", ""), ("POST", "/rotate"), ("POST", "/test"), ("POST", f"/replay?since={BEFORE}")],
)
def test_another_requesters_endpoint_is_not_there(api: Api, method: str, path: str) -> None:
    made = api.post("/v1/endpoints", json={"url": URL}).json or {}
    theirs = api.make_key(*Scope, requester="other")
    body = {"disabled": True} if method == "PATCH" else None
    assert api.call(method, f"/v1/endpoints/{made['id']}{path}", key=theirs, json=body).status_code == 404
    (kept,) = every(api.engine, Endpoint)
    assert (kept.secret, kept.disabled_at, every(api.engine, Delivery)) == (made["secret"], None, [])


def test_an_endpoint_is_changed_from_the_command_line(cli: Cli) -> None:
    made = cli.json("endpoints", "create", "--url", URL, "--name", "crm", "--description", "theirs")
    told = cli.json("endpoints", "update", "crm", "--url", "https://b.example/", "--types", "call.finished")
    assert (told["id"], told["url"], told["types"]) == (made["id"], "https://b.example/", ["call.finished"])
    assert told["description"] == "theirs"
    assert cli.json("endpoints", "update", "crm", "--name", "b", "--description", "")["description"] is None
    assert "nothing to change" in cli.run("endpoints", "update", "b", status=2).stderr
    assert "--url" in cli.run("endpoints", "update", "b", "--url", "http://10.0.0.1/", status=2).stderr
    cli.run("endpoints", "create", "--url", URL, "--name", "c")
    assert "another --name" in cli.run("endpoints", "update", "c", "--name", "b", status=2).stderr
    assert "1 hours" in cli.run("endpoints", "rotate", "b", "--grace", 3600).stderr
    cli.run("endpoints", "rotate", "b", "--grace", 604_801, status=2)
    kept = next(row for row in every(cli.engine, Endpoint) if row.name == "b")
    assert timedelta(minutes=59) < kept.previous_expires_at - utc_now() < timedelta(minutes=61)


# Test events


def test_a_test_event_goes_out_signed_to_this_endpoint_alone(
    api: Api, runtime: Runtime, engine: Engine, crm: Catcher
) -> None:
    owner = make_requester(engine)
    place = make_endpoint(engine, owner, crm.url, EventType.BATCH_FINISHED)
    make_endpoint(engine, owner, f"{crm.url}/other", name="other")
    answer = api.post(f"/v1/endpoints/{place.id}/test")
    assert (answer.status_code, (answer.json or {})["type"]) == (202, TEST)
    deliver(runtime)
    (caught,) = crm.caught
    assert place.secret is not None
    told = Webhook(place.secret).verify(caught.body, caught.headers)
    assert (told["type"], told["data"]) == (TEST, {"endpoint": str(place.id), "name": "crm"})
    assert {row.state for row in filed(engine)} == {DeliveryState.DELIVERED}


@pytest.mark.parametrize(("status", "exit_status"), [(204, 0), (500, 1), (302, 1), (410, 1)])
def test_the_command_says_what_the_endpoint_answered(cli: Cli, runtime: Runtime, status: int, exit_status: int) -> None:
    with Catcher(status) as crm:
        make_endpoint(cli.engine, make_requester(cli.engine), crm.url)
        told, _ = together(
            lambda: cli.json("endpoints", "test", "crm", status=exit_status), lambda: _deliver_one(runtime)
        )
    assert told["status"] == status
    assert (told["error"] is None) is (exit_status == 0)
    assert 0 <= told["latency_ms"] < 10_000


def _deliver_one(runtime: Runtime) -> None:
    while not any(row.attempts for row in every(runtime.engine, Delivery)):
        deliver(runtime)


def test_a_test_that_no_worker_takes_up_says_so(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_DELIVERY_TIMEOUT", "1")
    monkeypatch.setattr(cli_endpoints, "PICKED_UP_WITHIN", timedelta(0))
    make_endpoint(cli.engine, make_requester(cli.engine), URL)
    assert "is one running?" in cli.run("endpoints", "test", "crm", status=1).stdout
    cli.run("endpoints", "disable", "crm")
    assert "enable it first" in cli.run("endpoints", "test", "crm", status=2).stderr


# Replay


def replayed(api: Api, endpoint: Endpoint, **query: Any) -> int:
    answer = api.post(f"/v1/endpoints/{endpoint.id}/replay", query_string={"since": BEFORE} | query)
    assert answer.status_code == 202, answer.text
    assert answer.json is not None
    return int(answer.json["replayed"])


@pytest.mark.parametrize(("state", "count"), [("failed", 3), ("all", 5)])
def test_what_did_not_arrive_goes_out_again_under_its_id(
    api: Api, runtime: Runtime, crm: Catcher, state: str, count: int
) -> None:
    owner = make_requester(api.engine)
    place = make_endpoint(api.engine, owner, crm.url)
    make_endpoint(api.engine, owner, f"{crm.url}/other", name="other")
    tell(api.engine, owner, "a", "b")
    settle(api.engine, DeliveryState.DELIVERED)
    tell(api.engine, owner, "c", "d")
    settle(api.engine, DeliveryState.FAILED)
    tell(api.engine, owner, "e")
    let_pass(api.engine, timedelta(days=-1))  # what waits is not due by itself
    before = {row.id for row in every(api.engine, Delivery) if row.endpoint_id == place.id}
    assert replayed(api, place, state=state) == count
    let_pass(api.engine, timedelta(seconds=1))
    deliver(runtime)
    sent = [{name.lower(): value for name, value in one.headers.items()}["webhook-id"] for one in crm.caught]
    assert {one.path for one in crm.caught} == {"/"}
    assert len(sent) == len(set(sent)) == count
    assert {UUID(one) for one in sent} <= before
    assert len(every(api.engine, Delivery)) == 10, "nothing is filed anew"


def test_what_happened_while_it_was_disabled_is_sent_once(api: Api) -> None:
    owner = make_requester(api.engine)
    place = make_endpoint(api.engine, owner, URL, EventType.CALL_FINISHED)
    other = make_endpoint(api.engine, owner, URL, name="other")
    switch(api.engine, place, on=False)
    tell(api.engine, owner, "a")
    switch(api.engine, other, on=False)
    tell(api.engine, owner, "b")
    tell(api.engine, owner, "not its type", type_=EventType.MESSAGE_RECEIVED)
    tell(api.engine, owner, "for another", endpoint_id=other.id)
    tell(api.engine, owner, "for a URL", notify_url="https://once.test")
    tell(api.engine, make_requester(api.engine, "stranger"), "not its own")
    switch(api.engine, place, on=True)
    tell(api.engine, owner, "c")
    settle(api.engine, DeliveryState.DELIVERED)
    assert replayed(api, place) == 2
    settle(api.engine, DeliveryState.DELIVERED)
    told = [row for row in every(api.engine, Delivery) if row.endpoint_id == place.id]
    assert sorted(row.data["text"] for row in told) == ["a", "b", "c"]
    events = (api.get("/v1/events").json or {})["data"]
    assert len(events) == len({one["id"] for one in events}) == 6, "no event is there twice"
    moments = {event["id"]: event["timestamp"] for event in events}
    assert all(moments[str(row.event_id or row.id)] == rfc3339(row.created_at) for row in told)
    assert replayed(api, place) == 0
    assert replayed(api, place, state="all") == 3
    (newcomer,) = [make_endpoint(api.engine, owner, URL, name="new")]
    assert replayed(api, newcomer) == 4, "also what happened before there was one"


def test_a_replay_keeps_to_its_time(api: Api) -> None:
    owner = make_requester(api.engine)
    place = make_endpoint(api.engine, owner, URL)
    for minutes in range(4):
        at = NOW + timedelta(minutes=minutes)
        notice = Notice(EventType.CALL_FINISHED, owner.id, {"text": str(minutes)})
        write(api.engine, lambda session, at=at, notice=notice: delivery.file(session, [notice], at))  # type: ignore[misc]
    settle(api.engine, DeliveryState.FAILED)
    since, until = (rfc3339(NOW + timedelta(minutes=minutes)) for minutes in (1, 3))
    assert replayed(api, place, since=since, until=until) == 2
    again = [row.data["text"] for row in every(api.engine, Delivery) if row.state is DeliveryState.PENDING]
    assert again == ["1", "2"]


def test_a_replay_is_made_in_portions_and_goes_out_at_a_bounded_rate(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replaying, "PORTION", 7)
    monkeypatch.setattr(worker_replaying, "PORTION", 7)
    owner = make_requester(api.engine)
    tell(api.engine, owner, *map(str, range(30)))
    place = make_endpoint(api.engine, owner, URL)
    tell(api.engine, owner, *map(str, range(30, 101)))
    settle(api.engine, DeliveryState.FAILED)
    assert replayed(api, place) == 101
    due = sorted(row.due_at for row in filed(api.engine) if row.due_at)
    assert len(due) == 101
    assert due[-1] - due[0] == timedelta(seconds=100 / replaying.PER_SECOND)
    assert max(late - early for early, late in pairwise(due)) == timedelta(seconds=0.02)


def test_a_replay_of_too_much_sends_nothing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replaying, "MOST", 2)
    monkeypatch.setattr(worker_replaying, "MOST", 2)
    owner = make_requester(api.engine)
    place = make_endpoint(api.engine, owner, URL)
    tell(api.engine, owner, "a", "b", "c")
    settle(api.engine, DeliveryState.FAILED)
    answer = api.post(f"/v1/endpoints/{place.id}/replay?since={BEFORE}")
    assert answer.status_code == 422
    assert "later since" in answer.text
    assert {row.state for row in every(api.engine, Delivery)} == {DeliveryState.FAILED}


@pytest.mark.parametrize(
    "query", ["", "since=yesterday", "since=2026-01-01", f"since={BEFORE}&until={BEFORE}", "since=2999-01-01T00:00:00Z",
              f"since={BEFORE}&state=pending"]
)  # fmt: skip
def test_a_replay_needs_a_time_to_begin_at(api: Api, query: str) -> None:
    place = make_endpoint(api.engine, make_requester(api.engine), URL)
    answer = api.post(f"/v1/endpoints/{place.id}/replay?{query}")
    assert answer.status_code == 422
    assert (answer.json or {})["errors"][0]["parameter"] in ("since", "state")


def test_two_replays_at_once_file_nothing_twice(api: Api) -> None:
    owner = make_requester(api.engine)
    tell(api.engine, owner, *map(str, range(50)))
    place = make_endpoint(api.engine, owner, URL)
    wanted = replaying.Range(place, NOW - timedelta(days=365), utc_now() + timedelta(days=1))
    with ThreadPoolExecutor(1) as thread, Session(api.engine) as first:
        assert len(replaying.send_missed(first, wanted, UUID(int=0), utc_now(), 0)) == 50
        second = thread.submit(replayed, api, place)
        with pytest.raises(TimeoutError):
            second.result(1)
        first.commit()
        assert second.result(30) in (0, 50), "those of the first, sent once more, or none"
    assert len(filed(api.engine)) == 50


def test_an_endpoints_results_are_replayed_from_the_command_line(cli: Cli) -> None:
    owner = make_requester(cli.engine)
    tell(cli.engine, owner, "a")
    make_endpoint(cli.engine, owner, URL)
    tell(cli.engine, owner, "b")
    settle(cli.engine, DeliveryState.FAILED)
    assert cli.json("replay", "--endpoint", "crm", "--since", BEFORE)["replayed"] == 2
    settle(cli.engine, DeliveryState.DELIVERED)
    assert "missed nothing" in cli.run("replay", "--endpoint", "crm", "--since", BEFORE).stdout
    assert "2 results" in cli.run("replay", "--endpoint", "crm", "--since", BEFORE, "--all", "--yes").stdout
    for words, hint in (
        ([], "REF"),
        (["--endpoint", "crm"], "--since"),
        (["dealer-17", "--since", BEFORE], "--endpoint"),
        (["--endpoint", "crm", "--since", "yesterday"], "zone"),
        (["--endpoint", "crm", "--since", "2999-01-01T00:00:00Z"], "before now"),
        (["--endpoint", "nobody", "--since", BEFORE], "'nobody'"),
    ):
        assert hint in cli.run("replay", *words, status=2).stderr
    cli.run("endpoints", "disable", "crm")
    assert "endpoints enable" in cli.run("replay", "--endpoint", "crm", "--since", BEFORE, status=2).stderr
