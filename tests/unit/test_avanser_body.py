"""The bodies that go to AVANSER, against those on its page."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from models.request import Kind
from tests import avanser_page
from worker.upstreams.avanser_body import provision_body, update_body
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


def test_messages_are_forwarded_to_us_where_a_mobile_number_is_asked_for() -> None:
    assert provision_body(order(Kind.PROVISION, MOBILE))["smsforward_uri"] == "https://us/sms/avanser/t3"
    made, _ = as_asked("szu")
    assert "smsforward_uri" not in provision_body(made)


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
