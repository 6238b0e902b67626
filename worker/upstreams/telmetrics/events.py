"""What Telmetrics sends of its own accord: webhooks that are set up in its portal, for calls and for text messages.

`{Id, Attempt, Properties, Notifications: [{Action, …}]}` by POST, as its pages "Call Webhooks", "SMS Webhooks" and
"Sales Rescue Webhooks" show. `Attempt` counts the deliveries of the same; a call is known by its `TelmetricsId`.
What is inferred here stands in the table in `telmetrics.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from worker.upstreams.base import FinishedCall, InboundMessage, Incoming, Unreadable
from worker.upstreams.http import read_json
from worker.upstreams.telmetrics.numbers import read_number

FINISHED = {"callpreprocessed", "callprocessed"}
"""What tells of a call that has ended; see `_happened`."""

OF_SMS = "smsdetails."

LONGEST_REFERENCE = 255

LONGEST_DURATION = 2**31 - 1

QUARTER = timedelta(minutes=15)
"""Every time zone is so many of these from UTC."""

AT_ONCE = timedelta(minutes=5)
"""How long after a call its first webhook may come, for its own time to tell the time zone of the call's times."""

Fields = Mapping[str, Any]


def read_calls(incoming: Incoming) -> list[FinishedCall]:
    """The calls that have ended; of one that only begins, none. Raises Unreadable.

    `CallPreprocessed` comes when a call has ended and `CallProcessed` when more is known of it: both are the same call.
    """
    delivery, notifications = _notifications(_posted(incoming))
    return [_call(one, delivery) for one in notifications if _is_of_finished_call(one)]


def read_messages(incoming: Incoming) -> list[InboundMessage]:
    """The text messages, from a webhook of the portal's or straight from a number with SMS-To-Webhook.

    Raises Unreadable.
    """
    document = _posted(incoming)
    if "Notifications" not in document:
        return [_message(document, {})]
    delivery, notifications = _notifications(document)
    return [_message(one, delivery) for one in notifications if _action(one).casefold().startswith(OF_SMS)]


def _posted(incoming: Incoming) -> dict[str, Any]:
    if incoming.method != "POST":
        raise Unreadable(f"Telmetrics posts its events; this came by {incoming.method}")
    document = read_json(incoming.body)
    if not isinstance(document, dict):
        raise Unreadable("the body is no JSON object")
    return document


def _notifications(document: Fields) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What stands around the notifications, and these."""
    notifications = document.get("Notifications")
    if not isinstance(notifications, list) or not all(isinstance(one, dict) for one in notifications):
        raise Unreadable("the body has no Notifications")
    return {name: value for name, value in document.items() if name != "Notifications"}, notifications


def _action(notification: Fields) -> str:
    return str(notification.get("Action") or "")


def _happened(notification: Fields) -> str:
    """The Action without its collection and without case: `callpreprocessed` of `CallDetails.CallPreprocessed`."""
    return _action(notification).rpartition(".")[2].casefold()


def _is_of_finished_call(notification: Fields) -> bool:
    """By its Action; else, as for a Sales Rescue, because it names the end of a call."""
    if _happened(notification) in FINISHED:
        return True
    return bool(notification.get("TelmetricsId") and notification.get("EndTime"))


def _call(notification: Fields, delivery: Fields) -> FinishedCall:
    reference = notification.get("TelmetricsId")
    if isinstance(reference, bool) or not isinstance(reference, int | str) or not str(reference).strip():
        raise Unreadable("the call has no TelmetricsId")
    if len(str(reference)) > LONGEST_REFERENCE:
        raise Unreadable("the call's TelmetricsId is too long")
    return FinishedCall(
        reference=str(reference).strip(),
        number=read_number(notification.get("CalledNumber")),
        caller=_number_or_as_sent(_first(notification, "CallerNumber", "CallingNumber", "ANI")),
        answer_point=_number_or_as_sent(notification.get("TerminationNumber")),
        status=str(notification.get("AnswerStatus") or _action(notification))[:64] or None,
        duration=_duration(notification.get("CallDuration")),
        started_at=_started(notification, delivery),
        started_at_raw=_raw(notification.get("StartTime")),
        parameters=_parameters(notification, delivery),
    )


def _message(fields: Fields, delivery: Fields) -> InboundMessage:
    sent = _first(fields, "MessageDate", "Date", "Timestamp")
    moment = _moment(sent)
    return InboundMessage(
        reference=_reference_of_message(fields),
        number=read_number(_first(fields, "TextedNumber", "ToNumber", "To")),
        sender=_number_or_as_sent(_first(fields, "TexterNumber", "FromNumber", "From")),
        text=_text(_first(fields, "Message", "MessageText", "Text", "Body")),
        sent_at=_utc(moment) if moment is not None else None,
        sent_at_raw=_raw(sent),
        parameters=_parameters(fields, delivery),
    )


def _reference_of_message(fields: Fields) -> str:
    """Its own id; of a conversation's start that of the conversation, which starts once; else a digest."""
    is_start = _happened(fields) == "smsconversationstart"
    own = _first(fields, "MessageId", *(["ConversationId"] if is_start else []))
    if isinstance(own, int | str) and not isinstance(own, bool) and 0 < len(str(own).strip()) <= LONGEST_REFERENCE:
        return str(own).strip()
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _parameters(fields: Fields, delivery: Fields) -> dict[str, Any]:
    """Everything that came, known or not."""
    return {**fields, "Delivery": dict(delivery)} if delivery else dict(fields)


