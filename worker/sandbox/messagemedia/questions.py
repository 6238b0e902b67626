"""What MessageMedia is asked, in query and body, read once into typed objects."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from multidict import MultiMapping
from pydantic import BaseModel, ConfigDict, StrictStr, ValidationError

from worker.sandbox.messagemedia.numbers import number_of
from worker.sandbox.messagemedia.stock import Wish

_PAGE, _LARGEST_PAGE = 50, 1_000
_CAPABILITIES = frozenset({"SMS", "TTS", "MMS"})
_TYPES = frozenset({"MOBILE", "LANDLINE", "TEN_DLC", "TOLL_FREE", "SHORT_CODE", "HOSTED_TEN_DLC", "HOSTED_TOLL_FREE"})
_CLASSES = frozenset({"BRONZE", "SILVER", "GOLD"})
_DIRECTIONS = frozenset({"ASCENDING", "DESCENDING"})

Query = MultiMapping[str]


class BadRequest(Exception):
    """What is asked cannot be read; `details` says what is wrong, for people."""

    def __init__(self, *details: str) -> None:
        super().__init__("; ".join(details))
        self.details = details


@dataclass(frozen=True, slots=True)
class Labels:
    """What an assignment carries for its customer; None where it was not said."""

    label: str | None = None
    metadata: Mapping[str, str] | None = None

    @property
    def key(self) -> str:
        """The two as canonical JSON, by which orders are told apart; empty where neither was said."""
        given = {"label": self.label, "metadata": self.metadata}
        said = {name: value for name, value in given.items() if value is not None}
        return json.dumps(said, sort_keys=True) if said else ""

    def changed(self, by: "Labels", *, adds: bool) -> "Labels":
        """These, less what `by` says anew; its metadata replaces all before or, where it `adds`, what it names."""
        metadata = self.metadata if by.metadata is None else by.metadata
        if adds and by.metadata is not None:
            metadata = dict(sorted({**(self.metadata or {}), **by.metadata}.items()))
        return Labels(self.label if by.label is None else by.label, metadata)


@dataclass(frozen=True, slots=True)
class Search:
    """`GET /`. `start` is the number that the page starts with."""

    wish: Wish
    page_size: int
    start: int | None


@dataclass(frozen=True, slots=True)
class Listing:
    """`GET /assignments`. An empty filter lets everything pass."""

    wish: Wish
    page_size: int
    start: int | None
    number: int | None  # of the filter `number_id`; -1 for an id that no number has
    label: str
    classes: frozenset[str]
    newest_first: bool


class _Body(BaseModel):
    # Unknown fields pass: what MessageMedia does with them is not documented.
    model_config = ConfigDict(extra="ignore", frozen=True)

    label: StrictStr = ""
    metadata: dict[StrictStr, StrictStr] = {}


def read_labels(body: bytes) -> Labels:
    """The body of an assignment or of its update. Raises BadRequest."""
    try:
        given = _Body.model_validate_json(body)
    except ValidationError as error:
        raise BadRequest(*_complaints(error)) from None
    said = given.model_fields_set
    # The guide sends State, Region and gets Region, State back.
    metadata = dict(sorted(given.metadata.items())) if "metadata" in said else None
    return Labels(given.label if "label" in said else None, metadata)


def read_search(query: Query) -> Search:
    """Raises BadRequest."""
    return Search(_wish(query, _words(query, "types", _TYPES)), _page_size(query), _start(query))


def read_listing(query: Query) -> Listing:
    """Raises BadRequest."""
    types = _words(query, "types", _TYPES) or _words(query, "type", _TYPES)
    number_id = query.get("number_id", "")
    number = number_of(number_id)
    return Listing(
        wish=_wish(query, types),
        page_size=_page_size(query),
        start=_start(query),
        number=(-1 if number is None else number) if number_id else None,
        label=query.get("label", ""),
        classes=_words(query, "classification", _CLASSES),
        newest_first=_words(query, "sort_direction", _DIRECTIONS) == {"DESCENDING"},
    )


def _wish(query: Query, types: frozenset[str]) -> Wish:
    matching = query.get("matching", "").removeprefix("+")
    if matching and not (matching.isascii() and matching.isdigit()):
        raise BadRequest("matching: expected digits.")
    return Wish(query.get("country", "").upper(), types, _words(query, "service_types", _CAPABILITIES), matching)


def _words(query: Query, name: str, known: frozenset[str]) -> frozenset[str]:
    """A list, by commas or by repeating the parameter."""
    given = {word.strip().upper() for each in query.getall(name, []) for word in each.split(",")} - {""}
    if not given <= known:
        raise BadRequest(f"{name}: expected one of {', '.join(sorted(known))}.")
    return frozenset(given)


def _page_size(query: Query) -> int:
    given = query.get("page_size", str(_PAGE))
    if not (given.isascii() and given.isdigit() and int(given) > 0):
        raise BadRequest("page_size: expected a number of 1 or more.")
    return min(int(given), _LARGEST_PAGE)


def _start(query: Query) -> int | None:
    token = query.get("token", "")
    start = number_of(token)
    if token and start is None:
        raise bad_token()
    return start


def bad_token() -> BadRequest:
    return BadRequest("token: expected the next_token of the page before.")


def _complaints(error: ValidationError) -> Iterator[str]:
    for each in error.errors(include_url=False, include_context=False, include_input=False):
        field: tuple[Any, ...] = each["loc"]
        if each["type"] == "json_invalid" or not field:
            yield "Failed to parse message body."
        else:
            yield f"{'.'.join(str(step) for step in field)}: {each['msg']}."
