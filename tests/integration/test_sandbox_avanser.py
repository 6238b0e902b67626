"""The simulated AVANSER against AVANSER's own page, through real HTTP."""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlsplit

import httpx
import pytest

from tests import avanser_examples as page
from tests.catcher import Catcher
from tests.sandbox import ACCOUNT, TOKEN, SandboxServer, eventually

QUICK = {"callback": {"delay": 0, "jitter": 0, "foreign_request_id_share": 1}}
MOBILE = {"country": "AU", "search_type": "type", "type": "MOBILE"}
SYDNEY = {"country": "AU", "search_type": "szu", "szu": "sydney"}


@pytest.fixture
def sandbox(server: SandboxServer) -> SandboxServer:
    server.reset(**QUICK)
    return server


@pytest.fixture
def avanser(sandbox: SandboxServer) -> Iterator[httpx.Client]:
    with sandbox.avanser() as client:
        yield client


def order(number: dict[str, Any], **fields: Any) -> dict[str, Any]:
    service = {"type": "transfer", "answer_point": "61401603859"}
    return {"name": "service #1", "service_number": number, "service": service, **fields}


def as_curl_sends(text: str, path: str, url: str) -> httpx.Response:
    """What `curl -X POST -d` puts on the wire: the JSON as it stands, called a form."""
    headers = {"Authorization": f"Basic {TOKEN}", "Content-Type": "application/x-www-form-urlencoded"}
    return httpx.post(url + path, content=text.encode(), headers=headers)


