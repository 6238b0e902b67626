"""What a requester may ask of AVANSER: the documented body, typed.

The page shows `search_type` `number` and `szu` and the service type `transfer` on the wire. All other tokens, and
the fields that go with them, are inferred from its prose: see the table in `avanser`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictStr,
    StringConstraints,
)

OURS = {"call_uri", "callback_uri"}
"""What is ours to set: how AVANSER reaches us."""

BESIDE_THE_SPEC = {"custom_id", "custom_group"}
"""What AVANSER has in its body and Trunkline beside it, so that lists and look-ups see it."""

HOME = "AU"
"""Whose national numbers are meant where nothing says otherwise: AVANSER is an Australian company."""


def _not_text(value: Any) -> Any:
    """Pydantic would take "12.5" and true for numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("Must be a number")  # noqa: TRY004 -- pydantic passes a TypeError on as a bug
    return value


def _web_address(value: str) -> str:
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and not re.search(r"\s", value)
    except ValueError:  # such as half an IPv6 address
        good = False
    if not good:
        raise ValueError("Must be an http or https URL")
    return value


Text = Annotated[StrictStr, StringConstraints(min_length=1)]
Country = Annotated[StrictStr, StringConstraints(pattern=r"^[A-Za-z]{2}$", to_upper=True)]
Degrees = Annotated[float, BeforeValidator(_not_text), Field(allow_inf_nan=False)]
WebAddress = Annotated[StrictStr, AfterValidator(_web_address)]
NumberClass = Literal["GEO", "TOLLFREE", "FREECALL", "MOBILE"]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Search(_Body):
    country: Country


class ByNumber(_Search):
    """This number, or the closest to it: AVANSER's page advises to give one's own answer point here."""

    search_type: Literal["number"]
    number: Text
    type: NumberClass | None = None


class BySzu(_Search):
    """A standard zone unit, Australia's charging districts, by name (`sydney`)."""

    search_type: Literal["szu"]
    szu: Text
    type: NumberClass | None = None


class ByLocation(_Search):  # inferred
    search_type: Literal["location"]
    location: Text
    type: NumberClass | None = None


class ByCoordinates(_Search):  # inferred
    search_type: Literal["coordinates"]
    latitude: Annotated[Degrees, Field(ge=-90, le=90)]
    longitude: Annotated[Degrees, Field(ge=-180, le=180)]
    type: NumberClass | None = None


class ByPrefix(_Search):  # inferred
    search_type: Literal["prefix"]
    prefix: Annotated[StrictStr, StringConstraints(pattern=r"^\+?[0-9][0-9 -]*$")]
    type: NumberClass | None = None


class ByType(_Search):  # inferred
    search_type: Literal["type"]
    type: NumberClass


Wanted = Annotated[
    ByNumber | BySzu | ByLocation | ByCoordinates | ByPrefix | ByType, Field(discriminator="search_type")
]


class MissedCall(_Body):  # inferred
    """Who is told of a missed call, by mail and by SMS."""

    emails: list[Text] = []
    sms: list[Text] = []


class _Options(_Body):
    answer_point_name: StrictStr | None = None
    record_call: StrictBool | None = None
    missed_call: MissedCall | None = None  # this and what follows: inferred
    call_greeting: StrictStr | None = None
    call_whisper: StrictStr | None = None
    voicemail_greeting: StrictStr | None = None


class Transfer(_Options):
    type: Literal["transfer"]
    answer_point: Text


class Voicemail(_Options):  # inferred
    type: Literal["voicemail"]


class Prompt(_Options):  # inferred
    type: Literal["prompt"]


Service = Annotated[Transfer | Voicemail | Prompt, Field(discriminator="type")]


class ServiceChange(_Options):
    """What is left out stays as it is."""

    type: Literal["transfer", "voicemail", "prompt"] | None = None
    answer_point: Text | None = None


class _Spec(_Body):
    smsforward_uri: WebAddress | None = None  # inferred
    """Where AVANSER is to send the text messages of a mobile number, instead of to us."""
    extra: dict[str, Any] = {}
    """Fields of AVANSER's that Trunkline does not know, merged into the body as they are."""


class Provision(_Spec):
    """`POST /requests`, less what is ours."""

    name: StrictStr | None = None
    service_number: Wanted
    service: Service


class Update(_Spec):
    """`POST /services/{number}`, less what is ours. An empty one points the number's calls and messages at us again."""

    name: StrictStr | None = None
    service: ServiceChange | None = None


class Release(_Body):
    """`DELETE /services/{number}` has nothing to say."""
