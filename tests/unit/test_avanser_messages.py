"""Text messages that AVANSER forwards: whatever its parameters are called, nothing of them is lost."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.upstreams import DIALECTS
from worker.upstreams.base import InboundMessage, Incoming, Unreadable

AVANSER = DIALECTS["avanser"]

# As the Call-URI's parameters are called, and so the likeliest.
USUAL = {
    "smsid": "77",
    "bnum": "+61-0480000000",
    "ani": "+61-0405061663",
    "tzdate": "2017-06-11T16:49:17+10:00",
    "message": "Call me + bring tea",
    "custom_id": "dealer-17",
}
READ = InboundMessage(
    reference="77",
    number="+61480000000",
    sender="+61405061663",
    text="Call me + bring tea",
    sent_at=datetime(2017, 6, 11, 6, 49, 17, tzinfo=UTC),
    sent_at_raw="2017-06-11T16:49:17+10:00",
    parameters=USUAL,
)


def read(incoming: Incoming) -> InboundMessage:
    (message,) = AVANSER.read_messages(incoming)
    return message


def got(query: str) -> Incoming:
    return Incoming("GET", query, None, b"")


def posted(body: str, content_type: str | None = "application/json") -> Incoming:
    return Incoming("POST", "", content_type, body.encode())


@pytest.mark.parametrize(
    "incoming",
    [
        got(urlencode(USUAL)),
        got(urlencode(USUAL, quote_via=quote)),
        got(urlencode(USUAL).replace("%2B61", "+61").replace("17%2B10", "17+10")),
        posted(json.dumps(USUAL)),
        posted(json.dumps(USUAL), "application/x-www-form-urlencoded"),
        posted(json.dumps(USUAL), None),
        posted(urlencode(USUAL), "application/x-www-form-urlencoded"),
        posted(urlencode(USUAL), "application/x-www-form-urlencoded; charset=UTF-8"),
    ],
    ids=["get", "percent", "raw plus", "json", "json called a form", "json called nothing", "form", "form, charset"],
)
def test_a_message_is_read_the_same_whichever_way_it_comes(incoming: Incoming) -> None:
    assert read(incoming) == READ


def test_a_plus_in_the_text_is_a_space_and_one_in_a_number_or_a_time_is_none() -> None:
    message = read(got("message=a+b%2Bc&to=+61480000000&From=+61-0405061663&Time=2017-06-11T16:49:17+10:00"))
    assert (message.text, message.number, message.sender) == ("a b+c", "+61480000000", "+61405061663")
    assert message.sent_at == READ.sent_at
    assert message.parameters["From"] == "+61-0405061663"


@pytest.mark.parametrize(
    ("name", "known_as"),
    [
        *((name, "reference") for name in ("smsid", "id", "messageid", "message_id", "messageId", "uniqueid")),
        *((name, "number") for name in ("bnum", "to", "destination", "destination_number", "service_number")),
        *((name, "sender") for name in ("ani", "from", "source_number", "Sender", "originator")),
        *((name, "text") for name in ("message", "text", "body", "content", "sms")),
        *((name, "sent_at_raw") for name in ("tzdate", "date", "timestamp", "received_at")),
    ],
)
def test_each_plausible_name_is_taken_for_what_it_plausibly_is(name: str, known_as: str) -> None:
    value = "+61480000000" if known_as in ("number", "sender") else "2017"
    message = read(got(urlencode({name: value})))
    assert getattr(message, known_as) == value
    assert message.parameters == {name: value}


def test_the_first_name_that_holds_something_counts() -> None:
    assert read(got("id=8&smsid=7")).reference == "7"
    assert read(got("smsid=&id=8&message=&text=Hi")).reference == "8"
    assert read(got("smsid=&id=8&message=+&text=Hi")).text == "Hi"


def test_a_message_without_an_id_is_known_again_by_what_came() -> None:
    first, again, other = (read(got(query)).reference for query in ("message=a", "message=a", "message=b"))
    assert first == again != other
    assert first.startswith("sha256:")
    assert len(first) == 7 + 64
    assert read(posted('{"message": "a"}')).reference == read(posted('{"message": "a"}', None)).reference
    assert read(posted('{"message": "a"}')).reference != read(posted('{"message": "b"}')).reference


def test_an_id_too_long_to_keep_is_none() -> None:
    assert read(got(f"smsid={'9' * 255}")).reference == "9" * 255
    assert read(got(f"smsid={'9' * 256}")).reference.startswith("sha256:")


def test_every_parameter_is_kept_known_or_not_nested_or_repeated() -> None:
    assert read(got("a=1&a=2&b=&a=3&message=Hi")).parameters == {
        "a": ["1", "2", "3"],
        "b": "",
        "message": "Hi",
    }
    document: dict[str, Any] = {"message": "Hi", "media": [{"url": "https://x/1.png"}], "to": 61480000000, "id": None}
    message = read(posted(json.dumps(document)))
    assert message.parameters == document
    assert (message.number, message.text) == ("+61480000000", "Hi")
    assert message.reference.startswith("sha256:")


def test_a_sender_that_is_no_number_stays_as_sent_and_a_time_without_an_offset_is_not_guessed() -> None:
    message = read(got("ani=AVANSER&tzdate=2017-06-11T16:49:17"))
    assert (message.sender, message.sent_at, message.sent_at_raw) == ("AVANSER", None, "2017-06-11T16:49:17")


@pytest.mark.parametrize(
    "incoming",
    [
        got(""),
        got("message=%00"),
        got("message=%ff"),
        got("a=1&" * 1000),
        posted(""),
        posted("{"),
        posted("{}"),
        posted("[]"),
        posted("message=Hi"),
        posted('{"message": "\\ud800"}'),
        posted("", "application/x-www-form-urlencoded"),
        Incoming("POST", "", "application/x-www-form-urlencoded", b"\xff"),
    ],
)
def test_what_cannot_be_read_says_so(incoming: Incoming) -> None:
    with pytest.raises(Unreadable):
        read(incoming)


@given(st.binary(max_size=60), st.text(max_size=60), st.sampled_from(["GET", "POST"]), st.booleans())
def test_any_bytes_are_a_message_or_unreadable(body: bytes, query: str, method: str, is_form: bool) -> None:
    content_type = "application/x-www-form-urlencoded" if is_form else "application/json"
    with contextlib.suppress(Unreadable):
        AVANSER.read_messages(Incoming(method, query, content_type, body))
