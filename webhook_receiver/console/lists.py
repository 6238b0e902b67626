"""What a list of the console is narrowed to, read from its address: what is wrong there is said, not guessed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, TypeVar
from uuid import UUID

import flask
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, ValidationError
from sqlalchemy.orm import Session

from models import requester
from models.listing import Filters
from models.request import Kind
from models.state import State
from webhook_receiver.queries import UpstreamName

PAGE = 50
"""Rows of a page: about two screens."""


def blank_is_none(value: object) -> object:
    """For a parameter that a form sends empty."""
    return value or None


S = TypeVar("S", bound=BaseModel)


class Narrowed(BaseModel):
    """Parameters of a list; an empty one, as a form sends it, counts as not given."""

    model_config = ConfigDict(extra="ignore")

    cursor: Annotated[UUID | None, BeforeValidator(blank_is_none)] = None


class NoRequester(ValueError):
    """Nobody has the name that was asked for."""


class OfRequester(Narrowed):
    """A list that may be narrowed to what is one requester's."""

    requester: Annotated[str | None, BeforeValidator(blank_is_none)] = None

    def owner(self, session: Session) -> UUID | None:
        """The requester; None: all. Raises NoRequester."""
        if self.requester is None:
            return None
        found = requester.find(session, self.requester)
        if found is None:
            raise NoRequester(f"requester: there is none named {self.requester!r}.")
        return found.id

    @property
    def position(self) -> str | None:
        """Where the page begins, as `models.listing` has it."""
        return None if self.cursor is None else self.cursor.hex


def _in_utc(value: object) -> object:
    """What a browser's field for a time sends has no zone; the form says that it is UTC."""
    try:
        moment = datetime.fromisoformat(str(value)) if value else None
    except ValueError:
        return value
    return moment if moment is None else moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)


Since = Annotated[AwareDatetime | None, BeforeValidator(_in_utc)]
"""A time in UTC, as a form or an address says it."""


class YesNo(StrEnum):
    YES = "true"
    NO = "false"


class Age(StrEnum):
    """How long ago a request was made, at the least."""

    MINUTES = "10 minutes"
    HOUR = "1 hour"
    DAY = "1 day"
    WEEK = "7 days"


AGES = {
    Age.MINUTES: timedelta(minutes=10),
    Age.HOUR: timedelta(hours=1),
    Age.DAY: timedelta(days=1),
    Age.WEEK: timedelta(days=7),
}


class RequestsNarrowed(OfRequester):
    q: Annotated[str | None, BeforeValidator(blank_is_none)] = None
    state: Annotated[State | None, BeforeValidator(blank_is_none)] = None
    upstream: Annotated[UpstreamName | None, BeforeValidator(blank_is_none)] = None
    kind: Annotated[Kind | None, BeforeValidator(blank_is_none)] = None
    reason: Annotated[str | None, BeforeValidator(blank_is_none)] = None
    batch: Annotated[UUID | None, BeforeValidator(blank_is_none)] = None
    contradicted: Annotated[YesNo | None, BeforeValidator(blank_is_none)] = None
    older_than: Annotated[Age | None, BeforeValidator(blank_is_none)] = None

    @property
    def is_any(self) -> bool:
        """Whether the list is narrowed to nothing: all requests there are."""
        return not self.parameters

    @property
    def parameters(self) -> dict[str, str]:
        """What it is narrowed to, as an address has it."""
        return {name: str(value) for name, value in self if value is not None and name != "cursor"}

    def filters_at(self, now: datetime) -> Filters:
        return Filters(
            state=self.state,
            upstream=self.upstream,
            kind=self.kind,
            batch_id=self.batch,
            reason=self.reason,
            q=None if self.q is None else self.q.strip(),
            contradicted=None if self.contradicted is None else self.contradicted is YesNo.YES,
            made_before=None if self.older_than is None else now - AGES[self.older_than],
        )


def narrowed(model: type[S]) -> tuple[S, list[str]]:
    """What the address, or the form, asks for, without what in it is wrong; and a sentence for each that is."""
    given: dict[str, str] = flask.request.values.to_dict()
    faults: list[str] = []
    try:
        return model.model_validate(given), []
    except ValidationError as error:
        for one in error.errors(include_url=False, include_input=False, include_context=False):
            name = str(one["loc"][0])
            faults.append(f"{name}: {given.pop(name, '')!r} is not one of what it can be; it is left out.")
    return model.model_validate(given), faults
