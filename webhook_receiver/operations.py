"""A route of the API, declared once: what it takes, who may, and what it answers.

The declaration guards the view (key, scope, parameters) and is what the OpenAPI document is made from, so the
two cannot differ.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import flask
from flask.typing import ResponseReturnValue
from pydantic import BaseModel

from models.requester import Caller, Scope
from webhook_receiver.auth import authenticate
from webhook_receiver.queries import Query, read_query

View = TypeVar("View", bound=Callable[..., ResponseReturnValue])

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """A good answer. `model` is None for a text; `location` tells that it carries that header."""

    model: type[BaseModel] | None
    media_type: str = JSON
    location: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """`bodies` maps each media type that is taken to the model of it, None for a text. `scope` None: any key."""

    method: str
    path: str
    scope: Scope | None
    answers: Mapping[int, Answer]
    query: type[Query] | None = None
    bodies: Mapping[str, type[BaseModel] | None] = field(default_factory=dict)
    body_is_required: bool = True
    headers: type[BaseModel] | None = None
    problems: Sequence[int] = ()  # further ones, besides those that follow from the above
    is_public: bool = False
    for_browsers: bool = False
    is_limited: bool = True  # whether it counts in the key's requests a minute
    name: str = ""
    text: str = ""


class Api(flask.Blueprint):
    """A group of routes that belong together."""

    def __init__(self, name: str) -> None:
        super().__init__(name, __name__)
        self.operations: list[Operation] = []

    def operation(
        self, method: str, path: str, scope: Scope | None, answers: Mapping[int, Answer], **more: Any
    ) -> Callable[[View], View]:
        """Declare the view below. It gets the caller, then `query` where there is one, and the path's variables."""

        def declare(view: View) -> View:
            operation = Operation(
                method, path, scope, answers, name=view.__name__, text=inspect.getdoc(view) or "", **more
            )
            self.operations.append(operation)
            self.add_url_rule(path, view.__name__, _guarded(operation, view), methods=[method])
            return view

        return declare


def _caller(operation: Operation) -> Caller:
    return authenticate(operation.scope, for_browsers=operation.for_browsers, is_limited=operation.is_limited)


def _guarded(operation: Operation, view: Callable[..., ResponseReturnValue]) -> Callable[..., ResponseReturnValue]:
    @functools.wraps(view)
    def guarded(**variables: Any) -> ResponseReturnValue:
        caller = () if operation.is_public else (_caller(operation),)
        if operation.query is not None:
            variables["query"] = read_query(operation.query)
        return view(*caller, **variables)

    return guarded