def _first(fields: Fields, *names: str) -> Any:
    """The first of these fields that says something, whatever the case of its name."""
    by_name = {name.casefold(): value for name, value in fields.items()}
    return next((value for name in names if (value := by_name.get(name.casefold())) not in (None, "")), None)


def _number_or_as_sent(written: Any) -> str | None:
    """A caller may be `anonymous`."""
    text = "" if written is None else str(written).strip()
    return read_number(text) or text[:32] or None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _raw(value: Any) -> str | None:
    return str(value)[:64] if value not in (None, "") else None


def _duration(value: Any) -> int | None:
    """Whole seconds."""
    text = str(value).strip() if isinstance(value, int | str) and not isinstance(value, bool) else ""
    return min(int(text), LONGEST_DURATION) if text.isascii() and text.isdecimal() and len(text) <= 12 else None


def _started(notification: Fields, delivery: Fields) -> datetime | None:
    """When the call began, UTC; None where nothing tells the time zone of its `StartTime`.

    Both examples of the vendor's pages give StartTime and EndTime in the time of the place, without saying which: the
    one's webhook was made (`Properties.UTC`) 5 hours and a second after its EndTime, the other's 4 hours and 0.7 s;
    and the second has a `MonitorStartTime`, 4 hours after StartTime. From these the distance to UTC is taken.
    """
    start = _moment(notification.get("StartTime"))
    if start is None or start.tzinfo is not None:
        return None if start is None else _utc(start)
    shift = _shift(start, _moment(notification.get("MonitorStartTime")), timedelta())
    if shift is None and _comes_at_once(notification, delivery):
        properties = delivery.get("Properties")
        made = _moment(properties.get("UTC")) if isinstance(properties, dict) else None
        shift = _shift(_moment(notification.get("EndTime")), made, AT_ONCE)
    return None if shift is None else _utc(start + shift)


def _comes_at_once(notification: Fields, delivery: Fields) -> bool:
    return delivery.get("Attempt") == 1 and _happened(notification) == "callpreprocessed"


def _shift(local: datetime | None, utc: datetime | None, late: timedelta) -> timedelta | None:
    """From the time of the place to UTC, where `utc` is `late` at most; None where the two do not fit."""
    if local is None or utc is None or local.tzinfo is not None:
        return None
    apart = utc.replace(tzinfo=None) - local
    zone = apart // QUARTER * QUARTER
    return zone if apart - zone <= late and abs(zone) <= timedelta(hours=14) else None


def _moment(written: Any) -> datetime | None:
    """`2019-11-15T09:09:54` and `4/30/2021 1:31:38 PM`, both of which the vendor's pages show."""
    text = written.strip() if isinstance(written, str) else ""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    try:
        return datetime.strptime(text, "%m/%d/%Y %I:%M:%S %p")  # noqa: DTZ007 -- the time of a place that it does not name
    except ValueError:
        return None


def _utc(moment: datetime) -> datetime | None:
    """Of a time without a zone: as it is."""
    try:
        return moment.astimezone(UTC) if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
