"""What a requester may ask of MessageMedia: which number to search for, and what to write on it once it is ours.

The parameters are those of MessageMedia's search and assignment. Two rules are ours, since orders spend money: a
search names its country, and buys no class dearer than `max_classification`, which is BRONZE unless said otherwise.
An order that waits with the reason "only SILVER numbers fit" costs nothing; one that quietly buys GOLD does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, StrictStr, StringConstraints
from pydantic import ValidationError as Invalid

from models.request import Kind
from worker.fault import Fault
from worker.strict_json import escape
from worker.upstreams.base import BadQuery

KEY = "trunkline_request"
"""In the metadata of an assignment: which request of ours it was made for."""

BESIDE_THE_SPEC = {"custom_id", "custom_group"}

Classification = Literal["BRONZE", "SILVER", "GOLD"]

CLASSES: tuple[str, ...] = get_args(Classification)
"""The cheapest first."""

MOST_ON_A_PAGE = 1000
"""Ours: so many rows are a quarter of what we read of one answer. MessageMedia names no limit, and gives 50."""


def _listed(value: Any) -> Any:
    """`SMS,MMS` is how the search writes a list, and how a cell of a CSV can."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def _digits(value: Any) -> Any:
    if isinstance(value, str) and not (value.isascii() and value.isdecimal()):
        raise ValueError("MessageMedia matches a pattern of digits: give digits only")
    return value


Country = Annotated[StrictStr, StringConstraints(pattern=r"^[A-Za-z]{2}$", to_upper=True)]
Digits = Annotated[StrictStr, BeforeValidator(_digits), StringConstraints(max_length=15)]
ServiceType = Literal["SMS", "MMS", "TTS"]
# Not SHORT_CODE: no short code is a number that E.164 can write.
NumberType = Literal["MOBILE", "LANDLINE", "TOLL_FREE", "TEN_DLC", "HOSTED_TEN_DLC", "HOSTED_TOLL_FREE"]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Query(_Body):
    """What the search can be asked; `types` is in the newer edition of MessageMedia's reference only."""

    country: Country | None = None
    service_types: Annotated[list[ServiceType], BeforeValidator(_listed), Field(min_length=1)] | None = None
    matching: Digits | None = None
    types: Annotated[list[NumberType], BeforeValidator(_listed), Field(min_length=1)] | None = None
    page_size: Annotated[StrictInt, Field(ge=1, le=MOST_ON_A_PAGE)] | None = None

    def params(self) -> dict[str, str]:
        """As they stand in a query, lists as the reference writes them."""
        written = self.model_dump(exclude_none=True)
        return {name: ",".join(one) if isinstance(one, list) else str(one) for name, one in written.items()}


class Search(Query):
    """The search of an order. Looking needs no country, buying does."""

    country: Country


class Provision(_Body):
    """`POST /{number_id}/assignment`, and the search that finds the number."""

    search: Search
    max_classification: Classification = "BRONZE"
    label: StrictStr | None = None
    metadata: dict[str, StrictStr] | None = None
    extra: dict[str, Any] = {}
    """Fields of the assignment that Trunkline does not know, merged into its body as they are."""


class Update(_Body):
    """`PATCH /{number_id}/assignment`. What is left out stays as it is."""

    label: StrictStr | None = None
    metadata: dict[str, StrictStr] | None = None
    extra: dict[str, Any] = {}

    def body(self) -> dict[str, Any]:
        return self.model_dump(include={"label", "metadata"}, exclude_none=True) | self.extra


class Release(_Body):
    """`DELETE /{number_id}/assignment` has nothing to say."""


_KINDS: dict[Kind, type[Provision | Update | Release]] = {
    Kind.PROVISION: Provision,
    Kind.UPDATE: Update,
    Kind.RELEASE: Release,
}


def check(kind: Kind, spec: Mapping[str, Any]) -> list[Fault]:
    """What is wrong with the spec, each with its pointer; empty when MessageMedia may be asked for it."""
    try:
        found = _KINDS[kind].model_validate(dict(spec))
    except Invalid as error:
        return [_fault(kind, one["loc"], one["type"], one["msg"]) for one in error.errors(include_url=False)]
    return list(_beyond_form(found))


def query_of(written: Mapping[str, str]) -> Query:
    """A query for the stock, each value as text. Raises BadQuery."""
    page_size = written.get("page_size", "")
    read: dict[str, Any] = dict(written)
    if page_size.isascii() and page_size.isdecimal() and len(page_size) <= 9:
        read["page_size"] = int(page_size)
    try:
        return Query.model_validate(read)
    except Invalid as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            known = ", ".join(Query.model_fields)
            raise BadQuery(f"MessageMedia's stock cannot be asked by {name}; it can by {known}", name) from None
        raise BadQuery(f"{name}: {_plainly(first['msg'])}", name) from None


def _fault(kind: Kind, location: tuple[int | str, ...], error: str, message: str) -> Fault:
    steps = [str(step) for step in location]
    if error == "extra_forbidden":
        message = _why_forbidden(kind, steps)
    elif steps[0] == "metadata" and len(steps) > 1:
        message = f"MessageMedia's metadata are strings, keys and values: {_plainly(message)}"
    return Fault("".join(f"/{escape(step)}" for step in ("spec", *steps)), _plainly(message))


def _plainly(message: str) -> str:
    return message.removeprefix("Value error, ")


def _why_forbidden(kind: Kind, steps: list[str]) -> str:
    name = steps[-1]
    if name == "token":
        return "token is ours: the search is read page by page"
    if len(steps) == 1 and name in BESIDE_THE_SPEC:
        return f"{name} belongs beside spec, at /{name}"
    if kind is Kind.UPDATE and name in ("search", "max_classification"):
        return "An update keeps its number; order another with a provision"
    if kind is Kind.PROVISION and name in Search.model_fields and len(steps) == 1:
        return f"{name} belongs to the search, at /spec/search/{name}"
    if kind is Kind.RELEASE:
        return "A release has nothing to say: leave it out"
    return "Unknown field; what only MessageMedia knows of an assignment goes under /spec/extra"


def _beyond_form(spec: BaseModel) -> Iterator[Fault]:
    if not isinstance(spec, Provision | Update):
        return
    for name in ("label", "metadata"):
        if name in spec.extra:
            yield Fault(f"/spec/extra/{name}", "Give it where it is documented")
    if KEY in (spec.metadata or {}):
        yield Fault(f"/spec/metadata/{KEY}", f"{KEY} is ours: leave it out")
    if isinstance(spec, Update) and not spec.body():
        yield Fault("/spec", "Say what is to change: label, metadata or extra")
