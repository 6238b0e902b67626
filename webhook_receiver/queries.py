"""Query parameters, read into the model that also documents them; and lists, a page at a time by key."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

import flask
import sqlalchemy as sa
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from sqlalchemy.orm import InstrumentedAttribute, Session

from models.listing import LONGEST_PAGE
from webhook_receiver.problems import bad_parameters
from worker.app import UPSTREAM_QUEUES
from worker.strict_json import unstorable

Q = TypeVar("Q", bound=BaseModel)
Row = TypeVar("Row")


def _known_upstream(name: str) -> str:
    if name not in UPSTREAM_QUEUES:
        raise ValueError(f"must be one of {', '.join(UPSTREAM_QUEUES)}")
    return name


UpstreamName = Annotated[
    str, AfterValidator(_known_upstream), WithJsonSchema({"type": "string", "enum": list(UPSTREAM_QUEUES)})
]


def _moment(text: Any) -> datetime:
    """pydantic would also take a number, and guess whether it counts seconds or milliseconds."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        pass
    raise ValueError("must be a time with its zone, such as 2026-12-01T00:00:00Z")


Moment = Annotated[datetime, BeforeValidator(_moment)]


class Query(BaseModel):
    """Parameters of one address. An empty one counts as not given; an unknown one is an error, not a wish ignored."""

    model_config = ConfigDict(extra="forbid")


class PageQuery(Query):
    limit: Annotated[int, Field(ge=1, description=f"Rows a page; more than {LONGEST_PAGE} is taken as that.")] = 100
    cursor: Annotated[UUID | None, Field(description="`next_cursor` of the page before.")] = None


def read_query(model: type[Q]) -> Q:
    """The parameters of this HTTP request. Raises Problem, 422, which names each that is wrong."""
    faults: dict[str, str] = {}
    given: dict[str, str] = {}
    for name, values in flask.request.args.lists():
        value = values[0]
        trouble = "given more than once" if len(values) > 1 else unstorable(name + value)
        if trouble:
            faults[name] = trouble
        elif value:
            given[name] = value
    if faults:
        raise bad_parameters(faults)
    try:
        return model.model_validate(given)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        raise bad_parameters({str(one["loc"][0]): message(one["msg"], one["type"]) for one in found}) from None


def message(text: str, kind: str) -> str:
    """pydantic's words, made to fit."""
    if kind == "extra_forbidden":
        return "not known here"
    return text.removeprefix("Value error, ")


def page(
    session: Session,
    statement: sa.Select[Row],
    key: InstrumentedAttribute[UUID],
    query: PageQuery,
    view: Callable[[Row], dict[str, Any]],
) -> dict[str, Any]:
    """One page of a list, newest first: `{"data", "next_cursor"}`."""
    limit = min(query.limit, LONGEST_PAGE)
    if query.cursor is not None:
        statement = statement.where(key < query.cursor)
    rows = [view(row) for row in session.scalars(statement.order_by(key.desc()).limit(limit + 1))]
    return {"data": rows[:limit], "next_cursor": rows[limit - 1]["id"] if len(rows) > limit else None}