def assert_same_reply(answer: httpx.Response, example: str) -> dict[str, Any]:
    """Same bytes but for white space, the ids, the time and the milliseconds, which have the same form."""
    got, wanted = answer.json(), json.loads(example)
    transaction = got["@transaction"]
    assert re.fullmatch(r"[0-9a-f]{40}", transaction["id"])
    assert re.fullmatch(r"\d+\.\d{3}", transaction["request"]["ms"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+10:00", transaction["request"]["time"])
    if "request_id" in got["response"]:
        assert got["response"]["request_id"] == transaction["id"]
        got["response"]["request_id"] = wanted["response"]["request_id"]
    transaction["id"] = wanted["@transaction"]["id"]
    for name in ("time", "ms"):
        transaction["request"][name] = wanted["@transaction"]["request"][name]
    assert json.dumps(got) == json.dumps(wanted)
    acknowledged: dict[str, Any] = answer.json()["response"]
    return acknowledged


def assert_same_callback(catcher: Catcher, example: str, path: str) -> str:
    """Waits for the catcher's next callback, compares it and returns its request_id."""
    (caught,) = eventually(lambda: list(catcher.caught))
    catcher.caught.clear()
    assert (caught.method, caught.path) == ("POST", path)
    assert caught.headers["Content-Type"] == "application/json"
    got, wanted = json.loads(caught.body), json.loads(example)
    request_id: str = got["request_id"]
    assert re.fullmatch(r"[0-9a-f]{40}", request_id)
    got["request_id"] = wanted["request_id"]
    assert json.dumps(got) == json.dumps(wanted)
    return request_id


def test_the_pages_stock_search_is_answered_as_on_the_page(sandbox: SandboxServer, avanser: httpx.Client) -> None:
    sandbox.reset(avanser={"stock": "seed"})
    assert_same_reply(avanser.get(page.SEARCH_PATH), page.SEARCH_REPLY)


def test_the_pages_request_by_number_and_its_update_are_answered_and_called_back_as_on_the_page(
    sandbox: SandboxServer, catcher: Catcher
) -> None:
    answer = as_curl_sends(page.sent_to(page.BY_NUMBER, catcher.url), "/requests", sandbox.avanser_url)
    acknowledged = assert_same_reply(answer, page.BY_NUMBER_REPLY)
    called_back = assert_same_callback(catcher, page.BY_NUMBER_CALLBACK, "/debug.php?callback_uri=service1")
    assert called_back != acknowledged["request_id"], "the page's ids differ here"

    answer = as_curl_sends(page.sent_to(page.UPDATE, catcher.url), page.UPDATE_PATH, sandbox.avanser_url)
    acknowledged = assert_same_reply(answer, page.UPDATE_REPLY)
    called_back = assert_same_callback(catcher, page.UPDATE_CALLBACK, "/debug.php?callback_uri=service1&updated=true")
    assert called_back != acknowledged["request_id"]


def test_the_pages_request_by_szu_is_answered_and_called_back_as_on_the_page(
    sandbox: SandboxServer, catcher: Catcher
) -> None:
    sandbox.reset(
        avanser={"stock": [{"first": "61280740805"}]},
        callback={"delay": 0, "jitter": 0, "foreign_request_id_share": 0},
    )
    answer = as_curl_sends(page.sent_to(page.BY_SZU, catcher.url), "/requests", sandbox.avanser_url)
    acknowledged = assert_same_reply(answer, page.BY_SZU_REPLY)
    called_back = assert_same_callback(catcher, page.BY_SZU_CALLBACK, "/debug.php?callback_uri=service1")
    assert called_back == acknowledged["request_id"], "the page's ids are the same here"


def test_a_call_is_reported_with_the_pages_parameters_behind_the_uris_own_query(
    sandbox: SandboxServer, catcher: Catcher
) -> None:
    as_curl_sends(page.sent_to(page.BY_NUMBER, catcher.url), "/requests", sandbox.avanser_url)
    eventually(lambda: catcher.caught)
    catcher.caught.clear()
    lines = [line.split(" = ", 1) for line in page.CALL_PARAMETERS.strip().splitlines()]
    usual = {"callid", "uniqueid", "tzdate"}
    sandbox.call("61280740801", **{name: value for name, value in lines if name in usual})
    (caught,) = catcher.caught
    assert caught.method == "GET"
    assert urlsplit(caught.path).path == "/debug.php"
    assert parse_qsl(urlsplit(caught.path).query) == [(name, value) for name, value in lines]
    assert "+" not in caught.path


def test_a_raw_plus_in_a_call_report_decodes_to_a_space(sandbox: SandboxServer, catcher: Catcher) -> None:
    as_curl_sends(page.sent_to(page.BY_NUMBER, catcher.url), "/requests", sandbox.avanser_url)
    sandbox.call("61280740801", raw_plus=True, tzdate="2017-06-11T16:49:17+10:00")
    report = eventually(lambda: [caught for caught in catcher.caught if caught.method == "GET"])[0]
    assert "bnum=+61-0280740801" in report.path
    assert "tzdate=2017-06-11T16:49:17 10:00" in unquote_plus(report.path)
    assert "raw_plus" not in report.path


def test_an_update_moves_the_calls_to_its_new_uri_once_it_completed(sandbox: SandboxServer, catcher: Catcher) -> None:
    as_curl_sends(page.sent_to(page.BY_NUMBER, catcher.url), "/requests", sandbox.avanser_url)
    as_curl_sends(page.sent_to(page.UPDATE, catcher.url), page.UPDATE_PATH, sandbox.avanser_url)
    eventually(lambda: sandbox.summary()["completed"] == 2)
    sandbox.call("61280740801")
    report = next(caught for caught in catcher.caught if caught.method == "GET")
    assert report.path.startswith("/debug.php?call_uri=service1&new-call-uri=1&clientid=7xxx&")
    assert ("target", "+61-132307") in parse_qsl(urlsplit(report.path).query)


def test_a_message_to_a_mobile_number_is_forwarded(
    sandbox: SandboxServer, avanser: httpx.Client, catcher: Catcher
) -> None:
    body = order(MOBILE, smsforward_uri=f"{catcher.url}/sms?mine=1", custom_id="a")
    number = avanser.post("/requests", json=body).json()["response"]["service_number"]
    sandbox.message(number, message="Hi & bye")
    (caught,) = catcher.caught
    got = parse_qsl(urlsplit(caught.path).query)
    assert got[0] == ("mine", "1")
    assert {("message", "Hi & bye"), ("custom_id", "a"), ("bnum", f"+61-0{number[2:]}")} <= set(got)


def test_no_message_is_forwarded_from_a_landline(sandbox: SandboxServer, avanser: httpx.Client) -> None:
    number = avanser.post("/requests", json=order(SYDNEY)).json()["response"]["service_number"]
    answer = httpx.post(f"{sandbox.url}/_sandbox/messages", json={"number": number})
    assert answer.status_code == 409
    assert "not a mobile number" in answer.text


def test_two_of_three_callbacks_carry_another_request_id(
    sandbox: SandboxServer, avanser: httpx.Client, catcher: Catcher
) -> None:
    sandbox.script(callback={"delay": 0, "jitter": 0})
    acknowledged = set()
    for index in range(60):
        body = order(SYDNEY, custom_id=f"c{index}", callback_uri=catcher.url)
        acknowledged.add(avanser.post("/requests", json=body).json()["response"]["request_id"])
    eventually(lambda: len(catcher.caught) == 60)
    foreign = [caught for caught in catcher.caught if json.loads(caught.body)["request_id"] not in acknowledged]
    assert 30 <= len(foreign) <= 50


def test_wrong_or_missing_credentials_are_answered_401_in_the_envelope(sandbox: SandboxServer) -> None:
    for credentials in (None, ("tapi_access", "wrong")):
        answer = httpx.get(f"{sandbox.avanser_url}/numbers", auth=credentials)
        assert answer.status_code == 401
        assert answer.json()["response"] == {"code": 401, "message": "Unauthorized"}
    assert sandbox.summary()["traffic"]["total"] == 0


def test_a_search_without_a_match_is_an_empty_map(avanser: httpx.Client) -> None:
    assert avanser.get("/numbers?country=AU&szu=atlantis").json()["response"] == {}
    assert avanser.get("/numbers?country=FR").json()["response"] == {}


@pytest.mark.parametrize(
    ("query", "number", "kind"),
    [
        ("country=AU&type=FREECALL", "611800500000", "FREECALL"),
        ("country=AU&region=Melbourne&pool=public", "61390010000", "GEO"),
        ("country=AU&prefix=0280740804", "61280740804", "GEO"),
        ("number=%2B61-0280740801", "61280740801", "GEO"),
        ("country=AU&prefix=1300", "611300500000", "TOLLFREE"),
        ("latitude=-27.5&longitude=153", "61730000000", "GEO"),
        ("country=NZ", "6493000000", "GEO"),
    ],
)
def test_stock_is_found_by_each_filter(avanser: httpx.Client, query: str, number: str, kind: str) -> None:
    rows = avanser.get(f"/numbers?{query}&limit=1").json()["response"]
    assert list(rows) == [number]
    assert rows[number]["type"] == kind


@pytest.mark.parametrize(
    ("wanted", "number"),
    [
        ({"search_type": "location", "location": "Hobart"}, "61362000000"),
        ({"search_type": "coordinates", "latitude": -12.5, "longitude": 130.8}, "61889000000"),
        ({"search_type": "prefix", "prefix": "03 9001"}, "61390010000"),
        ({"search_type": "type", "type": "TOLLFREE"}, "611300500000"),
        ({"search_type": "number", "number": "61401603859"}, "61480000000"),
        ({"search_type": "szu", "szu": "Sydney"}, "61280740801"),
    ],
)
def test_a_number_is_picked_by_each_search_type(avanser: httpx.Client, wanted: dict[str, Any], number: str) -> None:
    answer = avanser.post("/requests", json=order({"country": "AU", **wanted}))
    assert answer.json()["response"]["service_number"] == number


def test_strict_private_stock_runs_out_where_private_stock_falls_back_to_public(
    sandbox: SandboxServer, avanser: httpx.Client
) -> None:
    private, public = {"first": "61280740801"}, {"first": "61281000000", "count": 5, "pool": "public"}
    for strict, second in (([], 200), (["AU/GEO"], 404)):
        sandbox.reset(avanser={"stock": [private, public], "strict_private": strict})
        assert avanser.post("/requests", json=order(SYDNEY)).json()["response"]["service_number"] == "61280740801"
        assert avanser.post("/requests", json=order(SYDNEY)).status_code == second


def test_a_number_that_is_gone_is_refused_with_409_and_nothing_is_bought(
    sandbox: SandboxServer, avanser: httpx.Client
) -> None:
    wanted = order({"country": "AU", "search_type": "number", "number": "61280740801"})
    assert avanser.post("/requests", json=wanted).status_code == 200
    answer = avanser.post("/requests", json=wanted)
    assert answer.status_code == 409
    assert answer.json()["response"] == {"code": 409, "message": "Number 61280740801 is no longer available"}
    assert sandbox.summary()["orders"] == 1


def test_refusals_come_by_http_200_where_the_script_says_so(sandbox: SandboxServer, avanser: httpx.Client) -> None:
    sandbox.script(refusals_as_200=True)
    answer = avanser.post("/requests", json=order({"search_type": "szu", "szu": "atlantis"}))
    assert answer.status_code == 200
    assert answer.json()["response"] == {"code": 404, "message": "No number available for the given criteria"}


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ("{", "JSON"),
        ("[]", "object"),
        (json.dumps(order({"search_type": "szu"})), "needs szu"),
        (json.dumps(order({"search_type": "magic"})), "service_number.search_type"),
        (json.dumps(order(SYDNEY, service={"type": "transfer"})), "answer_point"),
        (json.dumps(order(SYDNEY, callback_uri="ftp://x")), "callback_uri"),
        (json.dumps({"name": "x"}), "service_number"),
    ],
)
def test_a_wrong_body_is_refused_with_400_naming_what_is_wrong(
    sandbox: SandboxServer, avanser: httpx.Client, body: str, named: str
) -> None:
    answer = avanser.post("/requests", content=body)
    assert answer.status_code == 400
    assert answer.json()["response"]["code"] == 400
    assert named in answer.json()["response"]["message"]
    assert sandbox.summary()["orders"] == 0


