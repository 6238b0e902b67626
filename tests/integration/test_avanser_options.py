"""Everything that may be asked of AVANSER, by its client, arriving at the simulated AVANSER over HTTP."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest

from models.request import Kind
from models.state import Reason
from tests.avanser_client import LONG, TRANSFER, envelope, order, submit, told, with_client
from tests.catcher import Catcher
from tests.sandbox import SandboxServer, eventually
from worker.upstreams import DIALECTS
from worker.upstreams.base import Accepted, Incoming, Order, Rejected

AVANSER = DIALECTS["avanser"]
MOBILE = {"search_type": "type", "type": "MOBILE"}
LANDLINE = {"search_type": "szu", "szu": "sydney"}


@pytest.fixture
def sandbox(server: SandboxServer) -> SandboxServer:
    server.reset(callback={"delay": 0, "jitter": 0})
    return server


def provision(wanted: dict[str, Any], service: dict[str, Any] = TRANSFER, **more: Any) -> Order:
    """An order that was found good before it was taken."""
    spec = {"service_number": {"country": "AU", **wanted}, "service": service, **more}
    assert AVANSER.check(Kind.PROVISION, spec) == []
    return order(spec=spec)


def update(number: str, spec: dict[str, Any], **fields: Any) -> Order:
    assert AVANSER.check(Kind.UPDATE, spec) == []
    return order(Kind.UPDATE, spec=spec, number=number, **fields)


def shown(sandbox: SandboxServer, number: str) -> dict[str, Any]:
    """The service as AVANSER lists it, once every order is through."""
    eventually(lambda: not sandbox.summary()["pending"])
    with sandbox.avanser() as avanser:
        row: dict[str, Any] = avanser.get("/services").json()["response"][number.removeprefix("+")]
    return row


@pytest.mark.parametrize(
    ("wanted", "number"),
    [
        ({"search_type": "number", "number": "02 8074 0805"}, "+61280740805"),
        ({"search_type": "szu", "szu": "sydney"}, "+61280740801"),
        ({"search_type": "location", "location": "Hobart"}, "+61362000000"),
        ({"search_type": "coordinates", "latitude": -12.5, "longitude": 130.8}, "+61889000000"),
        ({"search_type": "prefix", "prefix": "03 9001"}, "+61390010000"),
        ({"search_type": "type", "type": "GEO"}, "+61280740801"),
        ({"search_type": "type", "type": "TOLLFREE"}, "+611300500000"),
        ({"search_type": "type", "type": "FREECALL"}, "+611800500000"),
        ({"search_type": "type", "type": "MOBILE"}, "+61480000000"),
        ({"search_type": "location", "location": "Mobile", "type": "MOBILE"}, "+61480000000"),
    ],
)
def test_every_search_type_and_every_class_picks_its_number(
    sandbox: SandboxServer, wanted: dict[str, Any], number: str
) -> None:
    answer = submit(sandbox.avanser_url, provision(wanted))
    assert isinstance(answer, Accepted)
    assert answer.number == number
    assert answer.pool == ("public" if wanted.get("prefix") == "03 9001" else "private")
    assert [entry["number"] for entry in sandbox.ledger()] == [number.removeprefix("+")]


@pytest.mark.parametrize(
    ("answer_point", "more", "number"),
    [
        ("0401 603 859", {}, "+61480000000"),
        ("0401 603 859", {"type": "GEO"}, "+61390209999"),
        ("03 9000 0051", {}, "+61390000051"),
        ("03 9000 9999", {}, "+61390000099"),
    ],
)
def test_the_closest_match_to_the_answer_point_is_given(
    sandbox: SandboxServer, answer_point: str, more: dict[str, str], number: str
) -> None:
    wanted = {"search_type": "number", "number": answer_point, **more}
    answer = submit(sandbox.avanser_url, provision(wanted, {"type": "transfer", "answer_point": answer_point}))
    assert answer.number == number


@pytest.mark.parametrize(
    "service",
    [
        {"type": "transfer", "answer_point": "61401603859", "answer_point_name": "answerpoint #1"},
        {"type": "transfer", "answer_point": "61401603859", "record_call": True},
        {"type": "voicemail"},
        {"type": "voicemail", "voicemail_greeting": "Please leave a message.", "record_call": False},
        {"type": "prompt"},
        {"type": "prompt", "call_greeting": "Welcome to <b>us</b>.", "record_call": True},
        {"type": "transfer", "answer_point": "61401603859", "call_greeting": "Hello", "call_whisper": "Advertisement"},
        {"type": "voicemail", "missed_call": {"emails": ["a@example.com", "b@example.com"]}},
        {"type": "transfer", "answer_point": "61401603859", "missed_call": {"sms": ["61401603859"]}},
        {"type": "transfer", "answer_point": "61132307", "missed_call": {"emails": ["a@example.com"], "sms": []}},
    ],
)
def test_every_service_type_and_option_arrives(sandbox: SandboxServer, service: dict[str, Any]) -> None:
    asked = provision(LANDLINE, service, name="service #1")
    answer = submit(sandbox.avanser_url, asked)
    row = shown(sandbox, answer.number)
    assert row["service"] == service
    assert (row["name"], row["call_uri"], row["callback_uri"]) == ("service #1", asked.call_uri, asked.callback_uri)


def test_what_only_avanser_knows_arrives_under_extra(sandbox: SandboxServer) -> None:
    asked = provision(LANDLINE, {"type": "prompt"}, extra={"service": {"menu": ["sales", "support"]}})
    answer = submit(sandbox.avanser_url, asked)
    assert shown(sandbox, answer.number)["service"] == {"type": "prompt", "menu": ["sales", "support"]}


def test_an_update_changes_what_it_names_and_leaves_the_rest(sandbox: SandboxServer) -> None:
    first = {"type": "transfer", "answer_point": "61401603859", "record_call": True, "call_greeting": "Hello"}
    bought = submit(sandbox.avanser_url, provision(LANDLINE, first, name="before"))
    steps: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"service": {"answer_point": "13 23 07"}}, {"answer_point": "61132307"}),
        ({"service": {"record_call": False, "call_greeting": ""}}, {"record_call": False, "call_greeting": ""}),
        (
            {"service": {"missed_call": {"emails": ["a@example.com"], "sms": ["0401 603 859"]}}},
            {"missed_call": {"emails": ["a@example.com"], "sms": ["61401603859"]}},
        ),
        (
            {"service": {"type": "voicemail", "voicemail_greeting": "Gone fishing"}},
            {"type": "voicemail", "voicemail_greeting": "Gone fishing"},
        ),
        ({}, {}),
    ]
    expected = first
    for spec, change in steps:
        asked = update(bought.number, spec)
        assert isinstance(submit(sandbox.avanser_url, asked), Accepted)
        row = shown(sandbox, bought.number)
        expected = expected | change
        assert (row["service"], row["name"]) == (expected, "before")
        assert (row["call_uri"], row["callback_uri"]) == (asked.call_uri, asked.callback_uri)
    renamed = update(bought.number, {"name": "after"}, custom_id="dealer-18", custom_group="nsw")
    submit(sandbox.avanser_url, renamed)
    row = shown(sandbox, bought.number)
    assert (row["name"], row["custom_id"], row["custom_group"]) == ("after", "dealer-18", "nsw")


# SMSForward-URI.


def test_messages_of_mobile_numbers_come_to_us_and_are_read(sandbox: SandboxServer) -> None:
    with Catcher() as catcher:
        asked = replace(provision(MOBILE), sms_uri=f"{catcher.url}/sms/avanser/token")
        answer = submit(sandbox.avanser_url, asked)
        for raw_plus in (False, True):
            catcher.caught.clear()
            sandbox.message(answer.number.removeprefix("+"), message="Hi & bye", surprise="1", raw_plus=raw_plus)
            (caught,) = catcher.caught
            path, _, query = caught.path.partition("?")
            assert path == "/sms/avanser/token"
            (message,) = AVANSER.read_messages(Incoming(caught.method, query, None, caught.body))
            assert (message.number, message.sender, message.text) == (answer.number, "+61405061663", "Hi & bye")
            assert message.sent_at is not None
            assert message.reference == message.parameters["smsid"]
            assert message.parameters["surprise"] == "1"


@pytest.mark.parametrize(
    "wanted",
    [MOBILE, {"search_type": "number", "number": "0480000007"}, {"search_type": "prefix", "prefix": "0480"}],
)
def test_messages_go_to_the_requesters_own_place_where_there_is_one(
    sandbox: SandboxServer, wanted: dict[str, str]
) -> None:
    ours, theirs = provision(wanted), provision(wanted, smsforward_uri="https://example.com/sms?mine=1")
    answer = submit(sandbox.avanser_url, theirs)
    assert shown(sandbox, answer.number)["smsforward_uri"] == "https://example.com/sms?mine=1"
    sandbox.reset(callback={"delay": 0, "jitter": 0})
    answer = submit(sandbox.avanser_url, ours)
    assert shown(sandbox, answer.number)["smsforward_uri"] == ours.sms_uri


def test_an_update_of_a_mobile_number_sets_where_its_messages_go(sandbox: SandboxServer) -> None:
    bought = submit(sandbox.avanser_url, provision(MOBILE, smsforward_uri="https://example.com/1"))
    for spec in ({"smsforward_uri": "https://example.com/2"}, {}):
        asked = update(bought.number, spec)
        assert isinstance(submit(sandbox.avanser_url, asked), Accepted)
        assert shown(sandbox, bought.number)["smsforward_uri"] == spec.get("smsforward_uri", asked.sms_uri)


def test_messages_of_a_landline_are_refused_a_place_before_anything_is_sent(sandbox: SandboxServer) -> None:
    bought = submit(sandbox.avanser_url, provision(LANDLINE))
    assert "smsforward_uri" not in shown(sandbox, bought.number)
    answer = submit(sandbox.avanser_url, update(bought.number, {"smsforward_uri": "https://example.com/sms"}))
    assert answer == Rejected(
        Reason.UPSTREAM_REJECTED,
        f"Not sent: smsforward_uri works with mobile numbers only, and {bought.number} is none",
    )
    assert len(sandbox.ledger()) == 1
    assert isinstance(submit(sandbox.avanser_url, update(bought.number, {})), Accepted)


def test_avanser_itself_refuses_what_slips_by_us_and_its_words_are_kept(sandbox: SandboxServer) -> None:
    spec = {
        "service_number": {"country": "AU", **LANDLINE},
        "service": TRANSFER,
        "extra": {"smsforward_uri": "http://x"},
    }
    assert AVANSER.check(Kind.PROVISION, spec), "it is refused here first"
    answer = submit(sandbox.avanser_url, order(spec=spec))
    assert isinstance(answer, Rejected)
    assert answer.reason == Reason.UPSTREAM_REJECTED
    assert "MOBILE numbers only" in str(answer.detail)
    assert sandbox.ledger() == []


# What is ours.


def test_all_services_are_listed_with_the_request_that_each_is_from(sandbox: SandboxServer) -> None:
    asked = [order(custom_id=f"dealer-{place % 7}", custom_group="vic") for place in range(300)]

    async def buy_all(client: Any) -> list[Any]:
        answers = [await client.submit(one, LONG) for one in asked]
        return [answers, await client.owned(LONG)]

    answers, owned = with_client(sandbox.avanser_url, buy_all)
    assert {one.number: one.order for one in owned} == {
        answer.number: one.request_id for one, answer in zip(asked, answers, strict=True)
    }
    assert {(one.custom_id, one.custom_group) for one in owned} == {(f"dealer-{place}", "vic") for place in range(7)}
    assert owned[0].raw["service"]["answer_point"] == "61401603859"
    with sandbox.avanser() as avanser:
        avanser.delete(f"/services/{owned[0].number.removeprefix('+')}")
    eventually(lambda: not sandbox.summary()["pending"])
    left = with_client(sandbox.avanser_url, lambda client: client.owned(LONG))
    assert {one.number for one in left} == {one.number for one in owned[1:]}


def test_a_list_of_services_of_several_megabytes_is_read_whole() -> None:
    rows = {
        str(61281000000 + place): {"name": "x" * 1000, "callback_uri": "https://somebody.example/callback"}
        for place in range(4_000)
    }
    text = envelope({**rows, "not a number": {"name": "x"}})
    assert len(text) > 4_000_000
    owned, _ = told(lambda client: client.owned(LONG), ("200 OK", text))
    assert len(owned) == 4_000
    assert {one.order for one in owned} == {None}
    assert urlsplit(owned[0].raw["callback_uri"]).hostname == "somebody.example"
