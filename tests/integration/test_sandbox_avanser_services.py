"""The services of the simulated AVANSER: every option is checked, kept and shown; and its stock, filled and emptied."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.catcher import Catcher
from tests.sandbox import SandboxServer, eventually

QUICK = {"callback": {"delay": 0, "jitter": 0}}
MOBILE = {"country": "AU", "search_type": "type", "type": "MOBILE"}
SYDNEY = {"country": "AU", "search_type": "szu", "szu": "sydney"}
TRANSFER = {"type": "transfer", "answer_point": "61401603859"}
EVERYTHING = {
    **TRANSFER,
    "answer_point_name": "answerpoint #1",
    "record_call": True,
    "missed_call": {"emails": ["a@example.com"], "sms": ["61401603859"]},
    "call_greeting": "Hello",
    "call_whisper": "A call from your advertisement",
    "voicemail_greeting": "Please leave a message",
}


@pytest.fixture
def sandbox(server: SandboxServer) -> SandboxServer:
    server.reset(**QUICK)
    return server


@pytest.fixture
def avanser(sandbox: SandboxServer) -> Iterator[httpx.Client]:
    with sandbox.avanser() as client:
        yield client


def buy(avanser: httpx.Client, number: dict[str, Any], service: dict[str, Any] = TRANSFER, **fields: Any) -> str:
    answer = avanser.post("/requests", json={"service_number": number, "service": service, **fields})
    bought: str = answer.json()["response"]["service_number"]
    return bought


def shown(sandbox: SandboxServer, avanser: httpx.Client, number: str) -> dict[str, Any]:
    eventually(lambda: not sandbox.summary()["pending"])
    row: dict[str, Any] = avanser.get(f"/services?service_number={number}").json()["response"][number]
    return row


@pytest.mark.parametrize(
    "service",
    [EVERYTHING, {"type": "voicemail", "voicemail_greeting": "Hello"}, {"type": "prompt", "menu": ["sales"]}],
    ids=["transfer", "voicemail", "prompt"],
)
def test_a_service_is_shown_as_it_was_configured_unknown_fields_included(
    sandbox: SandboxServer, avanser: httpx.Client, service: dict[str, Any]
) -> None:
    number = buy(avanser, SYDNEY, service, name="n")
    assert shown(sandbox, avanser, number) == {
        "name": "n",
        "custom_id": "",
        "custom_group": "",
        "service": service,
        "call_uri": "",
        "callback_uri": "",
    }


def test_an_update_changes_what_it_names(sandbox: SandboxServer, avanser: httpx.Client) -> None:
    number = buy(avanser, SYDNEY, EVERYTHING)
    change = {"record_call": False, "missed_call": {"emails": []}, "call_whisper": ""}
    assert avanser.post(f"/services/{number}", json={"service": change}).status_code == 200
    assert shown(sandbox, avanser, number)["service"] == {**EVERYTHING, **change}
    assert avanser.post(f"/services/{number}", json={"service": {"type": "voicemail"}}).status_code == 200
    assert shown(sandbox, avanser, number)["service"]["type"] == "voicemail"


@pytest.mark.parametrize(
    ("service", "named"),
    [
        ({"type": "fax"}, "service.type"),
        ({"record_call": "yes"}, "record_call"),
        ({"record_call": 1}, "record_call"),
        ({"missed_call": "a@example.com"}, "missed_call"),
        ({"missed_call": {"emails": ["nobody"]}}, "missed_call.emails.0"),
        ({"missed_call": {"sms": ["61401603859", "me"]}}, "missed_call.sms.1"),
        ({"call_greeting": {"text": "Hello"}}, "call_greeting"),
        ({"call_whisper": ["Hello"]}, "call_whisper"),
        ({"voicemail_greeting": True}, "voicemail_greeting"),
        ({"answer_point": "call me"}, "answer_point"),
    ],
)
def test_a_wrong_option_is_refused_with_400_in_an_order_and_in_an_update(
    sandbox: SandboxServer, avanser: httpx.Client, service: dict[str, Any], named: str
) -> None:
    number = buy(avanser, SYDNEY)
    for path, body in (
        ("/requests", {"service_number": SYDNEY, "service": {**TRANSFER, **service}}),
        (f"/services/{number}", {"service": service}),
    ):
        answer = avanser.post(path, json=body)
        assert answer.status_code == 400
        assert named in answer.json()["response"]["message"]
    assert len(sandbox.ledger()) == 1


def test_a_voicemail_cannot_become_a_transfer_to_nowhere(sandbox: SandboxServer, avanser: httpx.Client) -> None:
    number = buy(avanser, SYDNEY, {"type": "voicemail"})
    answer = avanser.post(f"/services/{number}", json={"service": {"type": "transfer"}})
    assert answer.status_code == 400
    assert answer.json()["response"]["message"] == "Invalid request: a transfer needs answer_point"
    assert avanser.post(f"/services/{number}", json={"service": TRANSFER}).status_code == 200
    assert shown(sandbox, avanser, number)["service"] == TRANSFER
    assert avanser.post(f"/services/{number}", json={"service": {"type": "transfer"}}).status_code == 200


def test_an_szu_is_australian(sandbox: SandboxServer, avanser: httpx.Client) -> None:
    answer = avanser.post("/requests", json={"service_number": {**SYDNEY, "country": "NZ"}, "service": TRANSFER})
    assert answer.status_code == 400
    assert "Australia only" in answer.json()["response"]["message"]
    assert sandbox.ledger() == []


def test_messages_of_mobile_numbers_alone_may_be_forwarded(sandbox: SandboxServer, avanser: httpx.Client) -> None:
    landline, mobile = buy(avanser, SYDNEY), buy(avanser, MOBILE, smsforward_uri="http://127.0.0.1:1/sms")
    assert shown(sandbox, avanser, mobile)["smsforward_uri"] == "http://127.0.0.1:1/sms"
    assert "smsforward_uri" not in shown(sandbox, avanser, landline)
    forwarding = {"smsforward_uri": "http://127.0.0.1:1/other"}
    for path, body in (
        ("/requests", {"service_number": SYDNEY, "service": TRANSFER, **forwarding}),
        (f"/services/{landline}", forwarding),
    ):
        answer = avanser.post(path, json=body)
        assert answer.status_code == 400
        assert "MOBILE numbers only" in answer.json()["response"]["message"]
    assert len(sandbox.ledger()) == 2
    assert avanser.post(f"/services/{mobile}", json=forwarding).status_code == 200
    assert shown(sandbox, avanser, mobile)["smsforward_uri"] == "http://127.0.0.1:1/other"


def test_an_update_moves_the_messages(sandbox: SandboxServer, avanser: httpx.Client) -> None:
    with Catcher() as first, Catcher() as second:
        number = buy(avanser, MOBILE, smsforward_uri=f"{first.url}/sms")
        sandbox.message(number)
        avanser.post(f"/services/{number}", json={"smsforward_uri": f"{second.url}/sms"})
        eventually(lambda: not sandbox.summary()["pending"])
        sandbox.message(number)
        assert (len(first.caught), len(second.caught)) == (1, 1)


def test_options_and_where_messages_go_outlive_the_process(tmp_path: Any) -> None:
    with SandboxServer(ledger=tmp_path / "ledger.jsonl", script=QUICK) as sandbox:
        with sandbox.avanser() as avanser:
            number = buy(avanser, MOBILE, EVERYTHING, smsforward_uri="http://127.0.0.1:1/sms")
            before = shown(sandbox, avanser, number)
        assert before["smsforward_uri"] == "http://127.0.0.1:1/sms"
        sandbox.kill()
        sandbox.start()
        with sandbox.avanser() as avanser:
            assert shown(sandbox, avanser, number) == before


# Stock.


def test_a_restock_through_the_script_makes_orders_possible_again(
    sandbox: SandboxServer, avanser: httpx.Client
) -> None:
    first, more = {"first": "61280740801"}, {"first": "61280740900", "count": 2}
    sandbox.reset(avanser={"stock": [first]}, **QUICK)
    order = {"service_number": SYDNEY, "service": TRANSFER}
    assert [avanser.post("/requests", json=order).status_code for _ in range(2)] == [200, 404]
    assert avanser.get("/numbers?country=AU&szu=sydney").json()["response"] == {}
    sandbox.script(avanser={"stock": [first, more]}, **QUICK)
    assert list(avanser.get("/numbers?country=AU&szu=sydney").json()["response"]) == ["61280740900", "61280740901"]
    assert [avanser.post("/requests", json=order).status_code for _ in range(3)] == [200, 200, 404]
    assert [entry["number"] for entry in sandbox.ledger()] == ["61280740801", "61280740900", "61280740901"]


def test_every_row_of_stock_names_its_pool_and_strict_private_stock_shows_no_public_one(
    sandbox: SandboxServer, avanser: httpx.Client
) -> None:
    stock = [{"first": "61280740801"}, {"first": "61281000000", "count": 2, "pool": "public"}]
    for strict, pools in (([], ["private", "public", "public"]), (["AU/GEO"], ["private"])):
        sandbox.reset(avanser={"stock": stock, "strict_private": strict}, **QUICK)
        rows = avanser.get("/numbers?country=AU&szu=sydney").json()["response"]
        assert [row["pool"] for row in rows.values()] == pools


def test_a_search_shows_500_numbers_unless_asked_for_more_or_less(avanser: httpx.Client) -> None:
    for query, rows in (("", 500), ("&limit=7", 7), ("&limit=100000", 1_000), ("&limit=0", 1)):
        assert len(avanser.get(f"/numbers?country=AU{query}").json()["response"]) == rows
    assert avanser.get("/numbers?limit=some").status_code == 400