def test_requests_are_looked_up_by_every_filter(sandbox: SandboxServer, avanser: httpx.Client) -> None:
    first = avanser.post("/requests", json=order(SYDNEY, custom_id="a", custom_group="g", callback_uri="")).json()
    avanser.post("/requests", json=order(SYDNEY, custom_id="b"))
    eventually(lambda: sandbox.summary()["completed"] == 2)
    request_id, number = first["response"]["request_id"], first["response"]["service_number"]
    row = {
        "custom_id": "a",
        "custom_group": "g",
        "service_number": number,
        "answer_point": "61401603859",
        "status": "completed",
        "message": "Request completed successfully",
        "callback_uri": "",
    }
    for query in ("custom_id=a", "custom_group=g", f"service_number={number}", "custom_id=a&status=completed"):
        assert avanser.get(f"/requests?{query}").json()["response"] == {request_id: row}
    assert len(avanser.get("/requests").json()["response"]) == 2
    assert avanser.get("/requests?custom_id=a&status=failed").json()["response"] == {}
    assert avanser.get("/requests?custom_id=nobody").json()["response"] == {}


def test_a_released_service_is_gone_and_its_number_is_not_handed_out_again(
    sandbox: SandboxServer, avanser: httpx.Client, catcher: Catcher
) -> None:
    sandbox.reset(avanser={"stock": "seed"}, **QUICK)
    number = avanser.post("/requests", json=order(SYDNEY, custom_id="a")).json()["response"]["service_number"]
    assert list(avanser.get("/services").json()["response"]) == [number]
    answer = avanser.delete(f"/services/{number}", params={"callback_uri": f"{catcher.url}/cb?x=1"})
    assert answer.json()["response"]["service_number"] == number
    caught = eventually(lambda: catcher.caught)[0]
    assert caught.path == "/cb?x=1"
    assert json.loads(caught.body)["status"] == "completed"
    assert avanser.get("/services").json()["response"] == {}
    assert avanser.delete(f"/services/{number}").status_code == 404
    assert avanser.post(f"/services/{number}", json={}).status_code == 404
    assert list(avanser.get("/numbers?szu=sydney").json()["response"]) == ["61280740805"]


