"""Text messages to our numbers, as MessageMedia's webhooks post them."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.upstreams import DIALECTS
from worker.upstreams.base import InboundMessage, Incoming, Unreadable

# The fields of the payload in MessageMedia's webhook reference.
REPLY: dict[str, Any] = {
    "account_id": "Dealers7000",
    "reply_id": "a175e797-2b54-468b-9850-41a3eab32f74",
    "destination_number": "+61438851616",
    "source_number": "+61491570156",
    "date_received": "2016-12-07T08:44:00.850Z",
    "message_id": "877c19ef-fa2e-4cec-827a-e1df9b5509f7",
    "content": "Hello Fred",
    "metadata": {"State": "Vic"},
}


def read(document: Any) -> InboundMessage:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    (message,) = DIALECTS["messagemedia"].read_messages(Incoming("POST", "", "application/json", body))
    return message


def test_a_reply_is_read_and_all_that_came_is_kept() -> None:
    assert read(REPLY) == InboundMessage(
        reference="a175e797-2b54-468b-9850-41a3eab32f74",
        number="+61438851616",
        sender="+61491570156",
        text="Hello Fred",
        sent_at=datetime(2016, 12, 7, 8, 44, 0, 850_000, tzinfo=UTC),
        sent_at_raw="2016-12-07T08:44:00.850Z",
        parameters=REPLY,
    )


@pytest.mark.parametrize("written", ["+61438851616", "61438851616", 61438851616])
def test_a_number_in_any_of_messagemedias_spellings_is_the_same_number(written: str | int) -> None:
    message = read(REPLY | {"destination_number": written, "source_number": written})
    assert (message.number, message.sender) == ("+61438851616", "+61438851616")


def test_a_time_is_kept_as_written_and_in_utc() -> None:
    message = read(REPLY | {"date_received": "2016-12-07T19:44:00+11:00"})
    assert message.sent_at == datetime(2016, 12, 7, 8, 44, tzinfo=UTC)
    assert message.sent_at_raw == "2016-12-07T19:44:00+11:00"
    for unclear in ("2016-12-07T08:44:00", "yesterday", "0001-01-01T00:00:00+23:00"):
        message = read(REPLY | {"date_received": unclear})
        assert (message.sent_at, message.sent_at_raw) == (None, unclear)


def test_an_mms_has_attachments_and_no_text() -> None:
    picture = [{"content_type": "image/png", "content": "dGVzdA==", "original_name": "file.png"}]
    fields = {name: value for name, value in REPLY.items() if name != "content"} | {"attachments": picture}
    message = read(fields)
    assert message.text is None
    assert message.parameters["attachments"] == picture


def test_a_sender_may_be_a_name_and_a_field_may_be_missing() -> None:
    message = read({"source_number": "PIZZA", "content": "Hot", "destination_number": "12345"})
    assert (message.sender, message.number, message.sent_at) == ("PIZZA", None, None)


@pytest.mark.parametrize("reply_id", [None, "", "x" * 256, 7])
def test_without_an_id_the_reference_is_a_digest_of_what_came(reply_id: Any) -> None:
    one, same, other = (read(REPLY | {"reply_id": reply_id, "content": text}) for text in ("a", "a", "b"))
    assert one.reference == same.reference != other.reference
    assert len(one.reference) == 64


@pytest.mark.parametrize(
    "body", [b"", b"<reply/>", b"[]", b"7", b'{"id": "x", "status": "delivered"}', b'{"content": "\\u0000"}']
)
def test_what_is_no_message_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        read(body)


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)  # asked is whether, not how fast a busy machine does it
@given(st.dictionaries(st.sampled_from(list(REPLY)), json_like) | json_like)
def test_whatever_comes_is_read_or_unreadable(document: Any) -> None:
    with contextlib.suppress(Unreadable):
        message = read(document)
        assert 0 < len(message.reference) <= 255
        assert message.sender is None or len(message.sender) <= 32
