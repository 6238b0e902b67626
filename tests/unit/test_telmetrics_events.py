"""What Telmetrics' webhooks say of calls and of text messages."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.upstreams import DIALECTS
from worker.upstreams.base import FinishedCall, InboundMessage, Incoming, Unreadable

TELMETRICS = DIALECTS["telmetrics"]

# The vendor's page "Call Webhooks" shows these fields and breaks off after EndTime; the rest is inferred.
CALL = {
    "Action": "CallDetails.CallPreprocessed",
    "OrganizationId": 4062,
    "Incomplete": True,
    "TelmetricsId": 2079571437,
    "TelmetricsStudyID": 8470718,
    "CalledNumber": "8669592359",
    "TerminationNumber": "9052198236",
    "StartTime": "2019-11-15T09:09:54",
    "AnswerTime": "2019-11-15T09:09:56",
    "EndTime": "2019-11-15T09:10:03",
}
INFERRED = {"CallerNumber": "9055802958", "AnswerStatus": "Answered", "CallDuration": 7}
PROPERTIES = {
    "CollectionType": "CallDetails",
    "UTC": "2019-11-15T14:10:03.252",
    "Organization": "4062",
    "RequestId": "e9b2d7c1-5876-4f83-a887-52dc7eb55566",
}
DELIVERY = {"Id": "3071d2dae4b24d619afad2eddcd05e7b", "Attempt": 1, "Properties": PROPERTIES}

# Its page "Sales Rescue Webhooks".
RESCUE = {
    "Action": "SalesRescueNew.NewRescueCall",
    "TelmetricsId": 121212121212,
    "CalledNumber": "5555555555",
    "TerminationNumber": "7777777777",
    "StartTime": "4/30/2021 1:31:38 PM",
    "EndTime": "4/30/2021 1:36:38 PM",
    "MonitorStartTime": "4/30/2021 5:31:38 PM",
    "AnswerStatus": "Answered",
}

# Its page "SMS Webhooks".
SMS = {
    "Action": "SmsDetails.SmsConversationStart",
    "ConversationId": "0acb020f-7b61-48dd-9905-3d2509fdbdc5",
    "MessageDate": "2019-09-19T17:16:24.147",
    "TelmetricsStudyID": 9462657,
    "TexterNumber": "9055802958",
    "TextedNumber": "2242455621",
    "ConversationType": "ChatClient",
}


def posted(document: Any, method: str = "POST") -> Incoming:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Incoming(method, "", "application/json", body)


def webhook(*notifications: Any, **changes: Any) -> Incoming:
    return posted({**DELIVERY, "Notifications": list(notifications), **changes})


def call(**changes: Any) -> FinishedCall:
    (said,) = TELMETRICS.read_calls(webhook(CALL | INFERRED | changes))
    return said


def test_the_pages_call_is_read_fully() -> None:
    assert TELMETRICS.read_calls(webhook(CALL | INFERRED)) == [
        FinishedCall(
            reference="2079571437",
            number="+18669592359",
            caller="+19055802958",
            answer_point="+19052198236",
            status="Answered",
            duration=7,
            started_at=datetime(2019, 11, 15, 14, 9, 54, tzinfo=UTC),
            started_at_raw="2019-11-15T09:09:54",
            parameters={**CALL, **INFERRED, "Delivery": DELIVERY},
        )
    ]


def test_what_the_page_shows_is_enough() -> None:
    (said,) = TELMETRICS.read_calls(webhook(CALL))
    assert (said.reference, said.number, said.caller) == ("2079571437", "+18669592359", None)
    assert (said.status, said.duration) == ("CallDetails.CallPreprocessed", None)


def test_the_pages_sales_rescue_is_the_call_that_it_is_about() -> None:
    (said,) = TELMETRICS.read_calls(webhook(RESCUE))
    assert (said.reference, said.number, said.answer_point) == ("121212121212", "+15555555555", "+17777777777")
    assert said.started_at == datetime(2021, 4, 30, 17, 31, 38, tzinfo=UTC)
    assert said.started_at_raw == "4/30/2021 1:31:38 PM"


def test_each_notification_of_a_finished_call_is_a_call() -> None:
    many = [CALL | {"TelmetricsId": number} for number in range(1, 51)]
    assert [said.reference for said in TELMETRICS.read_calls(webhook(*many))] == [str(n) for n in range(1, 51)]
    assert TELMETRICS.read_calls(webhook()) == []


def test_a_second_delivery_and_a_later_word_on_the_call_are_the_same_call() -> None:
    again = webhook(CALL | INFERRED, Attempt=2, Id="another")
    later = webhook(CALL | {"Action": "CallDetails.CallProcessed", "Incomplete": False, "TelmetricsId": "2079571437"})
    references = {TELMETRICS.read_calls(one)[0].reference for one in (again, later)}
    assert references == {"2079571437"}


@pytest.mark.parametrize("action", ["CallDetails.CallStart", "CallDetails.CallStarted", "Surprise", "", None])
def test_a_call_that_only_begins_is_no_call_yet(action: str | None) -> None:
    begins = {name: value for name, value in CALL.items() if name not in ("AnswerTime", "EndTime")}
    finished = CALL | {"TelmetricsId": 1}
    assert TELMETRICS.read_calls(webhook(begins | {"Action": action})) == []
    (said,) = TELMETRICS.read_calls(webhook(begins | {"Action": action}, finished))
    assert said.reference == "1"


@pytest.mark.parametrize("action", ["CallDetails.CallPreprocessed", "calldetails.callprocessed", "CallProcessed"])
def test_a_finished_call_need_not_name_its_end(action: str) -> None:
    assert call(Action=action, EndTime=None).reference == "2079571437"


@pytest.mark.parametrize(
    ("changes", "delivery", "utc"),
    [
        ({"StartTime": "2019-11-15T09:09:54-05:00"}, {}, datetime(2019, 11, 15, 14, 9, 54, tzinfo=UTC)),
        ({"StartTime": "2019-11-15T14:09:54Z"}, {}, datetime(2019, 11, 15, 14, 9, 54, tzinfo=UTC)),
        # Newfoundland; and a webhook that came four minutes after the end.
        (
            {"StartTime": "2019-11-15T10:36:03", "EndTime": "2019-11-15T10:36:05"},
            {},
            datetime(2019, 11, 15, 14, 6, 3, tzinfo=UTC),
        ),
        # Twenty minutes after it: no way to tell that from another time zone but that it fits none.
        ({"EndTime": "2019-11-15T09:00:03"}, {}, None),
        ({"EndTime": None}, {}, None),
        ({"EndTime": "2019-11-15T14:10:03Z"}, {}, None),
        ({"EndTime": "2019-11-14T09:10:03"}, {}, None),
        ({"Action": "CallDetails.CallProcessed"}, {}, None),
        ({}, {"Attempt": 2}, None),
        ({}, {"Attempt": None}, None),
        ({}, {"Properties": None}, None),
        ({}, {"Properties": {"UTC": "soon"}}, None),
        # Beside StartTime in UTC nothing else is needed.
        (
            {"MonitorStartTime": "2019-11-15T14:09:54", "Action": "CallDetails.CallProcessed"},
            {"Attempt": 3},
            datetime(2019, 11, 15, 14, 9, 54, tzinfo=UTC),
        ),
        ({"MonitorStartTime": "2019-11-15T14:09:57", "EndTime": None}, {}, None),
        ({"StartTime": "yesterday"}, {}, None),
        ({"StartTime": None}, {}, None),
        ({"StartTime": 7}, {}, None),
        ({"StartTime": "0001-01-01T00:00:00+10:00"}, {}, None),
    ],
)
def test_the_time_of_a_call_is_kept_as_sent_and_read_where_something_tells_its_zone(
    changes: dict[str, Any], delivery: dict[str, Any], utc: datetime | None
) -> None:
    (said,) = TELMETRICS.read_calls(webhook(CALL | changes, **delivery))
    written = (CALL | changes)["StartTime"]
    assert said.started_at_raw == (None if written is None else str(written))
    assert said.started_at == utc


@pytest.mark.parametrize(
    ("caller", "read"),
    [("9055802958", "+19055802958"), ("anonymous", "anonymous"), ("", None), (None, None), ("x" * 99, "x" * 32)],
)
def test_a_caller_that_is_no_number_stays_as_sent(caller: Any, read: str | None) -> None:
    assert call(CallerNumber=caller).caller == read


@pytest.mark.parametrize(
    ("written", "seconds"),
    [(7, 7), ("7", 7), (0, 0), (None, None), (True, None), (-1, None), (7.5, None), ("9" * 12, 2**31 - 1)],
)
def test_a_duration_is_whole_seconds_or_unknown(written: Any, seconds: int | None) -> None:
    assert call(CallDuration=written).duration == seconds


@pytest.mark.parametrize("reference", [None, "", " ", True, {}, 1.5, "9" * 256])
def test_a_call_without_an_id_is_unreadable_so_that_it_stays_in_sight(reference: Any) -> None:
    with pytest.raises(Unreadable, match="TelmetricsId"):
        call(TelmetricsId=reference)


def test_every_parameter_of_a_call_is_kept_known_or_not() -> None:
    tag = {"session_tag": {"tag_id": 71718183, "tags": [1, None]}}
    parameters = call(Surprise=tag).parameters
    assert parameters["Surprise"] == tag
    assert parameters["Delivery"] == DELIVERY


def test_the_pages_text_message_is_read_fully() -> None:
    assert TELMETRICS.read_messages(webhook(SMS | {"Message": "Hello"})) == [
        InboundMessage(
            reference="0acb020f-7b61-48dd-9905-3d2509fdbdc5",
            number="+12242455621",
            sender="+19055802958",
            text="Hello",
            sent_at=datetime(2019, 9, 19, 17, 16, 24, 147000, tzinfo=UTC),
            sent_at_raw="2019-09-19T17:16:24.147",
            parameters={**SMS, "Message": "Hello", "Delivery": DELIVERY},
        )
    ]
    (said,) = TELMETRICS.read_messages(webhook(SMS))
    assert said.text is None


def test_a_message_is_known_by_its_id_and_else_by_what_it_says() -> None:
    def reference(**changes: Any) -> str:
        (said,) = TELMETRICS.read_messages(webhook(SMS | changes))
        return said.reference

    assert reference(MessageId=17) == "17"
    later = {"Action": "SmsDetails.SmsReceived", "Message": "Hello"}
    assert reference(**later) == reference(**later)
    backwards = dict(reversed((SMS | later).items()))
    assert TELMETRICS.read_messages(webhook(backwards))[0].reference == reference(**later)
    assert len({reference(**later), reference(**later | {"Message": "Bye"}), reference()}) == 3


def test_messages_and_calls_do_not_take_each_others_notifications() -> None:
    both = webhook(CALL, SMS)
    assert [said.reference for said in TELMETRICS.read_calls(both)] == ["2079571437"]
    assert [said.reference for said in TELMETRICS.read_messages(both)] == [SMS["ConversationId"]]


@pytest.mark.parametrize("case", [str, str.lower, str.upper])
def test_what_comes_straight_from_a_number_is_kept_whole_and_read_where_its_names_are_likely(case: Any) -> None:
    fields = {
        "From": "9055802958",
        "To": "2242455621",
        "Text": "Hello",
        "MessageId": "m1",
        "Date": "2019-09-19T17:16:24Z",
    }
    sent = {case(name): value for name, value in fields.items()}
    (said,) = TELMETRICS.read_messages(posted(sent))
    assert (said.reference, said.number, said.sender, said.text) == ("m1", "+12242455621", "+19055802958", "Hello")
    assert said.sent_at == datetime(2019, 9, 19, 17, 16, 24, tzinfo=UTC)
    assert said.parameters == sent

    (said,) = TELMETRICS.read_messages(posted({"so": "new"}))
    assert (said.number, said.sender, said.text, said.parameters) == (None, None, None, {"so": "new"})
    assert len(said.reference) == 64


@pytest.mark.parametrize(
    "incoming",
    [
        posted(b""),
        posted(b"{"),
        posted([]),
        posted(None),
        posted({"Notifications": None}),
        posted({"Notifications": {}}),
        posted({"Notifications": [1]}),
        posted({"Notifications": [{"Action": "\0"}]}),
        webhook(CALL | {"TelmetricsId": None}, CALL),
        posted({**DELIVERY, "Notifications": [CALL]}, "GET"),
    ],
)
def test_what_cannot_be_read_says_so(incoming: Incoming) -> None:
    with pytest.raises(Unreadable):
        TELMETRICS.read_calls(incoming)


def test_telmetrics_sends_no_completions() -> None:
    with pytest.raises(Unreadable, match="telmetrics"):
        TELMETRICS.read_completion(webhook(CALL))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from([*CALL.values()]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=8), inner, max_size=2),
    max_leaves=4,
)
fields = st.dictionaries(st.sampled_from([*CALL, *INFERRED, *SMS, "MonitorStartTime", "MessageId"]), values)


@given(st.binary(max_size=60) | st.lists(fields, max_size=3), values, values)
def test_anything_is_events_or_unreadable(body: Any, attempt: Any, properties: Any) -> None:
    incoming = posted(body) if isinstance(body, bytes) else webhook(*body, Attempt=attempt, Properties=properties)
    for read in (TELMETRICS.read_calls, TELMETRICS.read_messages):
        with contextlib.suppress(Unreadable):
            for said in read(incoming):
                assert 0 < len(said.reference) <= 255
                assert said.number is None or said.number.startswith("+")
