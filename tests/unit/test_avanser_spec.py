"""What may be asked of AVANSER, and where a spec is wrong."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.request import Kind
from tests import avanser_page
from worker.fault import Fault
from worker.upstreams import DIALECTS

PROVISION: dict[str, Any] = {
    "name": "service #1",
    "service_number": {"country": "AU", "search_type": "szu", "szu": "sydney"},
    "service": {"type": "transfer", "answer_point": "61401603859", "record_call": True},
}


def check(spec: dict[str, Any], kind: Kind = Kind.PROVISION) -> list[Fault]:
    return DIALECTS["avanser"].check(kind, spec)


def changed(pointer: str, value: Any) -> dict[str, Any]:
    """The good provision with one thing set, or taken away by `...`."""
    spec = deepcopy(PROVISION)
    *path, last = pointer.split("/")[2:]
    place = spec
    for step in path:
        place = place.setdefault(step, {})
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return spec


@pytest.mark.parametrize("example", ["number", "szu"])
def test_the_pages_requests_are_good_less_what_is_ours(example: str) -> None:
    body = avanser_page.document(f"{example}_request.json")
    spec = {name: body[name] for name in ("name", "service_number", "service")}
    assert check(spec) == []


def test_the_pages_update_is_good_and_so_is_an_empty_one_and_a_release_has_nothing_to_say() -> None:
    assert check({"service": {"answer_point": "61132307"}}, Kind.UPDATE) == []
    assert check({}, Kind.UPDATE) == []
    assert check({}, Kind.RELEASE) == []
    assert [fault.pointer for fault in check({"name": "x"}, Kind.RELEASE)] == ["/spec/name"]


@pytest.mark.parametrize(
    "wanted",
    [
        {"search_type": "number", "number": "+61 2 8074 0801"},
        *({"search_type": "type", "type": kind} for kind in ("GEO", "TOLLFREE", "FREECALL")),
        {"search_type": "number", "number": "0280740801", "type": "GEO"},
        {"search_type": "szu", "szu": "sydney", "type": "GEO"},
        {"search_type": "location", "location": "NSW: Sydney"},
        {"search_type": "coordinates", "latitude": -33.87, "longitude": 151},
        {"search_type": "prefix", "prefix": "6128"},
        {"search_type": "type", "type": "MOBILE"},
    ],
    ids=lambda wanted: f"{wanted['search_type']} {wanted.get('type', '')}".strip(),
)
def test_every_search_type_and_class_of_the_page_may_be_asked_for(wanted: dict[str, Any]) -> None:
    assert check({**PROVISION, "service_number": {"country": "AU", **wanted}}) == []


@pytest.mark.parametrize(
    "service",
    [
        {"type": "voicemail", "voicemail_greeting": "Hello"},
        {"type": "prompt", "call_greeting": "Hello", "record_call": True},
        {"type": "transfer", "answer_point": "0401 603 859", "answer_point_name": "answerpoint #1"},
        {
            "type": "transfer",
            "answer_point": "132307",
            "call_whisper": "A call from your advertisement",
            "missed_call": {"emails": ["a@example.com"], "sms": ["61401603859"]},
        },
        {"type": "transfer", "answer_point": "132307", "missed_call": {"sms": ["0401 603 859"]}},
        {
            "type": "voicemail",
            "missed_call": {"emails": ["o'brien+missed@mail.example.com.au", "büro@straße.example", "a.b@x-1.example"]},
        },
    ],
)
def test_every_service_type_and_option_of_the_page_may_be_asked_for(service: dict[str, Any]) -> None:
    assert check({**PROVISION, "service": service}) == []


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("/spec/service", ...),
        ("/spec/service_number", ...),
        ("/spec/service_number", "61280740801"),
        ("/spec/service_number/country", ...),
        ("/spec/service_number/country", "AUS"),
        ("/spec/service_number/country", 61),
        ("/spec/service_number/search_type", ...),
        ("/spec/service_number/search_type", "postcode"),
        ("/spec/service_number/szu", ...),
        ("/spec/service_number/szu", ""),
        ("/spec/service_number/szu", 7),
        ("/spec/service_number/location", "Sydney"),
        ("/spec/service_number/type", "LANDLINE"),
        ("/spec/service/type", ...),
        ("/spec/service/type", "fax"),
        ("/spec/service/answer_point", ...),
        ("/spec/service/answer_point", "call me"),
        ("/spec/service/answer_point", "614016038599999999"),
        ("/spec/service/answer_point", 61401603859),
        ("/spec/service/record_call", "true"),
        ("/spec/service/record_call", 1),
        ("/spec/service/recrod_call", True),
        ("/spec/service/missed_call", {"email": "a@example.com"}),
        ("/spec/service/missed_call/emails", "a@example.com"),
        ("/spec/service/missed_call/sms", "0401603859"),
        ("/spec/service/call_greeting", 7),
        ("/spec/service/call_whisper", True),
        ("/spec/service/voicemail_greeting", ["Hello"]),
        ("/spec/name", 7),
        ("/spec/nmae", "x"),
        ("/spec/call_uri", "https://example.com"),
        ("/spec/callback_uri", "https://example.com"),
        ("/spec/smsforward_uri", "https://example.com/sms"),
        ("/spec/smsforward_uri", "ftp://example.com/sms"),
        ("/spec/custom_id", "dealer-17"),
        ("/spec/extra", "x"),
        ("/spec/extra/call_uri", "https://example.com"),
        ("/spec/extra/name", "service #2"),
        ("/spec/extra/smsforward_uri", "https://example.com/sms"),
        ("/spec/extra/service", 1),
        ("/spec/extra/service/answer_point", "61401603859"),
        ("/spec/extra/service_number/number", "61280740801"),
    ],
)
def test_what_is_wrong_is_named_by_its_pointer(pointer: str, value: Any) -> None:
    faults = check(changed(pointer, value))
    assert len(faults) == 1, faults
    expected = f"{pointer}/email" if pointer.endswith("missed_call") else pointer
    assert faults[0].pointer == expected
    assert faults[0].detail


@pytest.mark.parametrize(
    ("wanted", "pointer"),
    [
        ({"search_type": "number"}, "number"),
        ({"search_type": "number", "number": "not one"}, "number"),
        ({"search_type": "location"}, "location"),
        ({"search_type": "coordinates", "latitude": -33.87}, "longitude"),
        ({"search_type": "coordinates", "latitude": "-33.87", "longitude": 151}, "latitude"),
        ({"search_type": "coordinates", "latitude": -33.87, "longitude": 151 + 360}, "longitude"),
        ({"search_type": "coordinates", "latitude": True, "longitude": 151}, "latitude"),
        ({"search_type": "prefix", "prefix": "Sydney"}, "prefix"),
        ({"search_type": "type"}, "type"),
    ],
)
def test_a_search_needs_what_goes_with_it(wanted: dict[str, Any], pointer: str) -> None:
    faults = check({**PROVISION, "service_number": {"country": "AU", **wanted}})
    assert [fault.pointer for fault in faults] == [f"/spec/service_number/{pointer}"]


@pytest.mark.parametrize(
    "address",
    [
        "",
        "a",
        "@example.com",
        "a@",
        "a@localhost",
        "a b@example.com",
        "a@@example.com",
        "a@example..com",
        ".a@example.com",
        "a.@example.com",
        "a@-x.example",
        "a@x-.example",
        "a@example.c0m.",
        "A <a@example.com>",
        "a@1.2.3.4",
        "a@example.com,b@example.com",
        "a" * 243 + "@example.com",
    ],
)
def test_who_is_told_by_mail_has_a_mail_address(address: str) -> None:
    (fault,) = check(changed("/spec/service/missed_call", {"emails": ["a@example.com", address]}))
    assert fault.pointer == "/spec/service/missed_call/emails/1"
    assert fault.detail


@pytest.mark.parametrize("number", ["", "me", "0401603859999999", "+61 401"])
def test_who_is_told_by_sms_has_a_phone_number_in_an_update_too(number: str) -> None:
    missed = {"sms": ["0401603859", number]}
    for kind, spec in (
        (Kind.PROVISION, changed("/spec/service/missed_call", missed)),
        (Kind.UPDATE, {"service": {"missed_call": missed}}),
    ):
        (fault,) = check(spec, kind)
        assert fault.pointer == "/spec/service/missed_call/sms/1"
        assert fault.detail


def test_an_szu_is_asked_for_in_australia_alone() -> None:
    (fault,) = check(changed("/spec/service_number/country", "NZ"))
    assert fault.pointer == "/spec/service_number/search_type"
    assert "Australia" in fault.detail


# SMSForward-URI: mobile numbers only.

THEIRS = {"smsforward_uri": "https://example.com/sms?mine=1"}


@pytest.mark.parametrize(
    "wanted",
    [
        {"search_type": "type", "type": "MOBILE"},
        {"search_type": "number", "number": "0480 000 001"},
        {"search_type": "number", "number": "61401603859", "type": "MOBILE"},
        {"search_type": "location", "location": "Sydney", "type": "MOBILE"},
        {"search_type": "prefix", "prefix": "0480"},
        {"search_type": "prefix", "prefix": "+61 48"},
        {"search_type": "prefix", "prefix": "6148"},
        {"country": "NZ", "search_type": "prefix", "prefix": "021"},
    ],
)
def test_messages_of_a_mobile_number_may_go_to_a_place_of_the_requesters(wanted: dict[str, Any]) -> None:
    assert check({**PROVISION, **THEIRS, "service_number": {"country": "AU", **wanted}}) == []


@pytest.mark.parametrize(
    "wanted",
    [
        {"search_type": "szu", "szu": "sydney"},
        {"search_type": "location", "location": "Sydney"},
        {"search_type": "type", "type": "FREECALL"},
        {"search_type": "number", "number": "61280740801"},
        {"search_type": "number", "number": "0480000001", "type": "GEO"},
        {"search_type": "number", "number": "0401 603 859"},  # the answer point: the closest to it, of any class
        {"search_type": "prefix", "prefix": "02"},
        {"search_type": "prefix", "prefix": "0"},
        {"search_type": "prefix", "prefix": "1300"},
        {"search_type": "prefix", "prefix": "0480 000 001 1"},
        {"country": "US", "search_type": "prefix", "prefix": "212"},  # where the plan does not tell
        {"country": "XX", "search_type": "prefix", "prefix": "4"},
    ],
)
def test_messages_of_any_other_number_are_refused_a_place_in_words(wanted: dict[str, Any]) -> None:
    (fault,) = check({**PROVISION, **THEIRS, "service_number": {"country": "AU", **wanted}})
    assert fault.pointer == "/spec/smsforward_uri"
    assert "mobile numbers only" in fault.detail


def test_a_number_that_cannot_be_read_is_the_one_fault_even_where_messages_have_a_place() -> None:
    spec = {**PROVISION, **THEIRS, "service_number": {"country": "AU", "search_type": "number", "number": "x"}}
    assert [fault.pointer for fault in check(spec)] == ["/spec/service_number/number"]


@pytest.mark.parametrize("uri", ["", "example.com", "https://", "https://a b/", "https://[::1", "mailto:a@example.com"])
def test_a_place_for_messages_is_a_web_address(uri: str) -> None:
    for kind, spec in ((Kind.UPDATE, {}), (Kind.PROVISION, PROVISION)):
        (fault,) = check({**spec, "smsforward_uri": uri}, kind)
        assert fault == Fault("/spec/smsforward_uri", "Must be an http or https URL")


def test_an_update_may_give_messages_a_place_for_which_number_it_is_shows_later() -> None:
    assert check(THEIRS, Kind.UPDATE) == []


def test_our_own_fields_are_refused_as_ours() -> None:
    (fault,) = check(changed("/spec/callback_uri", "https://example.com"))
    assert fault.detail == "callback_uri is ours: leave it out"


def test_all_faults_come_at_once() -> None:
    spec = changed("/spec/service/record_call", "yes") | {"nmae": "x"}
    assert {fault.pointer for fault in check(spec)} == {"/spec/service/record_call", "/spec/nmae"}


def test_a_name_with_a_slash_is_escaped_in_its_pointer() -> None:
    (fault,) = check({**PROVISION, "a/b~c": 1})
    assert fault.pointer == "/spec/a~1b~0c"


def test_an_update_keeps_its_number() -> None:
    for spec in ({"service_number": {"szu": "sydney"}}, {"extra": {"service_number": {"szu": "sydney"}}}):
        (fault,) = check(spec, Kind.UPDATE)
        assert "keeps its number" in fault.detail


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["name", "service_number", "service", "extra", "type", "szu", "country", "search_type", "number"]
)


@given(
    st.sampled_from(Kind), st.dictionaries(NAMES, st.dictionaries(NAMES, json_like, max_size=4) | json_like, max_size=4)
)
def test_no_spec_whatever_is_more_than_a_list_of_faults_about_the_spec(kind: Kind, spec: dict[str, Any]) -> None:
    assert all(fault.pointer.startswith("/spec") for fault in check(kind=kind, spec=spec))


@pytest.mark.parametrize("written", ["040160386", "61 4016 0385", "+61 28074 080", "0401 603 8599"])
def test_an_australian_number_with_a_digit_missing_or_too_many_is_refused(written: str) -> None:
    spec = {"service_number": {"country": "AU", "search_type": "szu", "szu": "sydney"}}
    (fault,) = check(spec | {"service": {"type": "transfer", "answer_point": written}})
    assert fault.pointer == "/spec/service/answer_point"
    assert "such an Australian number has 9" in fault.detail or "is not a phone number" in fault.detail


@pytest.mark.parametrize(
    "written", ["13 23 07", "61132307", "1300 878 664", "1800 000 000", "0280740801", "+61401603859"]
)
def test_australian_numbers_of_every_length_are_good(written: str) -> None:
    spec = {"service_number": {"country": "AU", "search_type": "szu", "szu": "sydney"}}
    assert check(spec | {"service": {"type": "transfer", "answer_point": written}}) == []
