"""What may be asked of MessageMedia, and where a spec is wrong."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.request import Kind
from tests import messagemedia_page
from worker.fault import Fault
from worker.upstreams import DIALECTS
from worker.upstreams.base import BadQuery
from worker.upstreams.messagemedia.spec import query_of

PROVISION: dict[str, Any] = {
    "search": {"country": "AU", "service_types": ["SMS"], "matching": "42"},
    "max_classification": "BRONZE",
    "label": "Representative-Fred",
    "metadata": {"State": "Vic", "Region": "SE"},
}


def check(spec: dict[str, Any], kind: Kind = Kind.PROVISION) -> list[Fault]:
    return DIALECTS["messagemedia"].check(kind, spec)


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


def test_the_contracts_provision_is_good_and_so_is_a_search_for_a_country_alone() -> None:
    assert check(PROVISION) == []
    assert check({"search": {"country": "nz"}}) == []


def test_the_guides_label_is_a_good_update_and_a_release_has_nothing_to_say() -> None:
    assert check(messagemedia_page.document("label_request.json"), Kind.UPDATE) == []
    assert check({"label": "x"}, Kind.UPDATE) == []
    assert check({"metadata": {}}, Kind.UPDATE) == []
    assert check({"extra": {"colour": "red"}}, Kind.UPDATE) == []
    assert check({}, Kind.RELEASE) == []
    assert [fault.pointer for fault in check({"label": "x"}, Kind.RELEASE)] == ["/spec/label"]


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("/spec/search/service_types", ["SMS", "MMS", "TTS"]),
        ("/spec/search/service_types", "SMS,MMS"),
        ("/spec/search/service_types", "SMS, TTS"),
        ("/spec/search/types", ["MOBILE", "TOLL_FREE"]),
        ("/spec/search/types", "LANDLINE"),
        ("/spec/search/page_size", 3),
        ("/spec/search/matching", ...),
        ("/spec/max_classification", "GOLD"),
        ("/spec/max_classification", ...),
        ("/spec/label", ...),
        ("/spec/label", None),
        ("/spec/metadata", ...),
        ("/spec/extra", {"colour": {"red": 1}}),
    ],
)
def test_all_that_the_search_and_the_assignment_take_may_be_asked_for(pointer: str, value: Any) -> None:
    assert check(changed(pointer, value)) == []


@pytest.mark.parametrize(
    ("pointer", "value", "said"),
    [
        ("/spec/search", ..., "required"),
        ("/spec/search", "AU", "object|dictionary"),
        ("/spec/search/country", ..., "required"),
        ("/spec/search/country", "AUS", "match"),
        ("/spec/search/country", 61, "string"),
        ("/spec/search/service_types", ["FAX"], "'SMS', 'MMS' or 'TTS'"),
        ("/spec/search/service_types", "SMS,FAX", "'SMS', 'MMS' or 'TTS'"),
        ("/spec/search/service_types", [], "at least 1"),
        ("/spec/search/service_types", 7, "list"),
        ("/spec/search/types", ["SHORT_CODE"], "MOBILE"),
        ("/spec/search/matching", "4*2", "digits"),
        ("/spec/search/matching", "", "digits"),
        ("/spec/search/matching", 42, "string"),
        ("/spec/search/matching", "1" * 16, "15"),
        ("/spec/search/page_size", 0, "greater"),
        ("/spec/search/page_size", 1001, "less"),
        ("/spec/search/page_size", "3", "integer"),
        ("/spec/search/page_size", True, "integer"),
        ("/spec/search/token", "x", "ours"),
        ("/spec/search/number", "61439742682", "Unknown"),
        ("/spec/country", "AU", "/spec/search/country"),
        ("/spec/max_classification", "PLATINUM", "'BRONZE', 'SILVER' or 'GOLD'"),
        ("/spec/max_classification", "bronze", "'BRONZE', 'SILVER' or 'GOLD'"),
        ("/spec/label", 7, "string"),
        ("/spec/metadata", "x", "dictionary"),
        ("/spec/metadata/State", 3, "strings, keys and values"),
        ("/spec/metadata/State", None, "strings, keys and values"),
        ("/spec/metadata/State", {"a": "b"}, "strings, keys and values"),
        ("/spec/metadata/trunkline_request", "x", "ours"),
        ("/spec/extra", "x", "dictionary"),
        ("/spec/extra/label", "x", "where it is documented"),
        ("/spec/extra/metadata", {}, "where it is documented"),
        ("/spec/custom_id", "dealer-17", "/custom_id"),
        ("/spec/colour", "red", "/spec/extra"),
    ],
)
def test_what_is_wrong_is_named_by_its_pointer_with_the_rule_in_words(pointer: str, value: Any, said: str) -> None:
    faults = check(changed(pointer, value))
    assert len(faults) == 1, faults
    assert faults[0].pointer in (pointer, f"{pointer}/0", f"{pointer}/1")
    assert any(part in faults[0].detail for part in said.split("|")), faults[0].detail


def test_an_item_of_a_list_is_pointed_at() -> None:
    (fault,) = check(changed("/spec/search/service_types", ["SMS", "FAX"]))
    assert fault.pointer == "/spec/search/service_types/1"


def test_all_faults_come_at_once() -> None:
    spec = changed("/spec/search/country", "AUS") | {"label": 1, "nmae": "x"}
    assert {fault.pointer for fault in check(spec)} == {"/spec/search/country", "/spec/label", "/spec/nmae"}


@pytest.mark.parametrize("spec", [{}, {"label": None}, {"extra": {}}])
def test_an_update_that_changes_nothing_is_a_fault(spec: dict[str, Any]) -> None:
    (fault,) = check(spec, Kind.UPDATE)
    assert fault.pointer == "/spec"
    assert "what is to change" in fault.detail


def test_an_update_keeps_its_number_and_leaves_our_key_alone() -> None:
    (fault,) = check({"label": "x", "search": {"country": "AU"}}, Kind.UPDATE)
    assert (fault.pointer, "keeps its number" in fault.detail) == ("/spec/search", True)
    (fault,) = check({"metadata": {"trunkline_request": "x"}}, Kind.UPDATE)
    assert fault.pointer == "/spec/metadata/trunkline_request"


def test_a_name_with_a_slash_is_escaped_in_its_pointer() -> None:
    (fault,) = check({**PROVISION, "a/b~c": 1})
    assert fault.pointer == "/spec/a~1b~0c"


def test_a_stock_query_is_read_by_the_searchs_own_names() -> None:
    query = query_of({"country": "au", "service_types": "SMS,MMS", "matching": "42", "page_size": "3"})
    assert query.params() == {"country": "AU", "service_types": "SMS,MMS", "matching": "42", "page_size": "3"}
    assert query_of({}).params() == {}


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"szu": "sydney"}, "szu.*country, service_types, matching"),
        ({"token": "x"}, "token"),
        ({"country": "AUS"}, "country"),
        ({"matching": "Sydney"}, "matching.*digits"),
        ({"service_types": "FAX"}, "service_types"),
        ({"page_size": "many"}, "page_size"),
        ({"page_size": "0"}, "page_size"),
        ({"page_size": "9" * 5000}, "page_size"),
    ],
)
def test_what_the_stock_cannot_be_asked_is_said(query: dict[str, str], said: str) -> None:
    with pytest.raises(BadQuery, match=said):
        query_of(query)


def test_an_order_waits_for_what_its_search_asks_for() -> None:
    spec = changed("/spec/search/service_types", ["SMS", "MMS"])
    query = DIALECTS["messagemedia"].stock_query(spec)
    assert query == {"country": "AU", "service_types": "SMS,MMS", "matching": "42"}
    assert query_of(query).params() == query


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["search", "country", "service_types", "matching", "max_classification", "label", "metadata", "extra", "types"]
)


@settings(deadline=None)  # asked is whether, not how fast a busy machine does it
@given(
    st.sampled_from(Kind), st.dictionaries(NAMES, st.dictionaries(NAMES, json_like, max_size=4) | json_like, max_size=4)
)
def test_no_spec_whatever_is_more_than_a_list_of_faults_about_the_spec(kind: Kind, spec: dict[str, Any]) -> None:
    assert all(fault.pointer.startswith("/spec") for fault in check(spec, kind))
