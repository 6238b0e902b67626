"""What AVANSER sends of its own accord, contradictions of its page included."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import avanser_page
from worker.upstreams import DIALECTS
from worker.upstreams.base import Answer, Completed, FinishedCall, Incoming, Progress, Rejected, Unreadable

AVANSER = DIALECTS["avanser"]
EXAMPLES = {"number": "+61280740801", "szu": "+61280740805", "update": "+61280740801"}


def posted(document: Any) -> Incoming:
    return Incoming(
        "POST", "", "application/json", document if isinstance(document, bytes) else json.dumps(document).encode()
    )


def got(query: str) -> Incoming:
    return Incoming("GET", query, None, b"")


def raw(fields: dict[str, str]) -> str:
    """A query with every plus as it is, as the page shows it."""
    return urlencode(fields, quote_via=quote, safe="+:")


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_pages_callbacks_complete_byte_for_byte(example: str) -> None:
    text = avanser_page.text(f"{example}_callback.json").encode()
    completed = Completed(EXAMPLES[example], detail="Request completed successfully")
    assert AVANSER.read_completion(posted(text)) == completed


@pytest.mark.parametrize("example", EXAMPLES)
@pytest.mark.parametrize("write", [urlencode, raw])
def test_contradiction_1_a_callback_by_get_says_the_same_as_by_post(example: str, write: Any) -> None:
    fields = avanser_page.document(f"{example}_callback.json")
    assert AVANSER.read_completion(got(write(fields))) == AVANSER.read_completion(posted(fields))


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_callback_in_a_form_or_in_json_called_one_says_the_same(example: str) -> None:
    fields = avanser_page.document(f"{example}_callback.json")
    form = "application/x-www-form-urlencoded"
    for body in (raw(fields), urlencode(fields), json.dumps(fields)):
        assert AVANSER.read_completion(Incoming("POST", "", form, body.encode())) == AVANSER.read_completion(
            posted(fields)
        )


def test_contradiction_2_the_ids_of_a_callback_are_never_taken_for_the_orders() -> None:
    acknowledged = avanser_page.document("number_acknowledgement.json")["response"]["request_id"]
    callback = avanser_page.document("number_callback.json")
    assert callback["request_id"] != acknowledged
    said = AVANSER.read_completion(posted(callback))
    assert isinstance(said, Completed)
    assert said.reference is None
    foreign = callback | {"request_id": "f" * 40, "custom_id": "somebody else's", "custom_group": None}
    assert AVANSER.read_completion(posted(foreign)) == said


def test_contradiction_3_the_updates_callback_completes_without_ids_and_with_another_answer_point() -> None:
    callback = avanser_page.document("update_callback.json")
    sent = avanser_page.document("update_request.json")["service"]["answer_point"]
    assert (callback["custom_id"], callback["custom_group"]) == ("", "")
    assert callback["answer_point"] != sent
    assert isinstance(AVANSER.read_completion(posted(callback)), Completed)


@pytest.mark.parametrize("written", ["61280740801", "0280740801", "+61-0280740801", " 61-0280740801", 61280740801])
def test_contradiction_4_a_number_in_any_of_avansers_forms_is_the_same_number(written: str | int) -> None:
    fields = avanser_page.document("number_callback.json") | {"service_number": written}
    answers = {AVANSER.read_completion(posted(fields)), AVANSER.read_completion(got(urlencode(fields)))}
    answers |= {AVANSER.read_completion(got(raw({name: str(value) for name, value in fields.items()})))}
    assert answers == {Completed("+61280740801", detail="Request completed successfully")}


def call(**changes: str) -> FinishedCall:
    return AVANSER.read_calls(got(urlencode(avanser_page.call_parameters() | changes)))[0]


@pytest.mark.parametrize("write", [urlencode, raw])
def test_contradictions_4_and_5_the_pages_call_is_read_fully_with_a_plus_escaped_or_not(write: Any) -> None:
    parameters = avanser_page.call_parameters()
    assert AVANSER.read_calls(got(write(parameters)))[0] == FinishedCall(
        reference="36012012",
        number="+61280740801",
        caller="+61405061663",
        answer_point="+61401603859",
        status="avanser_answered_call",
        duration=15,
        started_at=datetime(2017, 6, 11, 6, 49, 17, tzinfo=UTC),
        started_at_raw="2017-06-11T16:49:17+10:00",
        parameters=parameters,
    )


@pytest.mark.parametrize(
    ("written", "utc"),
    [
        ("2017-06-11T16:49:17+10:00", datetime(2017, 6, 11, 6, 49, 17, tzinfo=UTC)),
        ("2017-06-11T16:49:17 10:00", datetime(2017, 6, 11, 6, 49, 17, tzinfo=UTC)),
        ("2017-06-11 16:49:17 1000", datetime(2017, 6, 11, 6, 49, 17, tzinfo=UTC)),
        ("2017-06-11T16:49:17-03:30", datetime(2017, 6, 11, 20, 19, 17, tzinfo=UTC)),
        ("2017-06-11T16:49:17Z", datetime(2017, 6, 11, 16, 49, 17, tzinfo=UTC)),
        ("2017-06-11T16:49:17", None),
        ("0001-01-01T00:00:00+10:00", None),
        ("yesterday", None),
    ],
)
def test_contradiction_5_a_time_is_kept_as_sent_and_read_where_it_names_its_offset(
    written: str, utc: datetime | None
) -> None:
    event = AVANSER.read_calls(posted(avanser_page.call_parameters() | {"tzdate": written}))[0]
    assert (event.started_at_raw, event.started_at) == (written, utc)


def test_a_plus_elsewhere_in_a_query_is_a_space_as_in_any_form() -> None:
    assert AVANSER.read_calls(got("callid=1&adname=service+%231"))[0].parameters["adname"] == "service #1"


@pytest.mark.parametrize(
    ("ani", "caller"), [("anonymous", "anonymous"), ("", None), ("x" * 99, "x" * 32), ("0405061663", "+61405061663")]
)
def test_a_caller_that_is_no_number_stays_as_sent(ani: str, caller: str | None) -> None:
    assert call(ani=ani).caller == caller


@pytest.mark.parametrize(
    ("written", "seconds"), [("15", 15), ("0", 0), ("", None), ("-1", None), ("long", None), ("9" * 12, 2**31 - 1)]
)
def test_a_duration_is_whole_seconds_or_unknown(written: str, seconds: int | None) -> None:
    assert call(duration=written).duration == seconds


def test_a_call_is_known_by_callid_else_by_uniqueid_and_one_without_is_unreadable() -> None:
    assert call(callid="").reference == "ECS1-1497163757.20486"
    with pytest.raises(Unreadable, match="callid"):
        call(callid="", uniqueid=" ")
    with pytest.raises(Unreadable, match="callid"):
        call(callid="9" * 256)


def test_every_parameter_of_a_call_is_kept_known_or_not() -> None:
    assert call(surprise="1").parameters["surprise"] == "1"


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        ("Completed", Completed("+61280740801", detail="m")),
        ("failed", Rejected(detail="m")),
        ("queued", Progress("queued: m")),
        ("cancelled", Progress("cancelled: m")),
    ],
)
def test_only_completed_and_failed_are_ends(status: str, answer: Answer) -> None:
    fields = {"service_number": "61280740801", "message": "m", "status": status}
    assert AVANSER.read_completion(posted(fields)) == answer


@pytest.mark.parametrize(
    "incoming",
    [
        posted(b""),
        posted(b"{"),
        posted(b"[]"),
        posted(b"null"),
        posted(b"\xff"),
        posted(b"[" * 100_000),
        posted({}),
        posted({"status": ""}),
        posted({"status": None}),
        posted({"status": {"is": "completed"}}),
        posted({"status": "completed"}),
        posted({"status": "completed", "service_number": "soon"}),
        posted({"status": "failed", "message": "\0"}),
        posted(b'{"status": "failed", "status": "completed", "service_number": "61280740801"}'),
        posted(b'{"status": "failed", "message": "\\ud800"}'),
        got(""),
        got("status=failed&message=%00"),
        got("status=failed&message=%ff"),
        got("status=failed&" + "a=1&" * 1000),
    ],
)
def test_what_cannot_be_read_says_so_and_ends_nothing(incoming: Incoming) -> None:
    with pytest.raises(Unreadable):
        AVANSER.read_completion(incoming)


@given(st.binary(max_size=60), st.text(max_size=60), st.sampled_from(["GET", "POST"]))
def test_any_bytes_are_an_answer_or_unreadable(body: bytes, query: str, method: str) -> None:
    for read in (AVANSER.read_completion, AVANSER.read_calls):
        with contextlib.suppress(Unreadable):
            read(Incoming(method, query, None, body))
