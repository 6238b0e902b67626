"""Spans by OpenTelemetry: the one module that imports it, and is imported only where somebody takes traces.

The id of a request's trace, and that of its outermost span, are digests of the request's id. Not the id itself, though
it has as many bits: samplers take a trace's last 64 bits for a random number, and those of a UUID begin with `10`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any
from uuid import UUID

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags

from worker.tracing import Side

PREFIX = "trunkline."
"""Of our own attributes; those with a dot are OpenTelemetry's, by its conventions."""

_KINDS = {Side.SERVER: SpanKind.SERVER, Side.CLIENT: SpanKind.CLIENT, Side.INTERNAL: SpanKind.INTERNAL}

_root: ContextVar[tuple[int, int] | None] = ContextVar("_root", default=None)
"""The trace and the span that is made next, where it is the outermost of its trace."""


def ids_of(request_id: UUID) -> tuple[int, int]:
    """The trace of a request, and its outermost span."""
    digest = hashlib.sha256(b"trunkline-trace:" + request_id.bytes).digest()
    return int.from_bytes(digest[:16]), int.from_bytes(digest[16:24])


class _Ids(RandomIdGenerator):
    """Random ones, but for an outermost span."""

    def generate_trace_id(self) -> int:
        ids = _root.get()
        return super().generate_trace_id() if ids is None else ids[0]

    def generate_span_id(self) -> int:
        ids = _root.get()
        return super().generate_span_id() if ids is None else ids[1]


class Begun:
    """A span that is under way."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    @property
    def traceparent(self) -> str:
        known = self._span.get_span_context()
        return f"00-{known.trace_id:032x}-{known.span_id:016x}-{known.trace_flags:02x}"

    def tell(self, **attributes: str | float | bool) -> None:
        self._span.set_attributes(_named(attributes))

    def fail(self, kind: str) -> None:
        self._span.set_status(StatusCode.ERROR, kind)
        self._span.set_attribute("error.type", kind)


class Spans:
    """What `worker.tracing` promises."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("trunkline")

    @contextmanager
    def begin(
        self, name: str, of: UUID | None, side: Side, links: Sequence[UUID], about: Mapping[str, Any]
    ) -> Iterator[Begun]:
        with self._tracer.start_as_current_span(
            name,
            None if of is None else trace.set_span_in_context(NonRecordingSpan(self._outermost(of))),
            kind=_KINDS[side],
            attributes=_named(about),
            links=[Link(self._outermost(one)) for one in links],
            record_exception=False,  # its message and its traceback may quote what nobody may read
            set_status_on_exception=False,
        ) as span:
            begun = Begun(span)
            try:
                yield begun
            except BaseException as error:
                begun.fail(type(error).__name__)
                raise

    def wrote(
        self, name: str, of: UUID, side: Side, times: tuple[datetime, datetime], about: Mapping[str, Any], *, root: bool
    ) -> None:
        context = trace.set_span_in_context(
            NonRecordingSpan(trace.INVALID_SPAN_CONTEXT if root else self._outermost(of))
        )
        token = _root.set(ids_of(of) if root else None)
        began, ended = (int(moment.timestamp() * 1_000_000) * 1_000 for moment in times)
        try:
            span = self._tracer.start_span(name, context, kind=_KINDS[side], attributes=_named(about), start_time=began)
        finally:
            _root.reset(token)
        span.end(max(began, ended))

    def flush(self) -> None:
        self._provider.force_flush(5_000)

    def _outermost(self, request_id: UUID) -> SpanContext:
        """As the sampler decides about it, which for one trace is always the same."""
        trace_id, span_id = ids_of(request_id)
        decision = self._provider.sampler.should_sample(None, trace_id, "request").decision
        flags = TraceFlags(int(decision is Decision.RECORD_AND_SAMPLE))
        return SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags)


def _named(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Ids as text; without what there is none of."""
    return {
        _OPEN_TELEMETRYS.get(name, PREFIX + name): value if isinstance(value, str | int | float) else str(value)
        for name, value in attributes.items()
        if value is not None
    }


_OPEN_TELEMETRYS = {
    "status": "http.response.status_code",
    "method": "http.request.method",
    "route": "http.route",
    "template": "url.template",
    "host": "server.address",
}


def make(exporter: SpanExporter | None = None) -> Spans:
    """Sends to where OpenTelemetry's variables say, in the name that they say."""
    provider = TracerProvider(
        resource=Resource.create({"service.name": "trunkline"}).merge(Resource.create()), id_generator=_Ids()
    )
    provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
    return Spans(provider)
