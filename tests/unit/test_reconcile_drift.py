"""What is drift at each vendor, and what only looks like it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from models.number import Number
from models.reconciliation import FindingKind
from worker.reconciling.acts import wishes
from worker.reconciling.finding import Act, Finding
from worker.signing import Tokens, Uris
from worker.upstreams import DIALECTS
from worker.upstreams.base import Difference, Held, OwnedNumber

SYDNEY, MOBILE, ATLANTA = "+61280740801", "+61412345678", "+14045550100"
ID = UUID("0199d1a2-0000-7000-8000-000000000001")
URIS = Uris("https://trunkline.test", Tokens([SecretStr("k" * 43)]))

AVANSER: dict[str, Any] = {
    "name": "service #1",
    "service_number": {"country": "AU", "search_type": "szu", "szu": "sydney"},
    "service": {
        "type": "transfer",
        "answer_point": "0401 603 859",
        "record_call": True,
        "missed_call": {"sms": ["0401603859", "61401603860"]},
    },
}
AT_AVANSER: dict[str, Any] = {
    "name": "service #1",
    "custom_id": "dealer-17",
    "custom_group": "",
    "service": {
        "type": "transfer",
        "answer_point": "61401603859",
        "record_call": "1",
        "missed_call": {"sms": ["61401603860", "61401603859"], "emails": []},
        "call_greeting": "not asked for",
    },
    "call_uri": URIS.call("avanser", ID),
    "callback_uri": "",
}

TELMETRICS: dict[str, Any] = {
    "group_id": 11623282,
    "name": "ABC Company",
    "phone_number_request": {"match_type": "tollfree"},
    "call_routes": {
        "route_type": "basic",
        "route": {"termination_number": "(404) 399-3433", "features": {"whisper": {"enabled": False}}},
    },
    "sms_routes": {"route_type": "Webhook"},
    "features": {"stop_call": {"enabled": True, "notification_text": "Gone"}},
}
AT_TELMETRICS: dict[str, Any] = {
    "id": 1,
    "call_routes": {"route_type": "Basic", "route": {"id": 7, "termination_number": "4043993433"}},
    "sms_routes": {"route_type": "webhook", "route": {"inbound_webhook_url": "https://trunkline.test/sms"}},
}

MESSAGEMEDIA: dict[str, Any] = {"search": {"country": "AU"}, "label": "Fred", "metadata": {"State": "Vic"}}
AT_MESSAGEMEDIA: dict[str, Any] = {
    "assignment": {"id": "a", "label": "Fred", "metadata": {"State": "Vic", "trunkline_request": str(ID), "More": "1"}}
}


def drift(
    vendor: str,
    configuration: Mapping[str, Any],
    shown: Mapping[str, Any],
    *,
    name: str | None = None,
    number: str = SYDNEY,
    custom_id: str | None = None,
) -> dict[str, tuple[Any, Any]]:
    theirs = OwnedNumber(number, None, name=name, custom_id=shown.get("custom_id"), raw=shown)
    found = DIALECTS[vendor].drift(Held(number, configuration, custom_id), theirs)
    return {one.pointer: (one.asked, one.shown) for one in found}


def merged(shown: Mapping[str, Any], *path: str, value: Any) -> dict[str, Any]:
    first, *rest = path
    return {**shown, first: merged(shown[first], *rest, value=value) if rest else value}


def test_other_spellings_and_what_was_not_asked_for_are_no_drift() -> None:
    assert drift("avanser", AVANSER, AT_AVANSER, custom_id="dealer-17") == {}
    assert drift("telmetrics", TELMETRICS, AT_TELMETRICS, name="ABC Company 4", number=ATLANTA) == {}
    assert drift("messagemedia", MESSAGEMEDIA, AT_MESSAGEMEDIA) == {}


@pytest.mark.parametrize("vendor", list(DIALECTS))
def test_nothing_is_compared_with_a_number_of_which_nothing_was_asked(vendor: str) -> None:
    shown = {"avanser": AT_AVANSER, "telmetrics": AT_TELMETRICS, "messagemedia": AT_MESSAGEMEDIA}
    assert drift(vendor, {}, shown[vendor], name="Anything") == {}
    assert drift(vendor, {"service": {"type": "transfer"}}, {}) == {}


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (("name",), "another"),
        (("service", "answer_point"), "61399998888"),
        (("service", "record_call"), "0"),
        (("service", "type"), "voicemail"),
        (("service", "missed_call"), {"sms": ["61401603859"]}),
    ],
)
def test_avansers_fields_are_compared_one_by_one(path: tuple[str, ...], shown: Any) -> None:
    (pointer,) = drift("avanser", AVANSER, merged(AT_AVANSER, *path, value=shown))
    assert pointer == "/spec/" + "/".join(path)


def test_what_stands_beside_the_spec_is_compared_where_the_requester_gave_it() -> None:
    assert drift("avanser", AVANSER, AT_AVANSER, custom_id="dealer-18") == {"/custom_id": ("dealer-18", "dealer-17")}
    assert drift("avanser", AVANSER, AT_AVANSER) == {}


def test_calls_that_go_elsewhere_are_drift_and_the_address_keeps_its_secrets() -> None:
    shown = merged(AT_AVANSER, "call_uri", value="https://other.example/calls?password=secret")
    found = drift("avanser", AVANSER, shown)
    assert list(found) == ["/spec/call_uri"]
    assert "secret" not in str(found)
    assert "other.example" in str(found)
    moved = Uris("https://moved.test", Tokens([SecretStr("n" * 43)])).call("avanser", ID)
    assert drift("avanser", AVANSER, merged(AT_AVANSER, "call_uri", value=moved)) == {}


def test_messages_go_where_they_were_asked_to_or_to_us() -> None:
    asked = AVANSER | {"smsforward_uri": "https://mine.example/sms"}
    for uri, is_drift in (
        ("https://mine.example/sms", False),
        (URIS.sms("avanser", ID), False),
        ("https://other.example/sms", True),
    ):
        shown = AT_AVANSER | {"smsforward_uri": uri}
        assert bool(drift("avanser", asked, shown, number=MOBILE)) is is_drift


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (("call_routes", "route_type"), "Menu"),
        (("call_routes", "route", "termination_number"), "2125550199"),
        (("sms_routes", "route_type"), "None"),
    ],
)
def test_telmetrics_fields_are_compared_where_they_are_shown(path: tuple[str, ...], shown: Any) -> None:
    (pointer,) = drift("telmetrics", TELMETRICS, merged(AT_TELMETRICS, *path, value=shown), name="ABC Company")
    assert pointer == "/spec/" + "/".join(path)


def test_a_name_that_a_person_changed_is_drift() -> None:
    assert list(drift("telmetrics", TELMETRICS, AT_TELMETRICS, name="ABC Company Ltd")) == ["/spec/name"]
    assert drift("telmetrics", {"call_routes": {}}, AT_TELMETRICS, name="Anything") == {}


def test_a_label_and_metadata_that_are_not_there_are_drift() -> None:
    assert drift("messagemedia", MESSAGEMEDIA, {"assignment": {"id": "a", "metadata": {"State": "NSW"}}}) == {
        "/spec/label": ("Fred", None),
        "/spec/metadata/State": ("Vic", "NSW"),
    }


def finding(*pointers: str) -> Finding:
    differences = [Difference(pointer, "asked", "shown") for pointer in pointers]
    return Finding(FindingKind.DRIFT, "avanser", MOBILE, "", "", Act.APPLY, differences=differences)


def test_what_is_asked_for_once_more_is_whole_and_repeats_what_an_update_must_say() -> None:
    ours = Number(configuration=AVANSER | {"smsforward_uri": "https://mine.example/sms"}, custom_id="dealer-18")
    repeated = DIALECTS["avanser"].repeated_by_updates
    assert wishes(ours, finding("/spec/service/answer_point", "/custom_id"), repeated) == {
        "spec": {"service": AVANSER["service"], "smsforward_uri": "https://mine.example/sms"},
        "custom_id": "dealer-18",
    }
    assert wishes(ours, finding("/spec/call_uri"), ()) == {"spec": {}}
