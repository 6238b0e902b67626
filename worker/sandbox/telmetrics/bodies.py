"""The bodies that Telmetrics takes, read once into typed objects."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from worker.sandbox.telmetrics.areas import TOLL_FREE, local_to_city, local_to_number


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value  # pages of the vendor differ in the case of types


MatchType = Annotated[Literal["localtonumber", "localtocity", "tollfree"], BeforeValidator(_lower)]


class _Body(BaseModel):
    # Unknown fields pass: what the real Telmetrics does with them is not documented.
    model_config = ConfigDict(extra="allow")


class PhoneNumberRequest(_Body):
    """Which number is wanted."""

    match_type: MatchType
    local_to_number: str = Field(default="", pattern=r"^$|^\d{10}$")
    city: str = ""
    state: str = Field(default="", pattern=r"^$|^[A-Za-z]{2}$")
    number_match_filter: str = Field(default="", pattern=r"^$|^\d{3}$|^\d{6}$")

    @model_validator(mode="after")
    def _has_what_its_match_needs(self) -> Self:
        needed = {"localtonumber": ("local_to_number",), "localtocity": ("city", "state"), "tollfree": ()}
        for name in needed[self.match_type]:
            if not getattr(self, name):
                raise ValueError(f"match_type {self.match_type} needs {name}")
        return self

    def areas(self) -> tuple[str, ...]:
        """The area codes that will do, best first; none when nothing is local to what was asked for."""
        match self.match_type:
            case "localtonumber":
                return local_to_number(self.local_to_number)
            case "localtocity":
                return local_to_city(self.city, self.state)
        return TOLL_FREE


class Route(_Body):
    termination_number: str = Field(pattern=r"^\+?\d{10,15}$")


class CallRoutes(_Body):
    """`Basic` is the one route type that the page shows; the others have routes of other shapes."""

    route_type: str = Field(pattern=re.compile(r"^basic$", re.IGNORECASE))
    route: Route


class SmsRoutes(_Body):
    route_type: str = Field(min_length=1)


class Order(_Body):
    """`POST /groups/{group_id}/numbers`."""

    name: str = Field(min_length=1)
    phone_number_request: PhoneNumberRequest
    call_routes: CallRoutes
    sms_routes: SmsRoutes | None = None
    features: dict[str, Any] | None = None


class RouteChange(_Body):
    termination_number: str | None = Field(default=None, pattern=r"^\+?\d{10,15}$")


class CallRoutesChange(_Body):
    route: RouteChange | None = None


class Change(_Body):
    """`PUT /numbers/{id}`: what is left out stays as it is."""

    name: str | None = Field(default=None, min_length=1)
    call_routes: CallRoutesChange | None = None
    sms_routes: SmsRoutes | None = None
    features: dict[str, Any] | None = None


def complaint(error: ValidationError) -> str:
    """One sentence about a body that cannot be read, naming the fields."""
    parts: list[str] = []
    for each in error.errors(include_url=False, include_context=False, include_input=False):
        where = ".".join(str(step) for step in each["loc"])
        parts.append(f"{where}: {each['msg']}" if where else each["msg"])
    return f"Invalid request: {'; '.join(parts)}"
