"""What a requester may ask: the form of a request, from which the API's documentation is made too."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from models.request import Kind, OnOutOfStock
from worker.fault import Fault
from worker.strict_json import escape

LONGEST_CUSTOM_ID = 200
"""Characters: a bulk row's idempotency key is made of it, and that column has 255."""

EXAMPLE_DEADLINE = "2026-12-01T00:00:00Z"

B = TypeVar("B", bound=BaseModel)


def _moment(value: Any) -> Any:
    """A deadline is text: pydantic would also take numbers, whose unit (s or ms) it guesses."""
    if isinstance(value, datetime):
        return value
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        pass
    raise ValueError(f"must be a time with its zone, such as {EXAMPLE_DEADLINE}")


CustomId = Annotated[
    str | None,
    Field(
        min_length=1,
        max_length=LONGEST_CUSTOM_ID,
        description="Your own name for it. In a bulk file it also makes a row that was taken before a no-op.",
        examples=["dealer-17"],
    ),
]
CustomGroup = Annotated[str | None, Field(min_length=1, max_length=255, examples=["vic"])]
EndpointName = Annotated[
    str | None,
    Field(min_length=1, max_length=200, description="The name of the endpoint that is to get the result."),
]
NotifyUrl = Annotated[
    str | None, Field(min_length=1, max_length=2000, description="A URL that is to get the result, this once.")
]
Deadline = Annotated[
    Annotated[datetime, BeforeValidator(_moment)] | None,
    Field(description="When to stop waiting to be ordered.", examples=[EXAMPLE_DEADLINE]),
]
Spec = Annotated[
    dict[str, Any],
    Field(default_factory=dict, description="The upstream's own documented body, less the URIs, which are ours."),
]


class RequestBody(BaseModel):
    """One asked-for change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    upstream: str = Field(description="Where to order: avanser, telmetrics or messagemedia.", examples=["avanser"])
    kind: Kind = Field(default=Kind.PROVISION, description="A new number, a change to one, or giving one up.")
    custom_id: CustomId = None
    custom_group: CustomGroup = None
    endpoint: EndpointName = None
    notify_url: NotifyUrl = None
    deadline: Deadline = None
    on_out_of_stock: OnOutOfStock = OnOutOfStock.WAIT
    number: str | None = Field(
        default=None,
        min_length=1,
        max_length=40,
        description="For update and release: which number, in any format.",
        examples=["+61280740801"],
    )
    spec: Spec


class NumberChange(BaseModel):
    """What is to be different about a number; what is left out stays as it is, `custom_id` and `custom_group` too."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    spec: Spec
    custom_id: CustomId = None
    custom_group: CustomGroup = None
    endpoint: EndpointName = None
    notify_url: NotifyUrl = None
    deadline: Deadline = None


def parse(raw: Mapping[str, Any]) -> tuple[RequestBody | None, list[Fault]]:
    """The body, or what is wrong with its form."""
    return _parse(RequestBody, raw)


def faults_of_change(raw: Mapping[str, Any]) -> list[Fault]:
    """What is wrong with the form of a `NumberChange`; what is not can be a request's body with the number put in."""
    return _parse(NumberChange, raw)[1]


def _parse(model: type[B], raw: Mapping[str, Any]) -> tuple[B | None, list[Fault]]:
    try:
        return model.model_validate(raw), []
    except ValidationError as error:
        return None, [_fault(model, one) for one in error.errors(include_url=False, include_context=False)]


def _fault(model: type[BaseModel], error: ErrorDetails) -> Fault:
    pointer = "".join(f"/{escape(str(step))}" for step in error["loc"])
    if error["type"] != "extra_forbidden":
        return Fault(pointer, error["msg"].removeprefix("Value error, "))
    near = get_close_matches(str(error["loc"][-1]), model.model_fields, n=1)
    return Fault(pointer, "unknown field" + (f": did you mean {near[0]}?" if near else ""))


def digest(body: RequestBody) -> str:
    """SHA-256 in hex of what is asked, however it was written: the same for CSV and JSON, whatever the order."""
    said = body.model_dump(mode="json", exclude_defaults=True)
    return hashlib.sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
