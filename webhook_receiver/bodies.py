"""Bodies: how much of one is read, of which media types, and as what."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, TypeVar, cast

import flask
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from webhook_receiver.context import here
from webhook_receiver.problems import Problem, invalid
from webhook_receiver.queries import message
from worker import strict_json
from worker.fault import Fault
from worker.strict_json import Unreadable, escape, printable

B = TypeVar("B", bound=BaseModel)

PIECE = 256 * 1024
"""Bytes read at a time from a body that goes to a file."""

IN_MEMORY = 1024 * 1024
"""Bytes of a body that are kept in memory; a longer one goes to the disk."""


def read_bytes(most: int) -> bytes:
    """The whole body. Raises 413 where it is longer than `most` bytes, whether or not it says so beforehand."""
    return b"".join(_pieces(most))


def _pieces(most: int) -> Iterator[bytes]:
    """The body, piece by piece. Raises 413 as soon as it is too long, 400 where it ends before its Content-Length, and
    Problem, 415, where it is compressed.

    Both are checked here. Werkzeug's own limit would cut off a chunked body without a word (3.1, `LimitedStream`),
    and it trusts a server that ends its stream to have seen the whole body, which granian has not (2.8).
    """
    _require_plain()
    expected = flask.request.content_length
    if expected is not None and expected > most:
        raise RequestEntityTooLarge
    length = 0
    while piece := flask.request.stream.read(min(PIECE, most + 1 - length)):
        length += len(piece)
        if length > most:
            raise RequestEntityTooLarge
        yield piece
    if expected is not None and length < expected:
        raise ClientDisconnected


def _require_plain() -> None:
    """Nothing is unpacked here: a small body could become a large one."""
    encoding = flask.request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        detail = "Send the body as it is, without Content-Encoding."
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "encoding_unknown", detail, headers={"Accept-Encoding": "identity"}
        )


def read_object() -> dict[str, Any]:
    """A JSON object. Raises Problem: 415, 413, 400 where it is not JSON, 422 where it is something else."""
    require_media_type({"application/json": None})
    raw = read_bytes(here().limits.single)
    try:
        value, faults = strict_json.parse(raw)
    except Unreadable as error:
        raise Problem(HTTPStatus.BAD_REQUEST, "unreadable", f"The body is {error}.") from None
    if faults:
        raise invalid(faults)
    if not isinstance(value, dict):
        raise invalid([Fault("", "must be an object")])
    return value


def read_model(model: type[B]) -> B:
    """A JSON object of this form. Raises Problem as `read_object` does, and 422 that names each wrong place."""
    try:
        return model.model_validate(read_object())
    except ValidationError as error:
        raise invalid(
            Fault(_pointer(one["loc"]), message(one["msg"], one["type"]))
            for one in error.errors(include_url=False, include_input=False, include_context=False)
        ) from None


def _pointer(place: tuple[int | str, ...]) -> str:
    return "".join(f"/{escape(printable(str(step)))}" for step in place)


def require_media_type(known: Mapping[str, Any]) -> str:
    """The body's media type, one of those known. Raises Problem, 415."""
    sent = flask.request.mimetype
    if sent not in known or flask.request.mimetype_params.get("charset", "utf-8").lower() not in ("utf-8", "utf8"):
        detail = f"Send a body in UTF-8 with Content-Type {' or '.join(known)}."
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "media_type_unknown", detail, headers={"Accept": ", ".join(known)}
        )
    return sent


@contextmanager
def spooled(most: int) -> Iterator[tuple[BinaryIO, str]]:
    """The body in a temporary file, at its beginning, and its SHA-256. Raises 413 as soon as it is too long."""
    digest = hashlib.sha256()
    with SpooledTemporaryFile(max_size=IN_MEMORY) as file:
        for piece in _pieces(most):
            digest.update(piece)
            file.write(piece)
        file.seek(0)
        yield cast(BinaryIO, file), digest.hexdigest()


def require_length(most: int) -> None:
    """Refuse, with 411, a body whose end cannot be told from its being cut off; with 413 one that is too long.

    The server hands us a chunked body that broke off as if it were whole (granian 2.8, `WSGIBody.fill_buffer`).
    JSON shows that by itself; half of a CSV file looks like a whole one, and half of it would be taken.
    """
    if "Transfer-Encoding" in flask.request.headers:
        for _ in _pieces(most):
            pass
        detail = "Send the body with its Content-Length: else a file that was cut off would look like a whole one."
        raise Problem(HTTPStatus.LENGTH_REQUIRED, "length_required", detail)
