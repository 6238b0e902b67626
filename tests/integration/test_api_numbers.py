"""Numbers over HTTP: found by whatever people have at hand, changed, and given up."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from models import call, message
from models.base import new_id, read, utc_now, write
from models.number import Number
from models.request import Kind
from models.requester import Scope
from models.state import State
from models.transition import Move, transition
from tests.factory import NOW, SPEC, fetch, make_endpoint, make_requester
from tests.holding import PERTH, SYDNEY, ask, complete, done
from tests.receiver import Api

AUCKLAND = "+64280740801"
"""Written as people there write it, the same digits as Sydney's."""

CHANGE = {"spec": {"service": {"type": "transfer", "answer_point": "61132307"}}}

SPELLINGS = [
    "%2B61280740801", "+61280740801", "61280740801", "0280740801", "02%208074%200801", "(02)%208074-0801",
    "+61-0280740801", "%2B61-0280740801", "%2061-0280740801", "+61%20(0)2%208074%200801", "0011%2061%202%208074%200801",
]  # fmt: skip


def of(number: str = SYDNEY) -> str:
    return f"/v1/numbers/{quote(number)}"


def row_of(api: Api, number: str = SYDNEY) -> Number:
    """The last row of this number."""
    statement = sa.select(Number).where(Number.number == number).order_by(Number.id.desc()).limit(1)
    return read(api.engine, lambda session: session.scalars(statement).one())


def body(answer: Any) -> dict[str, Any]:
    assert answer.json is not None
    return dict(answer.json)


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, body(answer)["code"]


def moved(engine: Engine, id_: UUID, to: State) -> None:
    write(engine, lambda session: transition(session, [Move(id_, to, "test")], NOW))


# Seeing


def test_a_number_is_shown_as_it_is_configured_with_the_request_that_it_came_from(api: Api) -> None:
    id_ = done(api.engine, custom_id="dealer-17", custom_group="vic")

    shown = body(api.get(of()))

    assert (shown["number"], shown["upstream"], shown["request"]) == (SYDNEY, "avanser", str(id_))
    assert (shown["custom_id"], shown["custom_group"], shown["configuration"]) == ("dealer-17", "vic", SPEC)
    assert (shown["held_since"], shown["released_at"]) == ("2026-11-21T12:00:00Z", None)
    assert api.get("/v1/numbers").json == {"data": [shown], "next_cursor": None}
    assert api.get(f"/v1/numbers/{shown['id']}").json == shown


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_number_is_found_however_it_is_written(api: Api, spelling: str) -> None:
    done(api.engine)
    done(api.engine, number=PERTH)

    assert body(api.get(f"/v1/numbers/{spelling}"))["number"] == SYDNEY
    assert [one["number"] for one in body(api.get(f"/v1/numbers?q={spelling}"))["data"]] == [SYDNEY]


def test_a_number_is_found_by_its_other_names(api: Api) -> None:
    request_id = ask(api.engine, custom_id="dealer-17")
    complete(api.engine, request_id, upstream_reference="ref-1")
    done(api.engine, number=PERTH, custom_id="dealer-18")
    row = row_of(api)

    for name in ("dealer-17", "ref-1", str(row.id), str(request_id), f"%20{row.id}%20"):
        assert [one["id"] for one in body(api.get(f"/v1/numbers?q={name}"))["data"]] == [str(row.id)]
    assert body(api.get("/v1/numbers?q=dealer"))["data"] == []


def test_numbers_are_narrowed_by_upstream_and_by_whether_they_are_held(api: Api) -> None:
    done(api.engine)
    done(api.engine, number=PERTH)
    done(api.engine, Kind.RELEASE, number=PERTH)
    done(api.engine, number=AUCKLAND, upstream="telmetrics")

    def found(query: str) -> list[str]:
        return [one["number"] for one in body(api.get(f"/v1/numbers?{query}"))["data"]]

    assert found("") == found("released=false") == found("released=") == [AUCKLAND, SYDNEY]
    assert found("released=true") == found("released=true&q=0861234567") == [PERTH]
    assert found("released=any") == [AUCKLAND, PERTH, SYDNEY]
    assert found("upstream=telmetrics") == [AUCKLAND]
    assert found("upstream=messagemedia") == found("q=0861234567") == []


