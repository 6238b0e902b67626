"""The OpenAPI 3.1 document, made from the declared operations and from the models that validate."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from webhook_receiver.operations import Answer, Operation
from webhook_receiver.problems import MEDIA_TYPE
from webhook_receiver.schemas import ProblemShape

_VARIABLE = re.compile(r"<(?:(uuid):)?(\w+)>")

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
Key = tuple[type[BaseModel], JsonSchemaMode]
"""Which model, and whether as it is taken or as it is given."""

ABOUT = """\
Orders phone numbers from several upstreams: never one twice, never one lost.

Every error is a problem (RFC 9457) with a stable `code`; `errors` names each wrong place. Lists are newest first,
a page at a time: pass `next_cursor` as `cursor`. Times are RFC 3339 in UTC, ids are UUIDv7.

A key may make so many requests a minute: `RateLimit-Policy` and `RateLimit` on every answer say how many, how many are
left and for how many seconds (draft-ietf-httpapi-ratelimit-headers-10). One more gets 429 with `Retry-After`.\
"""


def document(operations: Iterable[Operation], version: str) -> dict[str, Any]:
    """The whole document, ready for JSON."""
    operations = list(operations)
    schemas, definitions = models_json_schema(
        sorted(_models(operations), key=lambda key: (key[0].__name__, key[1])),
        ref_template="#/components/schemas/{model}",
    )
    writer = _Writer(
        {(model.__name__, mode): schema for (model, mode), schema in schemas.items()}, definitions.get("$defs", {})
    )
    paths: dict[str, Any] = {}
    for operation in operations:
        path = _VARIABLE.sub(r"{\2}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = writer.operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Trunkline", "version": version, "description": ABOUT},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": writer.used_definitions(paths), "securitySchemes": _SECURITY},
    }


_SECURITY = {
    "key": {"type": "http", "scheme": "bearer", "description": "An API key."},
    "password": {"type": "http", "scheme": "basic", "description": "For browsers: any name, an API key as password."},
}


def _models(operations: Iterable[Operation]) -> set[Key]:
    found: set[Key] = {(ProblemShape, "serialization")}
    for operation in operations:
        found |= {(answer.model, "serialization") for answer in operation.answers.values() if answer.model}
        found |= {(model, "validation") for model in operation.bodies.values() if model}
        found |= {(model, "validation") for model in (operation.query, operation.headers) if model}
    return found


class _Writer:
    """Writes operations with references into one set of definitions."""

    def __init__(self, schemas: Mapping[tuple[str, str], Schema], definitions: dict[str, Schema]) -> None:
        self._schemas = schemas
        self._definitions = definitions

    def operation(self, operation: Operation) -> Schema:
        summary, _, description = operation.text.partition("\n")
        written: Schema = {"operationId": operation.name, "summary": summary.rstrip(".")}
        if description.strip():
            written["description"] = description.strip()
        if not operation.is_public:
            written["security"] = [{"key": []}] + ([{"password": []}] if operation.for_browsers else [])
        if operation.scope is not None:
            written["description"] = f"{written.get('description', '')}\n\nScope: `{operation.scope}`.".strip()
        if parameters := self._parameters(operation):
            written["parameters"] = parameters
        if operation.bodies:
            content = {
                media: {"schema": self._schema(model, "validation")} for media, model in operation.bodies.items()
            }
            written["requestBody"] = {"required": operation.body_is_required, "content": content}
        written["responses"] = self._responses(operation)
        return written

    def _parameters(self, operation: Operation) -> list[Schema]:
        found: list[Schema] = [
            {"name": name, "in": "path", "required": True, "schema": _TEXT | ({"format": form} if form else {})}
            for form, name in _VARIABLE.findall(operation.path)
        ]
        for model, place in ((operation.query, "query"), (operation.headers, "header")):
            if model is not None:
                found += self._parameters_of(model, place)
        return found

    def _parameters_of(self, model: type[BaseModel], place: str) -> list[Schema]:
        schema = self._definitions[self._schemas[model.__name__, "validation"]["$ref"].rpartition("/")[2]]
        required = schema.get("required", [])
        found = []
        for name, one in schema["properties"].items():
            parameter = {"name": name, "in": place, "required": name in required, **_split(_without_null(one))}
            if place == "query" and name not in required:
                parameter["allowEmptyValue"] = True  # `read_query` takes an empty one for none
            found.append(parameter)
        return found

    def _responses(self, operation: Operation) -> Schema:
        responses = {str(status): self._answer(status, answer) for status, answer in operation.answers.items()}
        problem = {MEDIA_TYPE: {"schema": self._schema(ProblemShape, "serialization")}}
        for status in sorted(_problems(operation)):
            responses[str(status)] = {"description": HTTPStatus(status).phrase, "content": problem}
        return responses

    def _answer(self, status: int, answer: Answer) -> Schema:
        written: Schema = {
            "description": HTTPStatus(status).phrase,
            "content": {answer.media_type: {"schema": self._schema(answer.model, "serialization")}},
        }
        if answer.location:
            written["headers"] = {"Location": {"schema": {"type": "string"}, "description": "Where to look it up."}}
        return written

    def _schema(self, model: type[BaseModel] | None, mode: JsonSchemaMode) -> Schema:
        return {"type": "string"} if model is None else self._schemas[model.__name__, mode]

    def used_definitions(self, paths: Schema) -> dict[str, Schema]:
        """Those that something refers to: the models of parameters are written out and stay behind."""
        used: set[str] = set()
        waiting = _references(paths)
        while waiting:
            name = waiting.pop()
            if name not in used:
                used.add(name)
                waiting |= _references(self._definitions[name])
        return {name: self._definitions[name] for name in sorted(used)}


def _problems(operation: Operation) -> set[int]:
    """Which errors an operation may answer with, by what it takes."""
    found = {*operation.problems, 500, 503}
    if not operation.is_public:
        found |= {401, 403} | ({429} if operation.is_limited else set())
    if "<" in operation.path:
        found.add(404)
    if operation.bodies:
        found |= {400, 413, 415, 422}
    if operation.query is not None or operation.headers is not None:
        found.add(422)
    return found


def _without_null(schema: Schema) -> Schema:
    """A parameter that is not given has no value: null is not a way to say so in a query."""
    options: list[Schema] = [option for option in schema.get("anyOf", []) if option != {"type": "null"}]
    rest = {name: value for name, value in schema.items() if name != "anyOf"}
    if rest.get("default", ...) is None:
        del rest["default"]
    if len(options) == 1:
        return rest | options[0]
    return rest | ({"anyOf": options} if options else {})


def _split(schema: Schema) -> Schema:
    schema = {name: value for name, value in schema.items() if name != "title"}
    description = schema.pop("description", None)
    return {"schema": schema} | ({"description": description} if description else {})


def _references(value: Any) -> set[str]:
    found: set[str] = set()
    if isinstance(value, dict):
        if isinstance(target := value.get("$ref"), str):
            found.add(target.rpartition("/")[2])
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            found |= _references(item)
    return found
