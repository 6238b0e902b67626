"""What Telmetrics sends: the webhooks that a customer sets up in its portal, field by field as on its page.

The page's examples name their times without a zone: those of a call are local to the customer (five hours behind the
`UTC` beside them), and so are they here.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from itertools import count
from typing import Any
from uuid import uuid4

ORGANIZATION = "4062"  # the page's

_EASTERN = timezone(timedelta(hours=-5))  # all year round

Webhook = Callable[[int], dict[str, Any]]  # its body, given which attempt it is


class Events:
    """Makes notifications; ids go on from the page's."""

    def __init__(self) -> None:
        self._ids = count(2079571437)

    def call(self, number: Mapping[str, Any], details: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """A call of ten seconds that has just ended. `number` is what the API shows; `details` overrides any field."""
        usual = {
            "Action": "CallDetails.CallPreprocessed",
            "OrganizationId": int(ORGANIZATION),
            "Incomplete": True,
            "TelmetricsId": next(self._ids),
            "TelmetricsStudyID": number["id"],
            "CalledNumber": number["phone_number"],
            "TerminationNumber": number["call_routes"]["route"]["termination_number"],
            "StartTime": _local(now - timedelta(seconds=9)),
            "AnswerTime": _local(now - timedelta(seconds=7)),
            "EndTime": _local(now),
            "CallerNumber": "9055802958",
            "AnswerStatus": "answered",
            "RingDuration": 2,
            "CallDuration": 7,
        }
        return usual | dict(details)

    def message(self, number: Mapping[str, Any], details: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """The first message of a conversation."""
        usual = {
            "Action": "SmsDetails.SmsConversationStart",
            "ConversationId": str(uuid4()),
            "MessageDate": _milliseconds(now),
            "TelmetricsStudyID": number["id"],
            "TexterNumber": "9055802958",
            "TextedNumber": number["phone_number"],
            "ConversationType": "ChatClient",
            "Message": "Hello",
        }
        return usual | dict(details)


def webhook(collection: str, notifications: Sequence[Mapping[str, Any]], now: datetime) -> Webhook:
    """One POST with any number of notifications; every attempt has the same Id and a RequestId of its own."""
    webhook_id = uuid4().hex

    def body(attempt: int) -> dict[str, Any]:
        return {
            "Id": webhook_id,
            "Attempt": attempt,
            "Properties": {
                "CollectionType": collection,
                "UTC": _milliseconds(now),
                "Organization": ORGANIZATION,
                "RequestId": str(uuid4()),
            },
            "Notifications": list(notifications),
        }

    return body


def _local(moment: datetime) -> str:
    return moment.astimezone(_EASTERN).replace(tzinfo=None).isoformat(timespec="seconds")


def _milliseconds(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")
