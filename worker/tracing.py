"""Traces, where somebody takes them: one for each request, from the API to the delivery of its result.

A hint may be lost, and a request may wait for days, so a trace's id is not handed on: it follows from the request's id
(`worker.spans`), which every row has that tells of it. So nothing is stored, and a trace outlives every process.

Without an endpoint in OpenTelemetry's own variables nothing here does anything, and OpenTelemetry is not imported.
"""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from enum import Enum
from typing import Any, Protocol
from uuid import UUID

log = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

MOST_LINKS = 100
"""Of a set's span to the requests in it; a set may have a thousand."""


class Side(Enum):
    """Of what is traced: we are asked, we ask, or neither."""

    SERVER = "server"
    CLIENT = "client"
    INTERNAL = "internal"


class Span(Protocol):
    """What is under way."""

    @property
    def traceparent(self) -> str:
        """For whoever is called next (W3C Trace Context)."""

    def tell(self, **attributes: str | float | bool) -> None:
        """More about it. No token, no secret and no caller's number."""

    def fail(self, kind: str) -> None:
        """It went wrong; in a word, since a message may quote what it was given."""


class _Nothing:
    traceparent = ""

    def tell(self, **attributes: str | float | bool) -> None:
        pass

    def fail(self, kind: str) -> None:
        pass


NOTHING: Span = _Nothing()


class Spans(Protocol):
    """What `worker.spans` does."""

    def begin(self, name: str, of: UUID | None, side: Side, links: Sequence[UUID], about: Mapping[str, Any]) -> Any: ...

    def wrote(
        self, name: str, of: UUID, side: Side, times: tuple[datetime, datetime], about: Mapping[str, Any], *, root: bool
    ) -> None: ...

    def flush(self) -> None: ...


@contextmanager
def span(
    name: str, of: UUID | None = None, side: Side = Side.INTERNAL, links: Sequence[UUID] = (), **about: Any
) -> Iterator[Span]:
    """What is done in this block, as a part of the trace of the request `of`; else of the span that it is in, if any.

    What the block raises is noted by the name of its type.
    """
    spans = _spans()
    if spans is None:
        yield NOTHING
        return
    with spans.begin(name, of, side, links[:MOST_LINKS], about) as begun:
        yield begun


def wrote(
    name: str, of: UUID, side: Side, times: tuple[datetime, datetime], *, root: bool = False, **about: Any
) -> None:
    """What is over: from when to when it was. `root` is the one that all others of its trace are in."""
    spans = _spans()
    if spans is not None:
        spans.wrote(name, of, side, times, about, root=root)


def is_on() -> bool:
    """Whether somebody takes traces."""
    return _spans() is not None


def flush() -> None:
    """Send what is there, before this process ends."""
    spans = _made.get(os.getpid())
    if spans is not None:
        spans.flush()


_made: dict[int, Spans | None] = {}


def _spans() -> Spans | None:
    """This process's own: the thread that sends does not survive a fork."""
    pid = os.getpid()
    if pid not in _made:
        _made[pid] = _make()
    return _made[pid]


def _make() -> Spans | None:
    if not any(os.environ.get(name) for name in ENDPOINTS):
        return None
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or os.environ.get("OTEL_TRACES_EXPORTER") == "none":
        return None
    try:
        module = importlib.import_module("worker.spans")
    except ModuleNotFoundError as missing:
        log.warning("no traces: %s is not installed (pip install trunkline[otel])", missing.name)
        return None
    made: Spans = module.make()
    return made