def test_numbers_are_paged_newest_first_without_gap_or_double(api: Api) -> None:
    wanted = [f"+6128074{place:04}" for place in range(25)]
    for number in wanted:
        done(api.engine, number=number)
    seen, path = [], "/v1/numbers?limit=10"
    while True:
        page = body(api.get(path))
        seen.append([one["number"] for one in page["data"]])
        done(api.engine, number=f"+6128075{len(seen):04}")  # newer than all that is still to come
        if page["next_cursor"] is None:
            break
        path = f"/v1/numbers?limit=10&cursor={page['next_cursor']}"

    assert [one for page in seen for one in page] == wanted[::-1]
    assert [len(page) for page in seen] == [10, 10, 5]


def test_a_number_that_was_given_up_is_shown_as_it_was(api: Api) -> None:
    done(api.engine, custom_id="dealer-17")
    release = done(api.engine, Kind.RELEASE, at=NOW + timedelta(days=1))

    shown = body(api.get(of("0280740801")))

    assert (shown["released_at"], shown["released_by"]) == ("2026-11-22T12:00:00Z", str(release))
    assert (shown["custom_id"], shown["configuration"]) == ("dealer-17", SPEC)


def test_of_a_number_that_came_back_the_one_that_is_held_is_shown(api: Api) -> None:
    for _ in range(2):
        done(api.engine)
        done(api.engine, Kind.RELEASE)
    last = row_of(api)
    assert body(api.get(of()))["id"] == str(last.id)

    again = done(api.engine)
    assert body(api.get(of()))["request"] == str(again)
    assert body(api.get(f"/v1/numbers/{last.id}"))["released_at"] is not None
    assert len(body(api.get("/v1/numbers?q=0280740801&released=any"))["data"]) == 3


def test_what_fits_several_numbers_is_refused_and_names_them(api: Api) -> None:
    done(api.engine)
    done(api.engine, number=AUCKLAND, upstream="telmetrics")
    done(api.engine, number=PERTH)

    refused = api.get("/v1/numbers/0280740801")

    assert code(refused) == (409, "ambiguous")
    assert f"{SYDNEY} (avanser)" in body(refused)["detail"]
    assert f"{AUCKLAND} (telmetrics)" in body(refused)["detail"]
    assert {one["number"] for one in body(refused)["numbers"]} == {SYDNEY, AUCKLAND}
    for one in body(refused)["numbers"]:
        assert body(api.get(f"/v1/numbers/{one['id']}"))["number"] == one["number"]
    assert body(api.get(of()))["number"] == SYDNEY
    for method, sent in (("PATCH", CHANGE), ("DELETE", None)):
        assert code(api.call(method, "/v1/numbers/0280740801", json=sent)) == (409, "ambiguous")
    done(api.engine, Kind.RELEASE, number=AUCKLAND, upstream="telmetrics")
    assert body(api.get("/v1/numbers/0280740801"))["number"] == SYDNEY


def test_the_same_number_at_two_upstreams_is_told_apart_by_id(api: Api) -> None:
    done(api.engine)
    done(api.engine, upstream="telmetrics")

    refused = api.get(of())

    assert code(refused) == (409, "ambiguous")
    assert {one["upstream"] for one in body(refused)["numbers"]} == {"avanser", "telmetrics"}


@pytest.mark.parametrize(
    "text",
    ["0861234567", "nothing", "%00", "%FF", "+", "9" * 40, "0280740801%2F", "dealer-17", f"{UUID(int=7)}"],
)
def test_a_number_that_we_never_held_is_not_there(api: Api, text: str) -> None:
    done(api.engine, custom_id="dealer-17")
    for method, sent in (("GET", None), ("PATCH", CHANGE), ("DELETE", None)):
        assert code(api.call(method, f"/v1/numbers/{text}", json=sent)) == (404, "not_found")


# Whose they are


def test_numbers_of_another_requester_are_not_there(api: Api) -> None:
    done(api.engine, custom_id="dealer-17")
    row, theirs = row_of(api), api.make_key(*Scope, requester="other")

    for name in (quote(SYDNEY), "0280740801", str(row.id)):
        for method, sent in (("GET", None), ("PATCH", CHANGE), ("DELETE", None)):
            answer = api.call(method, f"/v1/numbers/{name}", key=theirs, json=sent)
            assert answer.status_code == 404
            assert answer.json == api.get("/v1/requests/no-id").json
    for name in ("", "0280740801", "dealer-17", str(row.id), str(row.request_id)):
        answer = api.get(f"/v1/numbers?released=any&q={name}", key=theirs)
        assert answer.json == {"data": [], "next_cursor": None}
    assert len(api.requests()) == 1


