"""The bodies that we send to Telmetrics, and whether a number shows what was sent."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from models.request import Kind
from tests import picking, telmetrics_page
from worker.upstreams.base import Order
from worker.upstreams.telmetrics.body import number_path, numbers_path, provision_body, shows, update_body
from worker.upstreams.telmetrics.names import key_of

ID = UUID("0192f0c4-5b7a-7cde-8123-456789abcdef")
OTHER = UUID("0192f0c4-5b7a-7cde-8123-456789abcde0")
KEY = key_of(ID)
SMS_URI = "https://us.example/sms/telmetrics/t3"


def order(spec: dict[str, Any], kind: Kind = Kind.PROVISION) -> Order:
    return Order(
        request_id=ID,
        kind=kind,
        spec=spec,
        number=None,
        upstream_reference=None,
        custom_id=None,
        custom_group=None,
        callback_uri="https://us.example/callbacks/telmetrics/t1",
        call_uri="https://us.example/calls/telmetrics/t2",
        sms_uri=SMS_URI,
        pick=picking.first,
    )


def test_numbers_are_sent_as_ten_digits_and_words_as_given() -> None:
    spec = telmetrics_page.spec("number") | {
        "group_id": "11623282",
        "phone_number_request": {"match_type": "LocalToNumber", "local_to_number": "+1 (905) 637-2046"},
        "sms_routes": {"route_type": "smartnumber", "route": {"alternate_text_termination": "212.555.1111"}},
        "call_routes": {"route_type": "basic", "route": {"termination_number": "1-416-555-1234"}},
    }
    assert numbers_path(order(spec)) == "/groups/11623282/numbers"
    assert provision_body(order(spec)) == {
        "name": f"{KEY} ABC Company",
        "phone_number_request": {"match_type": "LocalToNumber", "local_to_number": "9056372046"},
        "sms_routes": {"route_type": "smartnumber", "route": {"alternate_text_termination": "2125551111"}},
        "call_routes": {"route_type": "basic", "route": {"termination_number": "4165551234"}},
    }


def test_what_only_telmetrics_knows_goes_in_at_any_depth() -> None:
    extra = {
        "billing_code": "vic",
        "phone_number_request": {"number_type": "x"},
        "call_routes": {"route": {"features": {"spam_filter": {"enabled": True}}}},
    }
    plain, body = (provision_body(order(telmetrics_page.spec("number") | more)) for more in ({}, {"extra": extra}))
    assert body["billing_code"] == "vic"
    assert body["phone_number_request"] == plain["phone_number_request"] | {"number_type": "x"}
    assert body["call_routes"]["route"] == {
        "termination_number": "4165551234",
        "features": {"spam_filter": {"enabled": True}},
    }
    assert list(body) == [*plain, "billing_code"]


def test_what_is_documented_wins_over_extra() -> None:
    spec = telmetrics_page.spec("number") | {"extra": {"name": "x", "call_routes": {"route_type": "KeyPress"}}}
    assert provision_body(order(spec)) == provision_body(order(telmetrics_page.spec("number")))


def test_a_webhook_without_an_address_gets_ours_and_one_with_an_address_keeps_it() -> None:
    for change in (
        provision_body(order(telmetrics_page.spec("number") | {"sms_routes": {"route_type": "Webhook"}})),
        update_body(order({"sms_routes": {"route_type": "Webhook"}}, Kind.UPDATE), None),
    ):
        assert change["sms_routes"] == {"route_type": "Webhook", "route": {"inbound_webhook_url": SMS_URI}}
    theirs = {"route_type": "webhook", "route": {"inbound_webhook_url": "https://them.example"}}
    assert update_body(order({"sms_routes": theirs}, Kind.UPDATE), None) == {"sms_routes": theirs}


def test_an_update_sends_what_it_names_and_its_name_keeps_the_key_of_the_order_that_made_the_number() -> None:
    spec = {"name": "XYZ", "call_routes": {"route": {"termination_number": "+14165551234"}}, "extra": {"a": 1}}
    routes = {"route": {"termination_number": "4165551234"}}
    asked = order(spec, Kind.UPDATE)
    assert update_body(asked, OTHER) == {"name": f"{key_of(OTHER)} XYZ", "call_routes": routes, "a": 1}
    assert update_body(asked, None) == {"name": "XYZ", "call_routes": routes, "a": 1}


def test_a_reference_cannot_leave_its_place_in_the_path() -> None:
    assert number_path("8660466") == "/numbers/8660466"
    assert number_path("../groups?x") == "/numbers/..%2Fgroups%3Fx"


SHOWN = {
    "id": 8660466,
    "name": f"{key_of(OTHER)} ABC Company 4",
    "sms_routes": {"route_type": "None"},
    "call_routes": {
        "route_type": "Basic",
        "route": {"id": 1, "termination_number": "4165551234", "features": {"whisper": {"enabled": False}}},
    },
}


@pytest.mark.parametrize(
    ("asked", "same"),
    [
        ({}, True),
        ({"name": f"{key_of(OTHER)} ABC Company"}, True),
        ({"name": f"{key_of(OTHER)} ABC Company 4"}, True),
        ({"name": f"{key_of(OTHER)} ABC"}, False),
        ({"name": f"{KEY} ABC Company"}, False),
        ({"name": "ABC Company"}, False),
        ({"call_routes": {"route": {"termination_number": "4165551234"}}}, True),
        ({"call_routes": {"route": {"termination_number": "4165551235"}}}, False),
        ({"call_routes": {"route_type": "basic"}}, True),
        ({"sms_routes": {"route_type": "NONE"}}, True),
        ({"sms_routes": {"route_type": "Webhook"}}, False),
        ({"call_routes": {"route": {"features": {"whisper": {"enabled": False}}}}}, True),
        ({"call_routes": {"route": {"features": {"whisper": {"enabled": True}}}}}, False),
        ({"call_routes": {"route": {"features": {"call_record": {"enabled": False}}}}}, False),
        ({"call_routes": {"route_type": "Basic", "route": {"id": {"deep": 1}}}}, False),
        ({"features": {"stop_call": {"enabled": False}}}, False),
        ({"id": 8660466}, True),
    ],
)
def test_a_change_is_seen_where_all_that_was_asked_for_is_shown(asked: dict[str, Any], same: bool) -> None:
    assert shows(SHOWN, asked) is same
