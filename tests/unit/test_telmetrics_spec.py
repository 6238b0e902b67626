"""What may be asked of Telmetrics, and where a spec is wrong."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.request import Kind
from tests import telmetrics_page
from worker.fault import Fault
from worker.intake.cells import Cells
from worker.upstreams import DIALECTS

STATE = "must be a two-letter state or province code of the United States or Canada, such as GA or ON"

GUID = "104dad62-b2a0-4a9d-9c8c-056cf236f2b1"


def check(spec: dict[str, Any], kind: Kind = Kind.PROVISION) -> list[Fault]:
    return DIALECTS["telmetrics"].check(kind, spec)


def changed(pointer: str, value: Any, example: str = "number") -> dict[str, Any]:
    """The page's example with one thing set, or taken away by `...`."""
    spec = deepcopy(telmetrics_page.spec(example))
    *path, last = pointer.split("/")[2:]
    place = spec
    for step in path:
        place = place.setdefault(step, {})
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return spec


@pytest.mark.parametrize("example", telmetrics_page.EXAMPLES)
def test_the_pages_examples_are_good(example: str) -> None:
    assert check(telmetrics_page.spec(example)) == []


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("/spec/group_id", "11623282"),
        ("/spec/phone_number_request/match_type", "LocalToNumber"),
        ("/spec/phone_number_request/local_to_number", "+1 905 637 2046"),
        ("/spec/phone_number_request/number_match_filter", ...),
        ("/spec/phone_number_request/number_match_filter", "289812"),
        ("/spec/call_routes/route_type", "basic"),
        ("/spec/call_routes/route/termination_number", "(416) 555-1234"),
        ("/spec/call_routes/route/features", {"whisper": {"enabled": True, "notification_text": "From XYZ"}}),
        ("/spec/call_routes/route/features", {"whisper": {"enabled": True, "notification_file": GUID}}),
        ("/spec/call_routes/route/features", {"whisper": {"enabled": False}}),
        (
            "/spec/call_routes/route/features/call_record",
            {
                "enabled": True,
                "notification_text": "this call will be recorded",
                "require_confirmation": False,
                "record": True,
                "redaction_enabled": False,
                "transcription_settings": {"transcript_enabled": True, "call_scoring_enabled": True},
            },
        ),
        ("/spec/features", {"stop_call": {"enabled": True, "notification_text": "Try again later"}}),
        ("/spec/features/call_verify", {"enabled": True, "key_press": 1, "notification_text": "Press 1"}),
        ("/spec/sms_routes", {"route_type": "None"}),
        (
            "/spec/sms_routes",
            {"route_type": "Autoreply", "route": {"autoreply_enabled": True, "autoreply_message": "Call us"}},
        ),
        ("/spec/sms_routes", {"route_type": "ChatClient", "route": {"chat_client_id": GUID}}),
        ("/spec/sms_routes", {"route_type": "SmartNumber", "route": {"alternate_text_termination": "2125551111"}}),
        ("/spec/sms_routes", {"route_type": "webhook", "route": {"inbound_webhook_url": "https://us.example/sms"}}),
        ("/spec/sms_routes", {"route_type": "Webhook"}),
        (
            "/spec/replacement_configuration",
            {
                "numbers_to_replace": ["4045553333", "800444CARS"],
                "tracking_sources": [{"referrer_domain": "any", "url_triggers": ["gclid=%"], "track_organic": False}],
            },
        ),
        ("/spec/replacement_configuration", {"replace_all_numbers": True}),
        ("/spec/extra", {"billing_code": "vic"}),
        ("/spec/extra/call_routes/route/features", {"spam_filter": {"enabled": True}}),
        ("/spec/extra/phone_number_request", {"number_type": "x"}),
        ("/spec/extra/sms_routes", {"route_type": "Carousel", "route": {}}),
    ],
)
def test_everything_that_the_pages_document_may_be_asked_for(pointer: str, value: Any) -> None:
    assert check(changed(pointer, value)) == []


TEN = "must be a 10 digit number (US, Canada, or another country of +1)"
NPA = "must be a 3 digit NPA or a 6 digit NPA-NXX"
KINDS = "must be one of localtonumber, localtocity, tollfree"
SMS = "must be one of None, Autoreply, ChatClient, SmartNumber, Webhook"
UNKNOWN = "Unknown field; what only Telmetrics knows goes under /spec/extra"
ELSEWHERE = "Give it where it is documented"


