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
        {"search_type": "number", "number": "0280740801", "type": "GEO"},
        {"search_type": "szu", "szu": "sydney", "type": "GEO"},
        {"search_type": "location", "location": "NSW: Sydney"},
        {"search_type": "coordinates", "latitude": -33.87, "longitude": 151},
        {"search_type": "prefix", "prefix": "6128"},
        {"search_type": "type", "type": "MOBILE"},
    ],
    ids=lambda wanted: wanted["search_type"],
)
def test_every_search_type_of_the_page_may_be_asked_for(wanted: dict[str, Any]) -> None:
    assert check({**PROVISION, "service_number": {"country": "AU", **wanted}}) == []


@pytest.mark.parametrize(
    "service",
    [
        {"type": "voicemail", "voicemail_greeting": "Hello"},
        {"type": "prompt", "call_greeting": "Hello"},
        {"type": "transfer", "answer_point": "0401 603 859", "answer_point_name": "answerpoint #1"},
        {
            "type": "transfer",
            "answer_point": "132307",
            "missed_call": {"emails": ["a@example.com"], "sms": ["61401603859"]},
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
        ("/spec/name", 7),
        ("/spec/nmae", "x"),
        ("/spec/call_uri", "https://example.com"),
        ("/spec/callback_uri", "https://example.com"),
        ("/spec/smsforward_uri", "https://example.com"),
        ("/spec/custom_id", "dealer-17"),
        ("/spec/extra", "x"),
        ("/spec/extra/call_uri", "https://example.com"),
        ("/spec/extra/name", "service #2"),
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