def test_a_number_that_another_has_now_is_shown_as_it_was_when_one_had_it(api: Api) -> None:
    mine = done(api.engine)
    done(api.engine, Kind.RELEASE)
    yours = done(api.engine, requester="other")
    theirs = api.make_key(*Scope, requester="other")

    assert (body(api.get(of()))["request"], body(api.get(of(), key=theirs))["request"]) == (str(mine), str(yours))
    assert code(api.call("DELETE", of())) == (409, "not_held")
    assert api.call("DELETE", of(), key=theirs).status_code == 202


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/v1/numbers", Scope.READ),
        ("GET", of(), Scope.READ),
        ("PATCH", of(), Scope.SUBMIT),
        ("DELETE", of(), Scope.SUBMIT),
        ("GET", "/v1/calls", Scope.READ),
        ("GET", "/v1/messages", Scope.READ),
    ],
)
def test_each_call_needs_its_own_scope(api: Api, method: str, path: str, scope: Scope) -> None:
    done(api.engine)
    sent = CHANGE if method == "PATCH" else None
    others = api.make_key(*(one for one in Scope if one is not scope))

    assert code(api.call(method, path, json=sent, key=others)) == (403, "scope_missing")
    assert code(api.call(method, path, json=sent, key=None)) == (401, "key_missing")
    assert api.call(method, path, json=sent, key=api.make_key(scope)).status_code < 300


# Changing


def test_a_change_is_an_update_request_that_can_be_looked_up(api: Api) -> None:
    bought = done(api.engine, custom_id="dealer-17", custom_group="vic")

    answer = api.call("PATCH", of("0280740801"), json=CHANGE)

    assert answer.status_code == 202
    taken = body(answer)
    assert (taken["kind"], taken["state"], taken["number"]) == ("update", "queued", SYDNEY)
    assert (taken["upstream"], taken["spec"]) == ("avanser", CHANGE["spec"])
    assert answer.headers["Location"] == f"/v1/requests/{taken['id']}"
    assert body(api.get(answer.headers["Location"])) == taken
    assert taken["id"] != str(bought)
    assert taken["due_at"] == taken["created_at"]


def test_a_change_that_names_no_custom_id_leaves_it_as_it_is(api: Api) -> None:
    done(api.engine, custom_id="dealer-17", custom_group="vic")
    taken = body(api.call("PATCH", of(), json=CHANGE))
    assert (taken["custom_id"], taken["custom_group"]) == (None, None)

    complete(api.engine, UUID(taken["id"]))

    shown = body(api.get(of()))
    assert (shown["custom_id"], shown["custom_group"]) == ("dealer-17", "vic")
    assert shown["configuration"]["service"] == SPEC["service"] | CHANGE["spec"]["service"]  # type: ignore[operator]
    assert shown["configuration"]["service_number"] == SPEC["service_number"]


def test_a_change_may_say_what_a_request_says(api: Api) -> None:
    done(api.engine)
    make_endpoint(api.engine, make_requester(api.engine), "https://crm.test")
    wishes = {"custom_id": "a", "custom_group": "b", "endpoint": "crm", "deadline": "2100-01-01T00:00:00Z"}

    taken = body(api.call("PATCH", of(), json=CHANGE | wishes))

    row = fetch(api.engine, UUID(taken["id"]))
    assert (row.custom_id, row.custom_group, row.endpoint_id is not None) == ("a", "b", True)
    assert taken["deadline"] == "2100-01-01T00:00:00Z"


def test_the_same_key_is_the_same_change_whatever_has_become_of_the_number(api: Api) -> None:
    done(api.engine)
    headers = {"Idempotency-Key": "once"}
    first = api.call("PATCH", of(), json=CHANGE, headers=headers)
    again = api.call("PATCH", of("0280740801"), json=CHANGE, headers=headers)
    assert (first.status_code, again.status_code) == (202, 200)
    complete(api.engine, UUID(body(first)["id"]))
    done(api.engine, Kind.RELEASE)

    late = api.call("PATCH", of(), json=CHANGE, headers=headers)
    other = api.call("PATCH", of(), json={"spec": {}}, headers=headers)

    assert (late.status_code, body(late)["id"], body(late)["state"]) == (200, body(first)["id"], "completed")
    assert late.headers["Location"] == first.headers["Location"]
    assert code(other) == (422, "idempotency_key_reused")
    assert code(api.call("PATCH", of(), json=CHANGE, headers={"Idempotency-Key": "twice"})) == (409, "not_held")