@pytest.mark.parametrize(
    ("pointer", "value", "detail"),
    [
        ("/spec/group_id", ..., "Field required"),
        ("/spec/group_id", "vic", "must be the id of a group, a whole number"),
        ("/spec/group_id", True, "must be the id of a group, a whole number"),
        ("/spec/group_id", -1, "must be the id of a group, a whole number"),
        ("/spec/group_id", "1/2", "must be the id of a group, a whole number"),
        ("/spec/name", ..., "Field required"),
        ("/spec/name", " ", "must be text that is not empty"),
        ("/spec/name", 7, "must be text that is not empty"),
        ("/spec/phone_number_request", ..., "Field required"),
        ("/spec/phone_number_request", "tollfree", "must be an object"),
        ("/spec/phone_number_request/match_type", ..., KINDS),
        ("/spec/phone_number_request/match_type", "vanity", KINDS),
        ("/spec/phone_number_request/match_type", 7, KINDS),
        ("/spec/phone_number_request/local_to_number", ..., "Field required"),
        ("/spec/phone_number_request/local_to_number", "905637204", TEN),
        ("/spec/phone_number_request/local_to_number", "+61280740801", TEN),
        ("/spec/phone_number_request/local_to_number", 9056372046, TEN),
        ("/spec/phone_number_request/number_match_filter", "28", NPA),
        ("/spec/phone_number_request/number_match_filter", "2898", NPA),
        ("/spec/phone_number_request/number_match_filter", "CAR", NPA),
        ("/spec/phone_number_request/number_match_filter", 289, NPA),
        ("/spec/phone_number_request/city", "Toronto", "does not go with match_type localtonumber"),
        ("/spec/phone_number_request/iso_country", "GB", UNKNOWN),
        ("/spec/call_routes", ..., "Field required"),
        ("/spec/call_routes/route_type", ..., "Field required"),
        (
            "/spec/call_routes/route_type",
            "KeyPress",
            "must be Basic; another kind of call routing goes, whole, under /spec/extra/call_routes",
        ),
        ("/spec/call_routes/route", ..., "Field required"),
        ("/spec/call_routes/route/termination_number", ..., "Field required"),
        ("/spec/call_routes/route/termination_number", "+441634567700", TEN),
        ("/spec/call_routes/route/features", {"wisper": {}}, UNKNOWN),
        ("/spec/features/call_verify", {"enabled": True, "notification_text": "Press"}, "is required: a number"),
        ("/spec/features/stop_call/enabled", "yes", "valid boolean"),
        ("/spec/sms_routes", "None", "must be an object"),
        ("/spec/sms_routes/route_type", "Fax", SMS),
        ("/spec/sms_routes/route", {}, SMS),
        ("/spec/replacement_configuration", {"numbers_to_replace": ["1"]}, "must be 10 letters or digits"),
        (
            "/spec/replacement_configuration",
            {"numbers_to_replace": ["4045553333"], "replace_all_numbers": True},
            "cannot be used in combination",
        ),
        ("/spec/custom_id", "dealer-17", "custom_id belongs beside spec, at /custom_id"),
        ("/spec/nmae", "ABC", UNKNOWN),
        ("/spec/extra", "x", "valid dictionary"),
        ("/spec/extra/name", "ABC", ELSEWHERE),
        ("/spec/extra/group_id", 1, ELSEWHERE),
        ("/spec/extra/phone_number_request/city", "Toronto", ELSEWHERE),
        ("/spec/extra/call_routes", 1, "must be an object"),
        ("/spec/extra/call_routes/route_type", "KeyPress", ELSEWHERE),
        ("/spec/extra/call_routes/route/features/whisper/enabled", True, ELSEWHERE),
        ("/spec/extra/sms_routes/route_type", "Autoreply", ELSEWHERE),
        ("/spec/extra/replacement_configuration/tracking_sources", {"new": 1}, ELSEWHERE),
    ],
)
def test_what_is_wrong_is_named_by_its_pointer_and_the_vendors_rule(pointer: str, value: Any, detail: str) -> None:
    (fault,) = check(changed(pointer, value))
    inner = {
        "/spec/call_routes/route/features": "/wisper",
        "/spec/features/call_verify": "/key_press",
        "/spec/sms_routes/route": "_type",
    }
    if isinstance(value, dict) and "numbers_to_replace" in value and detail.startswith("must"):
        inner[pointer] = "/numbers_to_replace/0"
    assert fault.pointer == pointer + inner.get(pointer, "")
    assert detail in fault.detail


