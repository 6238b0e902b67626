"""The kinds of values in Telmetrics' bodies, each with the vendor's rule in words for who breaks it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator

from worker.upstreams.e164 import NotANumber
from worker.upstreams.telmetrics.numbers import ten_digits

CALL_ROUTE_TYPES = ("Basic",)
"""The one that is shown in public; its section on call routing speaks of others and does not name them."""

LONGEST_REPLY = 155
"""Characters of SmartNumber's automatic answer."""


def _like(pattern: str, rule: str) -> BeforeValidator:
    def check(value: Any) -> Any:
        if not isinstance(value, str) or re.fullmatch(pattern, value, re.ASCII | re.DOTALL) is None:
            raise ValueError(rule)
        return value

    return BeforeValidator(check)


def _number(value: Any) -> str:
    try:
        return ten_digits(value if isinstance(value, str) else "")
    except NotANumber:
        raise ValueError("must be a 10 digit number (US, Canada, or another country of +1)") from None


def _group(value: Any) -> str:
    is_id = (isinstance(value, int) and not isinstance(value, bool)) or isinstance(value, str)
    if not is_id or not re.fullmatch(r"[0-9]{1,18}", str(value), re.ASCII):
        raise ValueError("must be the id of a group, a whole number")
    return str(value)


def _guid(value: Any) -> Any:
    try:
        UUID(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError("must be a GUID") from None
    return value


def _call_route_type(value: Any) -> Any:
    if not isinstance(value, str) or value.casefold() not in map(str.casefold, CALL_ROUTE_TYPES):
        raise ValueError("must be Basic; another kind of call routing goes, whole, under /spec/extra/call_routes")
    return value


def _key_press(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 9:
        raise ValueError("must be a number between 1 and 9")
    return value


def word_in(name: str) -> Callable[[Any], str | None]:
    """Which of several forms is meant, by the word in this field, without case."""

    def kind(value: Any) -> str | None:
        word = value.get(name) if isinstance(value, dict) else getattr(value, name, None)
        return word.casefold() if isinstance(word, str) else None

    return kind


Text = Annotated[str, _like(r".*\S.*", "must be text that is not empty")]
Number = Annotated[str, BeforeValidator(_number)]
Guid = Annotated[str, BeforeValidator(_guid)]
GroupId = Annotated[str, BeforeValidator(_group)]
STATES = frozenset({
    "AL", "AK", "AZ", "AR", "CA", "CO", "CT", "DE", "DC", "FL", "GA", "HI", "ID", "IL", "IN", "IA",
    "KS", "KY", "LA", "ME", "MD", "MA", "MI", "MN", "MS", "MO", "MT", "NE", "NV", "NH", "NJ", "NM",
    "NY", "NC", "ND", "OH", "OK", "OR", "PA", "RI", "SC", "SD", "TN", "TX", "UT", "VT", "VA", "WA",
    "WV", "WI", "WY", "AS", "GU", "MP", "PR", "VI", "AB", "BC", "MB", "NB", "NL", "NS", "NT", "NU",
    "ON", "PE", "QC", "SK", "YT",
})  # fmt: skip
"""The postal codes of the United States with their territories, and of Canada's provinces."""


def _state(value: str) -> str:
    if value.upper() not in STATES:
        raise ValueError(_STATE)
    return value


_STATE = "must be a two-letter state or province code of the United States or Canada, such as GA or ON"

State = Annotated[str, _like(r"[A-Za-z]{2}", _STATE), AfterValidator(_state)]
NumberFilter = Annotated[str, _like(r"[0-9]{3}([0-9]{3})?", "must be a 3 digit NPA or a 6 digit NPA-NXX")]
WebUrl = Annotated[str, _like(r"https?://[^\s/]\S*", "must be a URL that begins with http:// or https://")]
Replaced = Annotated[str, _like(r"[0-9A-Za-z]{10}", "must be 10 letters or digits")]
KeyPress = Annotated[int, BeforeValidator(_key_press)]
CallRouteType = Annotated[str, BeforeValidator(_call_route_type)]
ShortReply = Annotated[str, _like(rf".{{1,{LONGEST_REPLY}}}", f"must be text of {LONGEST_REPLY} characters at most")]