def test_a_number_that_is_held_no_longer_is_not_changed(api: Api) -> None:
    done(api.engine)
    release = done(api.engine, Kind.RELEASE)

    for method, sent in (("PATCH", CHANGE), ("DELETE", None)):
        refused = api.call(method, of(), json=sent)
        assert code(refused) == (409, "not_held")
        assert str(release) in body(refused)["detail"]
    assert len(api.requests()) == 2


@pytest.mark.parametrize("state", [State.SUBMITTING, State.ACCEPTED, State.HELD])
def test_a_number_whose_release_has_been_sent_is_not_changed(api: Api, state: State) -> None:
    done(api.engine)
    release = ask(api.engine, Kind.RELEASE)
    moved(api.engine, release, state)

    refused = api.call("PATCH", of(), json=CHANGE)

    assert code(refused) == (409, "not_held")
    assert str(release) in body(refused)["detail"]
    moved(api.engine, release, State.FAILED)
    assert api.call("PATCH", of(), json=CHANGE).status_code == 202


def test_a_number_whose_release_can_still_be_cancelled_is_changed(api: Api) -> None:
    done(api.engine)
    api.call("DELETE", of())
    assert api.call("PATCH", of(), json=CHANGE).status_code == 202


# Giving up


def due_in(taken: dict[str, Any]) -> timedelta:
    return datetime.fromisoformat(taken["due_at"]) - utc_now()


def test_a_number_is_given_up_after_the_time_in_which_that_can_be_cancelled(api: Api) -> None:
    done(api.engine)

    answer = api.call("DELETE", of("0280740801"))

    taken = body(answer)
    assert (answer.status_code, taken["kind"], taken["state"], taken["number"]) == (202, "release", "queued", SYDNEY)
    assert answer.headers["Location"] == f"/v1/requests/{taken['id']}"
    assert timedelta(minutes=59) < due_in(taken) <= timedelta(hours=1)
    assert body(api.get(of()))["released_at"] is None
    assert body(api.post(f"/v1/requests/{taken['id']}/cancel"))["state"] == "cancelled"


def test_a_number_is_given_up_at_once_where_that_is_asked_for(api: Api) -> None:
    done(api.engine)
    taken = body(api.call("DELETE", of() + "?now=true"))
    assert due_in(taken) <= timedelta()


def test_a_number_that_is_being_given_up_is_given_up_once(api: Api) -> None:
    done(api.engine)
    first = api.call("DELETE", of())

    again = api.call("DELETE", of(), headers={"Idempotency-Key": "other"})

    assert (again.status_code, again.json) == (200, first.json)
    assert again.headers["Location"] == first.headers["Location"]
    assert [row.kind for row in api.requests()] == [Kind.PROVISION, Kind.RELEASE]


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "once"}])
def test_a_release_that_waits_is_sent_at_once_when_that_is_asked_for(api: Api, headers: dict[str, str]) -> None:
    done(api.engine)
    first = body(api.call("DELETE", of(), headers=headers))

    again = api.call("DELETE", of() + "?now=true", headers=headers)

    assert (again.status_code, body(again)["id"]) == (200, first["id"])
    assert due_in(body(again)) <= timedelta()


@pytest.mark.parametrize("state", [State.SUBMITTING, State.ACCEPTED, State.HELD])
def test_a_release_that_has_been_sent_is_left_alone(api: Api, state: State) -> None:
    done(api.engine)
    release = ask(api.engine, Kind.RELEASE)
    moved(api.engine, release, state)
    before = body(api.get(f"/v1/requests/{release}"))

    again = api.call("DELETE", of() + "?now=true")

    assert (again.status_code, again.json) == (200, before)


@pytest.mark.parametrize("end", [State.CANCELLED, State.FAILED])
def test_after_a_release_that_came_to_nothing_another_can_be_asked_for(api: Api, end: State) -> None:
    done(api.engine)
    first = body(api.call("DELETE", of()))
    moved(api.engine, UUID(first["id"]), end)

    again = api.call("DELETE", of())

    assert again.status_code == 202
    assert body(again)["id"] != first["id"]