@pytest.mark.parametrize(
    ("example", "pointer", "value", "detail"),
    [
        ("city", "city", ..., "Field required"),
        ("city", "city", " ", "must be text that is not empty"),
        ("city", "state", ..., "Field required"),
        ("city", "state", "Georgia", STATE),
        ("city", "state", "g", STATE),
        ("city", "state", "g4", STATE),
        ("city", "state", "zz", STATE),
        ("city", "local_to_number", "4165551234", "does not go with match_type localtocity"),
        ("tollfree", "city", "atlanta", "does not go with match_type tollfree"),
        ("tollfree", "local_to_number", "4165551234", "does not go with match_type tollfree"),
    ],
)
def test_each_kind_of_match_has_its_own_fields(example: str, pointer: str, value: Any, detail: str) -> None:
    pointer = f"/spec/phone_number_request/{pointer}"
    assert check(changed(pointer, value, example)) == [Fault(pointer, detail)]


@pytest.mark.parametrize(
    "feature", ["features/stop_call", "features/call_verify", "call_routes/route/features/whisper"]
)
def test_what_is_to_be_heard_is_text_or_a_file(feature: str) -> None:
    said: dict[str, Any] = {"enabled": True} | ({"key_press": 1} if feature.endswith("verify") else {})
    (fault,) = check(changed(f"/spec/{feature}", said))
    assert fault == Fault(f"/spec/{feature}/notification_text", "is required where no notification_file is given")
    (fault,) = check(changed(f"/spec/{feature}", said | {"notification_file": "hello.wav"}))
    assert fault == Fault(f"/spec/{feature}/notification_file", "must be a GUID")


@pytest.mark.parametrize("key_press", [0, 10, "1", True, 1.5])
def test_a_key_to_press_is_one_of_nine(key_press: Any) -> None:
    said = {"enabled": True, "notification_text": "Press", "key_press": key_press}
    (fault,) = check(changed("/spec/features/call_verify", said))
    assert fault == Fault("/spec/features/call_verify/key_press", "must be a number between 1 and 9")


@pytest.mark.parametrize(
    ("routes", "pointer", "detail"),
    [
        ({"route_type": "None", "route": {}}, "route", "does not go with route_type None"),
        ({"route_type": "Autoreply"}, "route", "Field required"),
        (
            {"route_type": "autoreply", "route": {"autoreply_enabled": True}},
            "route/autoreply_message",
            "Field required",
        ),
        (
            {"route_type": "ChatClient", "route": {"chat_client_id": GUID, "autoreply_enabled": True}},
            "route/autoreply_enabled",
            "does not go with route_type ChatClient",
        ),
        (
            {"route_type": "SmartNumber", "route": {"autoreply_message": "x" * 156}},
            "route/autoreply_message",
            "must be text of 155 characters at most",
        ),
        (
            {"route_type": "Webhook", "route": {"inbound_webhook_url": "us.example"}},
            "route/inbound_webhook_url",
            "must be a URL that begins with http:// or https://",
        ),
    ],
)
def test_each_kind_of_sms_route_has_its_own_fields(routes: dict[str, Any], pointer: str, detail: str) -> None:
    assert check(changed("/spec/sms_routes", routes)) == [Fault(f"/spec/sms_routes/{pointer}", detail)]


def test_a_kind_of_routing_that_we_do_not_know_is_given_whole_under_extra() -> None:
    spec = changed("/spec/call_routes", ...)
    routes = {"route_type": "KeyPress", "route": {"termination_number": "4165551234", "keys": []}}
    assert check({**spec, "extra": {"call_routes": routes}}) == []
    wrongs: tuple[Any, ...] = ({"route_type": "basic"}, {"route": {}}, 7)
    for wrong in wrongs:
        pointers = {fault.pointer for fault in check({**spec, "extra": {"call_routes": wrong}})}
        assert "/spec/call_routes" in pointers
    both = telmetrics_page.spec("number") | {"extra": {"call_routes": routes}}
    assert {fault.pointer for fault in check(both)} == {
        "/spec/extra/call_routes/route_type",
        "/spec/extra/call_routes/route/termination_number",
    }


