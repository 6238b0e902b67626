"""The bodies that go to AVANSER, against those on its page."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from models.request import Kind
from tests import avanser_page, picking
from worker.upstreams.avanser.body import provision_body, update_body
from worker.upstreams.base import Order

ID = UUID("01890000-0000-7000-8000-000000000001")
MOBILE = {
    "service_number": {"country": "AU", "search_type": "type", "type": "MOBILE"},
    "service": {"type": "voicemail"},
}


def order(kind: Kind, spec: dict[str, Any], **fields: Any) -> Order:
    given: dict[str, Any] = {
        "number": None,
        "upstream_reference": None,
        "custom_id": None,
        "custom_group": None,
        "callback_uri": "https://us/callbacks/avanser/t1",
        "call_uri": "https://us/calls/avanser/t2",
        "sms_uri": "https://us/sms/avanser/t3",
        "pick": picking.first,
    } | fields
    return Order(request_id=ID, kind=kind, spec=spec, **given)


def as_asked(example: str) -> tuple[Order, str]:
    """The order that a requester makes of an example of the page, and the page's body with our URIs in it."""
    page = avanser_page.document(f"{example}_request.json")
    spec: dict[str, Any] = {name: page[name] for name in ("name", "service_number", "service") if name in page}
    kind = Kind.UPDATE if example == "update" else Kind.PROVISION
    number = "+61280740801" if example == "update" else None
    made = order(kind, spec, number=number, custom_id=page.get("custom_id"), custom_group=page.get("custom_group"))
    wanted = page | {"call_uri": made.call_uri, "callback_uri": made.callback_uri}
    return made, json.dumps(wanted)


@pytest.mark.parametrize("example", ["number", "szu"])
def test_the_pages_requests_are_sent_as_they_stand_on_the_page(example: str) -> None:
    made, wanted = as_asked(example)
    assert json.dumps(provision_body(made)) == wanted


def test_the_pages_update_is_sent_as_it_stands_on_the_page() -> None:
    made, wanted = as_asked("update")
    assert json.dumps(update_body(made)) == wanted


def test_a_request_without_a_custom_id_carries_our_id_and_an_update_without_one_leaves_the_services_alone() -> None:
    assert provision_body(order(Kind.PROVISION, MOBILE))["custom_id"] == str(ID)
    assert "custom_id" not in update_body(order(Kind.UPDATE, {}, number="+61280740801"))
    assert update_body(order(Kind.UPDATE, {}, number="+61280740801", custom_id="a"))["custom_id"] == "a"


def test_numbers_are_sent_in_avansers_digits_whatever_form_they_were_given_in() -> None:
    spec = {
        "service_number": {"country": "au", "search_type": "number", "number": "(02) 8074 0801"},
        "service": {"type": "transfer", "answer_point": "+61 401 603 859"},
    }
    body = provision_body(order(Kind.PROVISION, spec))
    assert body["service_number"] == {"country": "AU", "search_type": "number", "number": "61280740801"}
    assert body["service"]["answer_point"] == "61401603859"


def test_an_updates_national_number_is_of_the_country_of_the_number_it_is_about() -> None:
    spec = {"service": {"answer_point": "021 123 4567"}}
    assert update_body(order(Kind.UPDATE, spec, number="+6493000000"))["service"] == {"answer_point": "64211234567"}


def test_an_order_made_again_asks_for_the_number_that_it_was_given_before() -> None:
    body = provision_body(order(Kind.PROVISION, MOBILE, number="+61480000000"))
    assert body["service_number"] == {"country": "AU", "search_type": "number", "number": "61480000000"}


def wanting(**wanted: Any) -> dict[str, Any]:
    return {**MOBILE, "service_number": {"country": "AU", **wanted}}


@pytest.mark.parametrize(
    ("spec", "given_before", "forwarded"),
    [
        (MOBILE, None, True),
        (MOBILE, "+61480000000", True),
        (wanting(search_type="number", number="0480000001"), None, True),
        (wanting(search_type="prefix", prefix="0480"), None, True),
        (wanting(search_type="szu", szu="sydney"), None, False),
        (wanting(search_type="number", number="0480000001", type="GEO"), None, False),
        (wanting(search_type="number", number="0480000001"), "+61280740801", False),
        (wanting(search_type="location", location="Sydney"), "+61480000000", True),
    ],
)
def test_messages_are_forwarded_to_us_where_the_number_is_mobile(
    spec: dict[str, Any], given_before: str | None, forwarded: bool
) -> None:
    ours, theirs = "https://us/sms/avanser/t3", "https://example.com/sms"
    body = provision_body(order(Kind.PROVISION, spec, number=given_before))
    assert body.get("smsforward_uri") == (ours if forwarded else None)
    body = provision_body(order(Kind.PROVISION, {**spec, "smsforward_uri": theirs}, number=given_before))
    assert body.get("smsforward_uri") == (theirs if forwarded else None)


def test_a_close_match_to_the_answer_point_may_be_of_any_class_so_no_message_is_forwarded() -> None:
    spec = wanting(search_type="number", number="61401603859")
    spec["service"] = {"type": "transfer", "answer_point": "0401 603 859"}
    assert "smsforward_uri" not in provision_body(order(Kind.PROVISION, spec))


def test_an_update_points_a_mobile_numbers_messages_at_us_or_where_the_requester_says() -> None:
    ours, theirs = "https://us/sms/avanser/t3", "https://example.com/sms"
    spec: dict[str, Any]
    for spec, uri in (({}, ours), ({"smsforward_uri": theirs}, theirs)):
        assert update_body(order(Kind.UPDATE, spec, number="+61480000000"))["smsforward_uri"] == uri
    assert "smsforward_uri" not in update_body(order(Kind.UPDATE, {}, number="+61280740801"))
    with pytest.raises(ValueError, match=r"mobile numbers only, and \+61280740801 is none"):
        update_body(order(Kind.UPDATE, {"smsforward_uri": theirs}, number="+61280740801"))


def test_who_is_told_of_a_missed_call_is_sent_in_avansers_digits_and_as_much_of_it_as_was_given() -> None:
    missed: dict[str, Any]
    for missed, sent in (
        ({"sms": ["0401 603 859"]}, {"sms": ["61401603859"]}),
        ({"emails": ["a@example.com"]}, {"emails": ["a@example.com"]}),
        ({"emails": [], "sms": []}, {"emails": [], "sms": []}),
        ({}, {}),
    ):
        asked = order(Kind.UPDATE, {"service": {"missed_call": missed, "call_greeting": None}}, number="+61280740801")
        assert update_body(asked)["service"] == {"missed_call": sent}


def test_what_only_avanser_knows_is_merged_in_and_sets_nothing_that_is_there() -> None:
    extra = {"colour": "red", "service": {"queue": 3, "type": "fax"}, "service_number": {"pool": "private"}}
    body = provision_body(order(Kind.PROVISION, {**MOBILE, "extra": extra}))
    assert body["colour"] == "red"
    assert body["service"] == {"queue": 3, "type": "voicemail"}
    assert body["service_number"] == {"pool": "private", **MOBILE["service_number"]}
    assert "extra" not in body
    assert update_body(order(Kind.UPDATE, {"extra": {"service": {"queue": 3}}}))["service"] == {"queue": 3}


def test_a_spec_that_went_bad_since_it_was_taken_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="service_number"):
        provision_body(order(Kind.PROVISION, {}))
