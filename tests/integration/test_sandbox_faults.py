"""Every scripted fault of the simulated AVANSER, as it shows on the wire and in the ledger."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.catcher import Catcher
from tests.sandbox import ACCOUNT, SandboxServer, eventually

QUICK = {"delay": 0, "jitter": 0, "foreign_request_id_share": 0}
CHANGE = {"service": {"answer_point": "61132307"}}


@pytest.fixture
def avanser(sandbox: SandboxServer) -> Iterator[httpx.Client]:
    with sandbox.avanser(timeout=5) as client:
        yield client


def order(custom_id: str = "a", **fields: Any) -> dict[str, Any]:
    number = {"country": "AU", "search_type": "szu", "szu": "sydney"}
    service = {"type": "transfer", "answer_point": "61401603859"}
    return {"name": "s", "custom_id": custom_id, "service_number": number, "service": service, **fields}


def play(sandbox: SandboxServer, fault: str, **rule: Any) -> None:
    sandbox.script(callback=QUICK, faults=[{"fault": fault, **rule}])


@pytest.mark.parametrize(
    ("fault", "rule", "status", "message"),
    [
        ("refused", {}, 422, "Request refused"),
        ("refused", {"status": 403, "message": "Not for you"}, 403, "Not for you"),
        ("wrong_credentials", {}, 401, "Unauthorized"),
        ("out_of_stock", {}, 404, "No number available for the given criteria"),
        ("taken_meanwhile", {}, 409, "Number is no longer available"),
    ],
)
def test_a_refusal_comes_in_the_envelope_and_buys_nothing(
    sandbox: SandboxServer, avanser: httpx.Client, fault: str, rule: dict[str, Any], status: int, message: str
) -> None:
    play(sandbox, fault, **rule)
    answer = avanser.post("/requests", json=order())
    assert answer.status_code == status
    assert answer.json()["response"] == {"code": status, "message": message}
    play(sandbox, fault, **rule, as_200=True)
    answer = avanser.post("/requests", json=order())
    assert answer.status_code == 200
    assert answer.json()["response"]["code"] == status
    assert sandbox.summary()["orders"] == 0


def test_a_rate_limit_says_when_to_come_back_in_seconds_or_by_date(
    sandbox: SandboxServer, avanser: httpx.Client
) -> None:
    play(sandbox, "rate_limited", retry_after=7)
    answer = avanser.post("/requests", json=order())
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    play(sandbox, "rate_limited", retry_after=60, retry_after_as_date=True)
    until = parsedate_to_datetime(avanser.post("/requests", json=order()).headers["Retry-After"])
    assert 50 < (until - datetime.now(UTC)).total_seconds() <= 60
    assert sandbox.summary()["orders"] == 0


@pytest.mark.parametrize(("fault", "status", "orders"), [("before", 503, 0), ("after", 502, 1)])
def test_a_server_error_is_no_envelope_and_may_or_may_not_have_bought(
    sandbox: SandboxServer, avanser: httpx.Client, fault: str, status: int, orders: int
) -> None:
    play(sandbox, f"error_{fault}_effect", times=1)
    answer = avanser.post("/requests", json=order())
    assert answer.status_code == status
    assert answer.headers["Content-Type"].startswith("text/html")
    assert sandbox.summary()["orders"] == orders


@pytest.mark.parametrize(("fault", "orders"), [("before", 0), ("after", 1)])
def test_a_reset_connection_may_or_may_not_have_bought(
    sandbox: SandboxServer, avanser: httpx.Client, fault: str, orders: int
) -> None:
    play(sandbox, f"reset_{fault}_effect")
    with pytest.raises(httpx.ReadError):
        avanser.post("/requests", json=order())
    assert sandbox.summary()["orders"] == orders


@pytest.mark.parametrize(("fault", "then"), [("before", 0), ("after", 1)])
def test_a_time_out_may_or_may_not_have_bought(sandbox: SandboxServer, fault: str, then: int) -> None:
    play(sandbox, f"timeout_{fault}_effect", seconds=0.6)
    with sandbox.avanser(timeout=0.2) as hasty, pytest.raises(httpx.ReadTimeout):
        hasty.post("/requests", json=order())
    assert sandbox.summary()["orders"] == then
    eventually(lambda: sandbox.summary()["traffic"]["in_flight"] == 0)
    assert sandbox.summary()["orders"] == then


def test_an_order_may_land_only_after_the_clients_time_out(sandbox: SandboxServer) -> None:
    play(sandbox, "timeout_then_effect", seconds=0.6)
    with sandbox.avanser(timeout=0.2) as hasty, pytest.raises(httpx.ReadTimeout):
        hasty.post("/requests", json=order())
    assert sandbox.summary()["orders"] == 0
    eventually(lambda: sandbox.summary()["orders"] == 1)


def test_an_order_that_is_held_over_a_reset_is_dropped(sandbox: SandboxServer) -> None:
    play(sandbox, "timeout_then_effect", seconds=0.5)
    with sandbox.avanser(timeout=0.1) as hasty, pytest.raises(httpx.ReadTimeout):
        hasty.post("/requests", json=order())
    sandbox.reset()
    eventually(lambda: sandbox.summary()["traffic"]["in_flight"] == 0)
    assert sandbox.summary()["orders"] == 0


def test_a_held_answer_comes_in_the_end(sandbox: SandboxServer, avanser: httpx.Client) -> None:
    play(sandbox, "timeout_after_effect", seconds=0.3)
    started = time.monotonic()
    assert avanser.post("/requests", json=order()).json()["response"]["code"] == 200
    assert time.monotonic() - started >= 0.3


def test_a_call_that_is_held_to_no_effect_ends_hung_up(sandbox: SandboxServer, avanser: httpx.Client) -> None:
    play(sandbox, "timeout_before_effect", seconds=0.1)
    with pytest.raises(httpx.ReadError):
        avanser.post("/requests", json=order())


def test_an_unreadable_200_has_bought(sandbox: SandboxServer, avanser: httpx.Client) -> None:
    play(sandbox, "unreadable_after_effect")
    answer = avanser.post("/requests", json=order())
    assert answer.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        answer.json()
    assert sandbox.summary()["orders"] == 1


def test_a_slow_body_arrives_whole(sandbox: SandboxServer, avanser: httpx.Client) -> None:
    play(sandbox, "slow_body", seconds=2)
    started = time.monotonic()
    with avanser.stream("POST", "/requests", json=order()) as answer:
        head = time.monotonic() - started
        answer.read()
    assert head < 1.5 < time.monotonic() - started
    assert answer.json()["response"]["code"] == 200


def test_a_wrong_account_is_named_in_reply_callback_and_ledger_and_its_orders_are_not_in_our_list(
    sandbox: SandboxServer, avanser: httpx.Client, catcher: Catcher
) -> None:
    play(sandbox, "wrong_account", on=["provision"])
    answer = avanser.post("/requests", json=order(callback_uri=catcher.url)).json()
    assert answer["@transaction"]["account-id"] == "8xxx" != ACCOUNT
    assert json.loads(eventually(lambda: catcher.caught)[0].body)["account_id"] == "8xxx"
    assert [entry["account"] for entry in sandbox.ledger()] == ["8xxx"]
    assert avanser.get("/requests?custom_id=a").json()["response"] == {}
    assert avanser.get("/services").json()["response"] == {}


def test_a_list_that_lags_shows_the_order_later(sandbox: SandboxServer, avanser: httpx.Client) -> None:
    play(sandbox, "list_lags", seconds=0.5)
    answer = avanser.post("/requests", json=order()).json()["response"]
    for path in ("/requests?custom_id=a", "/requests", "/services"):
        assert avanser.get(path).json()["response"] == {}
    eventually(lambda: list(avanser.get("/requests?custom_id=a").json()["response"]) == [answer["request_id"]])
    assert list(avanser.get("/services").json()["response"]) == [answer["service_number"]]


def test_an_early_callback_comes_before_the_acknowledgement(
    sandbox: SandboxServer, avanser: httpx.Client, catcher: Catcher
) -> None:
    sandbox.script(callback={**QUICK, "delay": 60}, faults=[{"fault": "callback_early"}])
    answer = avanser.post("/requests", json=order(callback_uri=catcher.url)).json()["response"]
    assert [json.loads(caught.body)["request_id"] for caught in catcher.caught] == [answer["request_id"]]


def test_a_late_callback_comes_after_the_list_says_completed(
    sandbox: SandboxServer, avanser: httpx.Client, catcher: Catcher
) -> None:
    play(sandbox, "callback_late", seconds=0.5)
    avanser.post("/requests", json=order(callback_uri=catcher.url))
    eventually(lambda: sandbox.summary()["completed"] == 1)
    assert not catcher.caught
    eventually(lambda: len(catcher.caught) == 1)


def test_a_callback_may_come_twice(sandbox: SandboxServer, avanser: httpx.Client, catcher: Catcher) -> None:
    play(sandbox, "callback_twice")
    avanser.post("/requests", json=order(callback_uri=catcher.url))
    eventually(lambda: sandbox.summary()["callbacks"] == {"sent": 2, "acknowledged": 2})
    assert len(catcher.caught) == 2


def test_a_callback_may_never_come_though_the_order_completed(
    sandbox: SandboxServer, avanser: httpx.Client, catcher: Catcher
) -> None:
    play(sandbox, "callback_never", match={"custom_id": "a"})
    avanser.post("/requests", json=order("a", callback_uri=f"{catcher.url}/a"))
    eventually(lambda: sandbox.summary()["completed"] == 1)
    avanser.post("/requests", json=order("b", callback_uri=f"{catcher.url}/b"))
    eventually(lambda: catcher.caught)
    assert [caught.path for caught in catcher.caught] == ["/b"]


@pytest.mark.parametrize("script", [{"method": "GET"}, {}], ids=["by the script", "by a fault"])
def test_a_callback_by_get_carries_the_fields_in_the_query(
    sandbox: SandboxServer, avanser: httpx.Client, catcher: Catcher, script: dict[str, str]
) -> None:
    sandbox.script(callback={**QUICK, **script}, faults=[] if script else [{"fault": "callback_by_get"}])
    answer = avanser.post("/requests", json=order("a #1", callback_uri=f"{catcher.url}/cb?own=1")).json()["response"]
    caught = eventually(lambda: catcher.caught)[0]
    assert (caught.method, caught.body) == ("GET", b"")
    assert parse_qs(urlsplit(caught.path).query, keep_blank_values=True) == {
        "own": ["1"],
        "account_id": [ACCOUNT],
        "request_id": [answer["request_id"]],
        "custom_id": ["a #1"],
        "custom_group": [""],
        "service_number": [answer["service_number"]],
        "answer_point": ["61401603859"],
        "message": ["Request completed successfully"],
        "status": ["completed"],
    }


def test_a_callback_with_foreign_ids_keeps_only_its_address(
    sandbox: SandboxServer, avanser: httpx.Client, catcher: Catcher
) -> None:
    play(sandbox, "callback_foreign_ids")
    answer = avanser.post("/requests", json=order(custom_group="g", callback_uri=catcher.url)).json()["response"]
    got = json.loads(eventually(lambda: catcher.caught)[0].body)
    assert got["request_id"] != answer["request_id"]
    assert "a" != got["custom_id"] != ""
    assert got["custom_group"] != "g"


def test_a_failed_order_says_why_and_holds_no_number(
    sandbox: SandboxServer, avanser: httpx.Client, catcher: Catcher
) -> None:
    play(sandbox, "callback_failed", message="Carrier said no", times=1)
    uri = f"{catcher.url}/callbacks/avanser/token-of-one-request"
    avanser.post("/requests", json=order(callback_uri=uri))
    got = json.loads(eventually(lambda: catcher.caught)[0].body)
    assert (got["status"], got["message"]) == ("failed", "Carrier said no")
    assert avanser.get("/services").json()["response"] == {}
    avanser.post("/requests", json=order(callback_uri=uri))
    books = sandbox.summary()
    assert (books["orders"], books["failed"], books["numbers_taken"], books["by_key"]) == (2, 1, 1, {})


def test_updates_releases_searches_and_look_ups_are_struck_only_when_named(
    sandbox: SandboxServer, avanser: httpx.Client
) -> None:
    number = avanser.post("/requests", json=order()).json()["response"]["service_number"]
    calls: dict[str, Callable[[], httpx.Response]] = {
        "update": lambda: avanser.post(f"/services/{number}", json=CHANGE),
        "search": lambda: avanser.get("/numbers"),
        "look_up": lambda: avanser.get("/requests?custom_id=a"),
        "provision": lambda: avanser.post("/requests", json=order()),
        "release": lambda: avanser.delete(f"/services/{number}"),
    }
    for struck, call in calls.items():
        play(sandbox, "error_before_effect", on=[struck])
        assert call().status_code == 503
        assert {calls[name]().status_code for name in ("search", "look_up") if name != struck} == {200}
    assert [entry["kind"] for entry in sandbox.ledger()] == ["provision"]


def test_a_rule_strikes_what_it_matches_as_often_as_it_says(sandbox: SandboxServer, avanser: httpx.Client) -> None:
    rule = {"fault": "error_before_effect", "times_per_order": 1, "match": {"custom_id": "dealer-*"}}
    sandbox.script(faults=[{**rule, "times": 2}])
    statuses = [avanser.post("/requests", json=order(name)).status_code for name in ("dealer-1", "x", "dealer-1")]
    assert statuses == [503, 200, 200]
    statuses = [avanser.post("/requests", json=order(name)).status_code for name in ("dealer-2", "dealer-3")]
    assert statuses == [503, 200]


@pytest.mark.parametrize(("field", "value"), [("name", "se?vice"), ("number", "61280740803"), ("custom_group", "g*")])
def test_a_rule_matches_by_name_number_and_group(
    sandbox: SandboxServer, avanser: httpx.Client, field: str, value: str
) -> None:
    play(sandbox, "refused", match={field: value})
    number = {"country": "AU", "search_type": "number", "number": "61280740803"}
    assert avanser.post("/requests", json=order()).status_code == 200
    body = order(name="service", custom_group="group", service_number=number)
    assert avanser.post("/requests", json=body).status_code == 422


def test_the_same_seed_strikes_the_same_orders_in_any_sequence(sandbox: SandboxServer, avanser: httpx.Client) -> None:
    rules = [{"fault": "refused", "share": 0.3}]
    struck = []
    for seed, names in ((7, range(60)), (7, reversed(range(60))), (8, range(60))):
        sandbox.script(seed=seed, faults=rules)
        codes = {name: avanser.post("/requests", json=order(f"c{name}")).status_code for name in names}
        struck.append({name for name, code in codes.items() if code == 422})
    assert struck[0] == struck[1] != struck[2]
    assert 8 <= len(struck[0]) <= 30


def test_latency_keeps_every_call_waiting(sandbox: SandboxServer, avanser: httpx.Client) -> None:
    sandbox.script(latency_ms={"min": 150, "max": 200})
    started = time.monotonic()
    avanser.get("/numbers?limit=1")
    assert 0.15 <= time.monotonic() - started < 5


def test_an_order_said_whole_takes_effect_though_its_client_dies_while_it_waits(sandbox: SandboxServer) -> None:
    sandbox.script(latency_ms={"min": 300, "max": 300}, callback=QUICK)
    with sandbox.avanser(timeout=0.1) as hasty, pytest.raises(httpx.ReadTimeout):
        hasty.post("/requests", json=order("orphan"))
    assert sandbox.summary()["orders"] == 0
    eventually(lambda: sandbox.ledger(custom_id="orphan"))


def test_an_unknown_fault_is_refused_by_name_and_the_script_stays(sandbox: SandboxServer) -> None:
    play(sandbox, "callback_twice")
    answer = httpx.put(f"{sandbox.url}/_sandbox", json={"faults": [{"fault": "eaten_by_dog"}]})
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert error["pointer"] == "/faults/0/fault"
    assert "eaten_by_dog" in error["detail"]
    assert [rule["fault"] for rule in httpx.get(f"{sandbox.url}/_sandbox").json()["faults"]] == ["callback_twice"]


@pytest.mark.parametrize(
    ("script", "pointer"),
    [
        ({"sed": 1}, "/sed"),
        ({"faults": [{"fault": "refused", "share": 2}]}, "/faults/0/share"),
        ({"faults": [{"fault": "refused", "on": ["dinner"]}]}, "/faults/0/on/0"),
        ({"callback": {"delay": -1}}, "/callback/delay"),
        ({"latency_ms": {"min": 9, "max": 1}}, "/latency_ms"),
        ([], ""),
    ],
)
def test_a_wrong_script_is_refused_with_the_place_of_the_mistake(
    sandbox: SandboxServer, script: Any, pointer: str
) -> None:
    answer = httpx.put(f"{sandbox.url}/_sandbox", json=script)
    assert answer.status_code == 400
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


def test_a_shown_script_can_be_put_back(sandbox: SandboxServer) -> None:
    play(sandbox, "slow_body", seconds=2, match={"name": "x*"})
    shown = httpx.get(f"{sandbox.url}/_sandbox").json()
    assert sandbox.script(**shown) == shown