@pytest.mark.parametrize(
    "change",
    [
        {"name": "ABC"},
        {"call_routes": {"route": {"termination_number": "4165551234"}}},
        {"call_routes": {"route_type": "Basic", "route": {"features": {"whisper": {"enabled": False}}}}},
        {"sms_routes": {"route_type": "None"}},
        {"features": {"stop_call": {"enabled": False}}},
        {"replacement_configuration": {"replace_all_numbers": False}},
        {"extra": {"billing_code": "vic"}},
    ],
)
def test_an_update_names_what_is_to_change(change: dict[str, Any]) -> None:
    assert check(change, Kind.UPDATE) == []


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({}, ""),
        ({"name": None}, ""),
        ({"extra": {}}, ""),
        ({"call_routes": {"route": {}}}, ""),
        ({"group_id": 1}, "/group_id"),
        ({"phone_number_request": {"match_type": "tollfree"}}, "/phone_number_request"),
        ({"extra": {"phone_number_request": {"match_type": "tollfree"}}}, "/extra/phone_number_request"),
        ({"extra": {"group_id": 1}}, "/extra/group_id"),
        ({"call_routes": {"route": {"termination_number": "1"}}}, "/call_routes/route/termination_number"),
        ({"call_routes": {"route_type": "KeyPress"}}, "/call_routes/route_type"),
        ({"name": ""}, "/name"),
    ],
)
def test_an_update_that_changes_nothing_or_what_cannot_be_changed_is_refused(
    change: dict[str, Any], pointer: str
) -> None:
    (fault,) = check(change, Kind.UPDATE)
    assert fault.pointer == f"/spec{pointer}"
    assert fault.detail


def test_a_release_has_nothing_to_say() -> None:
    assert check({}, Kind.RELEASE) == []
    detail = "A release has nothing to say: leave it out"
    assert check({"name": "x", "extra": {}}, Kind.RELEASE) == [
        Fault("/spec/name", detail),
        Fault("/spec/extra", detail),
    ]


def test_the_cells_of_a_csv_are_read_as_what_the_vendor_wants_there() -> None:
    spec = telmetrics_page.spec("number") | {
        "group_id": "11623282",
        "features": {"call_verify": {"enabled": "yes", "key_press": "1", "notification_text": "1"}},
    }
    settled, faults = Cells().settle(DIALECTS["telmetrics"], Kind.PROVISION, spec)
    assert faults == []
    assert settled["group_id"] == "11623282"
    assert settled["features"]["call_verify"] == {"enabled": True, "key_press": 1, "notification_text": "1"}
    assert settled["phone_number_request"]["number_match_filter"] == "289"


def test_all_faults_come_at_once() -> None:
    spec = changed("/spec/phone_number_request/local_to_number", "1") | {"nmae": "x", "extra": {"name": "x"}}
    del spec["call_routes"]
    assert {fault.pointer for fault in check(spec)} == {
        "/spec/phone_number_request/local_to_number",
        "/spec/nmae",
        "/spec/call_routes",
        "/spec/extra/name",
    }


def test_a_name_with_a_slash_is_escaped_in_its_pointer() -> None:
    (fault,) = check({**telmetrics_page.spec("number"), "a/b~c": 1})
    assert fault.pointer == "/spec/a~1b~0c"


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    [
        "group_id",
        "name",
        "phone_number_request",
        "call_routes",
        "sms_routes",
        "route_type",
        "route",
        "match_type",
        "extra",
    ]
)
WORDS = st.sampled_from(["Basic", "tollfree", "LOCALTOCITY", "None", "webhook", "KeyPress"])


@given(
    st.sampled_from(Kind),
    st.dictionaries(NAMES, st.dictionaries(NAMES, json_like | WORDS, max_size=4) | json_like | WORDS, max_size=5),
)
def test_no_spec_whatever_is_more_than_a_list_of_faults_about_the_spec(kind: Kind, spec: dict[str, Any]) -> None:
    assert all(fault.pointer.startswith("/spec") for fault in check(kind=kind, spec=spec))
