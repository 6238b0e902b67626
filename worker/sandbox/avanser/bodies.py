"""The bodies that AVANSER takes, read once into typed objects; the table in `avanser` says what is inferred of them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError, model_validator

from worker.sandbox.avanser.blocks import CALLING_CODES, NumberClass
from worker.sandbox.avanser.stock import Wish, digits

NO_ANSWER_POINT = "a transfer needs answer_point"

_PHONE = r"^\+?[\d -]{3,20}$"
_URI = r"^https?://[^\s/]+"

_Phone = Annotated[str, Field(pattern=_PHONE)]
_Address = Annotated[str, Field(pattern=r"^[^\s@]+@[^\s@]+$")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="allow", coerce_numbers_to_str=True)


class ServiceNumber(_Body):
    """Which number is wanted. `number` and `szu` are seen on the wire, the other search types are inferred."""

    country: str = Field(default="AU", pattern=r"^[A-Za-z]{2}$")
    search_type: Literal["number", "szu", "location", "coordinates", "prefix", "type"]
    number: str = Field(default="", pattern=r"^$|" + _PHONE)
    szu: str = ""
    location: str = ""
    prefix: str = Field(default="", pattern=r"^\+?[\d -]*$")
    type: NumberClass | Literal[""] = ""
    latitude: float | None = Field(default=None, ge=-90, le=90)
    longitude: float | None = Field(default=None, ge=-180, le=180)

    @model_validator(mode="after")
    def _has_what_its_search_needs(self) -> "ServiceNumber":
        needed = ("latitude", "longitude") if self.search_type == "coordinates" else (self.search_type,)
        for name in needed:
            if getattr(self, name) in ("", None):
                raise ValueError(f"search_type {self.search_type} needs {name}")
        if self.search_type == "szu" and self.country.upper() != "AU":
            raise ValueError("search_type szu is for Australia only")
        return self

    def wish(self) -> Wish:
        country = self.country.upper()
        match self.search_type:
            case "number":
                return Wish(country, self.type, number=digits(self.number, country))
            case "prefix":
                return Wish(country, self.type, prefix=prefix_digits(self.prefix, country))
            case "szu":
                return Wish(country, self.type, szu=self.szu)
            case "location":
                return Wish(country, self.type, region=self.location)
            case "coordinates":
                return Wish(country, self.type, near=(self.latitude or 0.0, self.longitude or 0.0))
        return Wish(country, self.type)


class MissedCall(_Body):
    emails: list[_Address] = []
    sms: list[_Phone] = []


class _Options(_Body):
    answer_point_name: str = ""
    record_call: StrictBool = False
    missed_call: MissedCall = MissedCall()
    call_greeting: str = ""
    call_whisper: str = ""
    voicemail_greeting: str = ""


class Service(_Options):
    type: Literal["transfer", "voicemail", "prompt"] = "transfer"
    answer_point: str = Field(default="", pattern=r"^$|" + _PHONE)

    @model_validator(mode="after")
    def _transfers_somewhere(self) -> "Service":
        if self.type == "transfer" and not self.answer_point:
            raise ValueError(NO_ANSWER_POINT)
        return self


class Order(_Body):
    """`POST /requests`."""

    name: str = ""
    custom_id: str = ""
    custom_group: str = ""
    service_number: ServiceNumber
    service: Service
    call_uri: str = Field(default="", pattern=r"^$|" + _URI)
    callback_uri: str = Field(default="", pattern=r"^$|" + _URI)
    smsforward_uri: str = Field(default="", pattern=r"^$|" + _URI)


class ServiceChange(_Options):
    type: Literal["transfer", "voicemail", "prompt"] | None = None
    answer_point: str | None = Field(default=None, pattern=_PHONE)


class Change(_Body):
    """`POST /services/{number}`: what is left out stays as it is."""

    name: str | None = None
    custom_id: str | None = None
    custom_group: str | None = None
    service: ServiceChange = ServiceChange()
    call_uri: str | None = Field(default=None, pattern=_URI)
    callback_uri: str = Field(default="", pattern=r"^$|" + _URI)
    smsforward_uri: str | None = Field(default=None, pattern=_URI)


def prefix_digits(prefix: str, country: str) -> str:
    """An international prefix from an international or national one (`02 80`, `1300`, `6128`)."""
    plain, code = digits(prefix, country), CALLING_CODES.get(country, "")
    return plain if plain.startswith(code) else code + plain


def complaint(error: ValidationError) -> str:
    """One sentence about a body that cannot be read, naming the fields."""
    parts: list[str] = []
    for each in error.errors(include_url=False, include_context=False, include_input=False):
        field: tuple[Any, ...] = each["loc"]
        where = ".".join(str(step) for step in field)
        parts.append(f"{where}: {each['msg']}" if where else each["msg"])
    return f"Invalid request: {'; '.join(parts)}"
