"""The simulated Telmetrics against Telmetrics' own pages, through real HTTP."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests import telmetrics_page as page
from tests.sandbox import TELMETRICS_TOKEN, SandboxServer

NUMBERS = f"/groups/{page.GROUP}/numbers"
TORONTO = {"match_type": "localtonumber", "local_to_number": "4165551234"}


@pytest.fixture
def telmetrics(sandbox: SandboxServer) -> Iterator[httpx.Client]:
    with sandbox.telmetrics() as client:
        yield client


def order(name: str = "ABC Company", wanted: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    routes = {"route_type": "Basic", "route": {"termination_number": "4165551234"}}
    return {"name": name, "phone_number_request": wanted or TORONTO, "call_routes": routes, **fields}


def bought(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    number: dict[str, Any] = answer.json()
    return number


def test_the_pages_three_examples_are_answered_as_on_the_page(sandbox: SandboxServer, telmetrics: httpx.Client) -> None:
    today = f"{datetime.now(UTC):%Y-%m-%d}T00:00:00Z"
    names_taken: dict[str, dict[str, int]] = {"number": {"ABC Company": 3}, "city": {}, "tollfree": {"ABC Company": 5}}
    for example, path in page.EXAMPLES.items():
        sandbox.script(telmetrics={"names_taken": names_taken[example]})
        answer = bought(telmetrics.post(path, content=page.text(f"{example}_request")))
        wanted = page.document(f"{example}_answer")
        assert answer["created_datetime"] in (today, f"{datetime.now(UTC):%Y-%m-%d}T00:00:00Z")
        answer["created_datetime"] = wanted["created_datetime"]
        assert json.dumps(answer) == json.dumps(wanted)
    assert [entry["name"] for entry in sandbox.ledger()] == ["ABC Company 4", "ABC Company", "ABC Company 6"]


@pytest.mark.parametrize("path", ["/groups/7/numbers", "/Groups/7/numbers/", "/7/numbers", "/7/numbers/", "/7", "/7/"])
def test_a_number_is_ordered_by_every_path_that_is_seen_of_a_group(telmetrics: httpx.Client, path: str) -> None:
    assert bought(telmetrics.post(path, json=order()))["group_id"] == 7


@pytest.mark.parametrize(
    "headers", [{}, {"x-organization-token": "another"}, {"Authorization": f"Bearer {TELMETRICS_TOKEN}"}]
)
def test_nobody_gets_in_without_the_token(sandbox: SandboxServer, headers: dict[str, str]) -> None:
    answer = httpx.post(sandbox.telmetrics_url + NUMBERS, json=order(), headers=headers)
    assert (answer.status_code, answer.json()) == (401, {"message": "Unauthorized"})
    assert sandbox.summary()["orders"] == 0


def test_a_subscription_key_is_asked_for_where_the_sandbox_is_started_with_one() -> None:
    with SandboxServer("--telmetrics-subscription-key", "k") as sandbox, sandbox.telmetrics() as telmetrics:
        assert telmetrics.get("/numbers").status_code == 401
        assert telmetrics.get("/numbers", headers={"subscription-key": "another"}).status_code == 401
        assert telmetrics.get("/numbers", headers={"subscription-key": "k"}).status_code == 200


@pytest.mark.parametrize(
    ("wanted", "begins"),
    [
        ({"match_type": "LocalToNumber", "local_to_number": "9056372046"}, "905"),
        ({"match_type": "localtonumber", "local_to_number": "9056372046", "number_match_filter": "289"}, "2898122093"),
        ({"match_type": "localtonumber", "local_to_number": "2125550100", "number_match_filter": "332412"}, "332412"),
        ({"match_type": "localtocity", "city": "Toronto", "state": "on", "number_match_filter": "289"}, "289"),
        ({"match_type": "localtocity", "city": "New  York", "state": "NY"}, "212"),
        ({"match_type": "TollFree", "number_match_filter": "800"}, "800"),
        ({"match_type": "tollfree", "number_match_filter": "888404"}, "888404"),
    ],
)
def test_a_number_is_local_to_what_was_asked_for_and_passes_the_filter(
    telmetrics: httpx.Client, wanted: dict[str, str], begins: str
) -> None:
    number = bought(telmetrics.post(NUMBERS, json=order(wanted=wanted)))["phone_number"]
    assert number.startswith(begins)
    assert re.fullmatch(r"[2-9]\d{2}[2-9]\d{6}", number)


@pytest.mark.parametrize(
    "wanted",
    [
        {"match_type": "localtocity", "city": "Nowhere", "state": "GA"},
        {"match_type": "localtonumber", "local_to_number": "9056372046", "number_match_filter": "212"},
        {"match_type": "localtonumber", "local_to_number": "0005551234"},
        {"match_type": "tollfree", "number_match_filter": "404"},
    ],
)
def test_where_nothing_is_local_no_number_matches(
    sandbox: SandboxServer, telmetrics: httpx.Client, wanted: dict[str, str]
) -> None:
    answer = telmetrics.post(NUMBERS, json=order(wanted=wanted))
    assert (answer.status_code, answer.json()) == (409, {"message": "No number matches the request"})
    assert sandbox.summary()["orders"] == 0


def test_a_stock_that_ran_out_can_be_filled_again(sandbox: SandboxServer, telmetrics: httpx.Client) -> None:
    sandbox.script(telmetrics={"stock": [{"first": "4168009999", "count": 2}]})
    numbers = [bought(telmetrics.post(NUMBERS, json=order()))["phone_number"] for _ in range(2)]
    assert numbers == ["4168009999", "4168010000"]
    assert telmetrics.post(NUMBERS, json=order()).status_code == 409
    sandbox.script(telmetrics={"stock": [{"first": "4168009999", "count": 3}]})
    assert bought(telmetrics.post(NUMBERS, json=order()))["phone_number"] == "4168010001"
    assert telmetrics.post(NUMBERS, json=order()).status_code == 409


def test_a_name_in_use_comes_back_with_a_number_behind_it(telmetrics: httpx.Client) -> None:
    names = [bought(telmetrics.post(f"/groups/{group}/numbers", json=order("A")))["name"] for group in (1, 1, 2)]
    assert names == ["A", "A 2", "A 3"]
    assert bought(telmetrics.post(NUMBERS, json=order("A 3")))["name"] == "A 3 2"
    first = bought(telmetrics.post(NUMBERS, json=order("B")))
    telmetrics.delete(f"/numbers/{first['id']}")
    again = bought(telmetrics.post(NUMBERS, json=order("B")))
    assert again["name"] == "B", "a released name is free again"
    assert bought(telmetrics.put(f"/numbers/{again['id']}", json={"name": "A"}))["name"] == "A 4"
    assert bought(telmetrics.post(NUMBERS, json=order("B")))["name"] == "B", "so is the name before an update"


def test_the_script_has_every_name_come_back_changed(sandbox: SandboxServer, telmetrics: httpx.Client) -> None:
    sandbox.script(telmetrics={"rename": "always"})
    names = [bought(telmetrics.post(NUMBERS, json=order(name)))["name"] for name in ("A", "B", "A")]
    assert names == ["A 2", "B 2", "A 3"]


def test_orders_are_told_apart_by_the_name_that_was_sent(sandbox: SandboxServer, telmetrics: httpx.Client) -> None:
    for name in ("A", "B", "A"):
        telmetrics.post(NUMBERS, json=order(name))
    books = sandbox.summary()
    assert (books["orders"], books["completed"], books["pending"]) == (3, 3, 0)
    assert (books["bought_twice"], books["by_key"]) == (1, {"A": 2})
    second = sandbox.ledger(key="A")[1]
    shown = bought(telmetrics.get("/numbers/8660468"))
    assert {name: second[name] for name in ("upstream", "kind", "request_id", "custom_group", "number", "name")} == {
        "upstream": "telmetrics",
        "kind": "provision",
        "request_id": "8660468",
        "custom_group": str(page.GROUP),
        "number": shown["phone_number"],
        "name": "A 2",
    }


def test_an_update_changes_what_it_says_and_leaves_the_rest(sandbox: SandboxServer, telmetrics: httpx.Client) -> None:
    whisper = {"enabled": True, "notification_text": "a call from XYZ"}
    order_routes = {"termination_number": "4165551234", "features": {"whisper": whisper}}
    before = bought(
        telmetrics.post(NUMBERS, json=order("A", call_routes={"route_type": "basic", "route": order_routes}))
    )
    change = {
        "id": 1,
        "phone_number": "2125550100",
        "features": {"stop_call": {"enabled": True, "notification_text": "closed"}},
        "call_routes": {"route": {"id": 1, "termination_number": "9055550199"}},
        "sms_routes": {"route_type": "Autoreply"},
    }
    after = bought(telmetrics.put(f"/numbers/{before['id']}/", json=change))
    route = {"id": 30474073, "termination_number": "9055550199", "features": {"whisper": whisper}}
    wanted = {
        **{name: before[name] for name in ("id", "name", "group_id", "status", "phone_number", "created_datetime")},
        "sms_routes": {"route_type": "Autoreply"},
        "features": change["features"],
        "call_routes": {"route_type": "basic", "route": route},
    }
    assert json.dumps(after) == json.dumps(wanted)
    assert bought(telmetrics.get(f"/numbers/{before['id']}")) == after
    assert telmetrics.get("/numbers").json()["results"] == [after]
    assert bought(telmetrics.put(f"/numbers/{before['id']}", json={"name": "B"})) == {**after, "name": "B"}
    kinds = [(entry["kind"], entry["key"], entry["answer_point"]) for entry in sandbox.ledger()]
    assert kinds == [("provision", "A", "4165551234"), *[("update", "A", "9055550199")] * 2]


def test_a_released_number_is_gone_and_not_handed_out_again(sandbox: SandboxServer, telmetrics: httpx.Client) -> None:
    sandbox.script(telmetrics={"stock": [{"first": "4168000000"}]})
    number = bought(telmetrics.post(NUMBERS, json=order()))
    gone = telmetrics.delete(f"/numbers/{number['id']}")
    assert (gone.status_code, gone.json()) == (200, {**number, "status": "Deleted"})
    for method in ("GET", "PUT", "DELETE"):
        again = telmetrics.request(method, f"/numbers/{number['id']}", json={})
        assert (again.status_code, again.json()) == (404, {"message": f"Number {number['id']} not found"})
    assert telmetrics.get(NUMBERS).json() == []
    assert telmetrics.post(NUMBERS, json=order()).status_code == 409
    assert [entry["kind"] for entry in sandbox.ledger(number="4168000000")] == ["provision", "release"]


def test_all_numbers_are_listed_in_pages_and_those_of_a_group_bare(telmetrics: httpx.Client) -> None:
    numbers = [bought(telmetrics.post(f"/groups/{1 + n % 2}/numbers", json=order(f"n{n}"))) for n in range(5)]
    listed = telmetrics.get("/numbers").json()
    assert listed == {"results": numbers, "paging": {"pageNumber": 1, "pageSize": 10_000, "total": 5}}
    second = telmetrics.get("/numbers/", params={"pageSize": 2, "PageNumber": 2}).json()
    assert second == {"results": numbers[2:4], "paging": {"pageNumber": 2, "pageSize": 2, "total": 5}}
    beyond = telmetrics.get("/numbers", params={"pagesize": 99_999, "pagenumber": 2}).json()
    assert beyond == {"results": [], "paging": {"pageNumber": 2, "pageSize": 10_000, "total": 5}}
    assert telmetrics.get("/groups/2/numbers").json() == [numbers[1], numbers[3]]
    assert telmetrics.get("/Groups/3/numbers/").json() == []


@pytest.mark.parametrize("query", ["pagesize=0", "pagesize=ten", "pagenumber=-1", "pagenumber=1.5"])
def test_a_page_that_cannot_be_is_refused_by_name(telmetrics: httpx.Client, query: str) -> None:
    answer = telmetrics.get(f"/numbers?{query}")
    assert answer.status_code == 400
    assert query.partition("=")[0] in answer.json()["message"]


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (order(name=""), "name"),
        ({"name": "A"}, "phone_number_request"),
        (order(wanted={"match_type": "nearby"}), "phone_number_request.match_type"),
        (order(wanted={"match_type": "localtonumber"}), "local_to_number"),
        (order(wanted={"match_type": "localtonumber", "local_to_number": "905-637"}), "local_to_number"),
        (order(wanted={"match_type": "localtocity", "city": "atlanta"}), "state"),
        (order(wanted={"match_type": "localtocity", "city": "atlanta", "state": "Georgia"}), "state"),
        (order(wanted={"match_type": "tollfree", "number_match_filter": "83"}), "number_match_filter"),
        (order(call_routes={"route_type": "Basic", "route": {}}), "call_routes.route.termination_number"),
        (order(call_routes={"route_type": "Geo", "route": {"termination_number": "4165551234"}}), "route_type"),
        ([], "object"),
        ("{", "JSON"),
    ],
)
def test_a_wrong_body_is_refused_with_400_naming_what_is_wrong(
    sandbox: SandboxServer, telmetrics: httpx.Client, body: Any, names: str
) -> None:
    answer = telmetrics.post(NUMBERS, content=body if isinstance(body, str) else json.dumps(body))
    assert answer.status_code == 400
    assert list(answer.json()) == ["message"]
    assert names in answer.json()["message"]
    assert sandbox.summary()["orders"] == 0


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/groups/0/numbers"), ("POST", "/groups/x/numbers"), ("GET", "/numbers/x"), ("PATCH", "/numbers/1")],
)
def test_what_is_not_there_is_404(telmetrics: httpx.Client, method: str, path: str) -> None:
    answer = telmetrics.request(method, path, json=order())
    assert (answer.status_code, answer.json()) == (404, {"message": "Not found"})