def test_a_callback_is_repeated_until_it_is_answered_2xx(sandbox: SandboxServer, avanser: httpx.Client) -> None:
    sandbox.script(callback={"delay": 0, "jitter": 0, "backoff": 0.01})
    with Catcher(503, 302, 200) as stubborn:
        avanser.post("/requests", json=order(SYDNEY, callback_uri=f"{stubborn.url}/cb"))
        eventually(lambda: sandbox.summary()["callbacks"] == {"sent": 3, "acknowledged": 1})
        assert len({caught.body for caught in stubborn.caught}) == 1
        assert len(stubborn.caught) == 3


def test_a_callback_is_given_up_after_the_scripted_attempts(sandbox: SandboxServer, avanser: httpx.Client) -> None:
    sandbox.script(callback={"delay": 0, "jitter": 0, "backoff": 0, "attempts": 2})
    with Catcher(500) as deaf:
        avanser.post("/requests", json=order(SYDNEY, callback_uri=f"{deaf.url}/first"))
        eventually(lambda: len(deaf.caught) == 2)
        avanser.post("/requests", json=order(SYDNEY, callback_uri=f"{deaf.url}/second"))
        eventually(lambda: len(deaf.caught) == 4)
    assert [caught.path for caught in deaf.caught] == ["/first", "/first", "/second", "/second"]


def test_the_envelopes_time_is_now(avanser: httpx.Client) -> None:
    answer = avanser.get("/numbers?limit=1").json()
    said = datetime.fromisoformat(answer["@transaction"]["request"]["time"])
    assert abs((datetime.now(said.tzinfo) - said).total_seconds()) < 5
    assert answer["@transaction"]["account-id"] == ACCOUNT
