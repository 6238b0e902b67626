"""What AVANSER sends: completion callbacks, call reports and forwarded messages, field by field as on its page."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import count
from secrets import token_hex
from typing import Any

from worker.sandbox.avanser.blocks import CALLING_CODES
from worker.sandbox.faults import CallbackPlan
from worker.sandbox.ledger import Entry

AEST = timezone(timedelta(hours=10))  # the seed's +10:00, all year round

COMPLETED = "Request completed successfully"
# The seed's update is sent with 61132307 and called back with this.
_ANSWER_POINT_OF_UPDATES = "6113008786264"


@dataclass(slots=True)
class Service:
    """A number in service, as it is configured."""

    number: str
    type: str  # its class; empty when it is of no stock that we know
    name: str
    custom_id: str
    custom_group: str
    service: dict[str, Any]
    call_uri: str
    callback_uri: str
    smsforward_uri: str
    account: str
    shown_at: float  # when lists start to show it, seconds since the epoch


def completion(entry: Entry, plan: CallbackPlan) -> dict[str, str]:
    """The body of a callback, with the contradictions of the page: a request_id of its own in two of three, and for
    an update neither custom_id nor custom_group nor the answer point that was sent."""
    update = entry.kind == "update"
    foreign = plan.foreign_ids
    return {
        "account_id": entry.account,
        "request_id": token_hex(20) if foreign or plan.foreign_request_id else entry.request_id,
        "custom_id": "somebody-elses" if foreign else entry.custom_id,
        "custom_group": "somebody-elses" if foreign else entry.custom_group,
        "service_number": entry.number,
        "answer_point": _ANSWER_POINT_OF_UPDATES if update else entry.answer_point,
        "message": entry.message,
        "status": entry.status,
    }


class Calls:
    """Makes call reports and messages; ids go on from the seed's."""

    def __init__(self) -> None:
        self._ids = count(36012012)
        self._lines = count(20486)

    def report(self, service: Service, account: str, details: Mapping[str, Any], now: datetime) -> dict[str, str]:
        """The parameters of a Call-URI report in the seed's order; `details` overrides any of them and may add more."""
        answer_point = str(service.service.get("answer_point", ""))
        usual = {
            "clientid": account,
            "callid": str(next(self._ids)),
            "uniqueid": f"ECS1-{int(now.timestamp())}.{next(self._lines)}",
            "bnum": dashed(service.number),
            "adname": service.name,
            "target": dashed(answer_point),
            "targetname": str(service.service.get("answer_point_name", "")),
            "ani": "+61-0405061663",
            "tzdate": now.astimezone(AEST).isoformat(timespec="seconds"),
            "duration": "15",
            "callstatus": "avanser_answered_call",
            "callcode": "1",
            "clocation": "Mobile",
            "cstate": "MOB",
            "ccountry": "AU",
            "custom_id": service.custom_id,
            "custom_group": service.custom_group,
        }
        return usual | _texts(details)

    def message(self, service: Service, details: Mapping[str, Any], now: datetime) -> dict[str, str]:
        """The parameters of a forwarded SMS; every name is inferred, for the page says only "all SMS information"."""
        usual = {
            "smsid": str(next(self._ids)),
            "bnum": dashed(service.number),
            "ani": "+61-0405061663",
            "tzdate": now.astimezone(AEST).isoformat(timespec="seconds"),
            "message": "Hello",
            "custom_id": service.custom_id,
            "custom_group": service.custom_group,
        }
        return usual | _texts(details)


def dashed(number: str) -> str:
    """`+61-0280740801`: calling code, dash, and the national number with its trunk zero, as in call reports."""
    code = CALLING_CODES["AU"]
    if not number.startswith(code):
        return number
    national = number.removeprefix(code)
    return f"+{code}-{national}" if national.startswith("1") else f"+{code}-0{national}"  # 13, 1300, 1800: no zero


def _texts(details: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in details.items()}