def test_the_same_key_is_the_same_release_also_after_its_end(api: Api) -> None:
    done(api.engine)
    headers = {"Idempotency-Key": "once"}
    first = body(api.call("DELETE", of(), headers=headers))
    complete(api.engine, UUID(first["id"]))

    again = api.call("DELETE", of(), headers=headers)

    assert (again.status_code, body(again)["id"], body(again)["state"]) == (200, first["id"], "completed")
    assert body(api.get(of()))["released_by"] == first["id"]


def test_what_else_is_open_is_no_release_of_this_number(api: Api) -> None:
    done(api.engine)
    others = {
        ask(api.engine, Kind.RELEASE, number=PERTH),
        ask(api.engine, Kind.RELEASE, upstream="telmetrics"),
        ask(api.engine, Kind.RELEASE, "other"),
        ask(api.engine, Kind.UPDATE),
    }

    taken = api.call("DELETE", of())

    assert taken.status_code == 202
    assert UUID(body(taken)["id"]) not in others


# What is asked is checked as every request is


@pytest.mark.parametrize(
    ("sent", "pointer"),
    [
        ({"spec": {"service_number": {"country": "AU"}}}, "/spec/service_number"),
        ({"spec": {"surprise": 1}}, "/spec/surprise"),
        ({"spec": []}, "/spec"),
        ({"spec": None}, "/spec"),
        ({"custom_id": ""}, "/custom_id"),
        ({"custom_id": 17}, "/custom_id"),
        ({"custom_group": "x" * 256}, "/custom_group"),
        ({"endpoint": "nobody"}, "/endpoint"),
        ({"notify_url": "nowhere"}, "/notify_url"),
        ({"deadline": "2020-01-01T00:00:00Z"}, "/deadline"),
        ({"deadline": 1}, "/deadline"),
        ({"kind": "release"}, "/kind"),
        ({"upstream": "telmetrics"}, "/upstream"),
        ({"number": PERTH}, "/number"),
        ({"on_out_of_stock": "fail"}, "/on_out_of_stock"),
        ({"custom_ids": "a"}, "/custom_ids"),
    ],
    ids=str,
)
def test_a_change_that_is_wrong_is_refused_with_its_place(api: Api, sent: dict[str, Any], pointer: str) -> None:
    done(api.engine)

    answer = api.call("PATCH", of(), json=sent)

    assert answer.status_code == 422
    assert [error["pointer"] for error in body(answer)["errors"]] == [pointer]
    assert len(api.requests()) == 1


def test_the_document_describes_what_is_taken_and_given(api: Api) -> None:
    document = body(api.get("/openapi.json"))
    change = document["paths"]["/v1/numbers/{number}"]["patch"]

    assert change["parameters"][0] == {
        "name": "number",
        "in": "path",
        "required": True,
        "schema": {"type": "string"},
    }
    assert {parameter["name"] for parameter in change["parameters"]} == {"number", "Idempotency-Key"}
    assert {"200", "202", "404", "409", "422"} <= set(change["responses"])
    schema = document["components"]["schemas"]["NumberChange"]
    assert set(schema["properties"]) == {
        "spec",
        "custom_id",
        "custom_group",
        "endpoint",
        "notify_url",
        "deadline",
    }
    assert schema["additionalProperties"] is False
    assert "pool" in document["components"]["schemas"]["RequestShape"]["properties"]


# Calls and messages are of whoever had the number


def test_calls_and_messages_of_another_requester_are_not_there(api: Api) -> None:
    owner = make_requester(api.engine, "other")
    common: dict[str, Any] = {
        "upstream": "avanser",
        "upstream_reference": "17",
        "request_id": new_id(),
        "requester_id": owner.id,
        "number": PERTH,
        "parameters": {},
        "received_at": NOW,
    }
    write(api.engine, lambda session: call.keep(session, common | {"id": new_id()}))
    write(api.engine, lambda session: message.keep(session, common | {"id": new_id()}))
    theirs = api.make_key(Scope.READ, requester="other")

    for listed in ("calls", "messages"):
        for path in (f"/v1/{listed}", f"/v1/{listed}?number={quote(PERTH)}"):
            assert api.get(path).json == {"data": [], "next_cursor": None}
            assert [one["number"] for one in body(api.get(path, key=theirs))["data"]] == [PERTH]
