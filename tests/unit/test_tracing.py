"""Traces: nothing without an endpoint; with one, a trace whose id follows from the request's."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from uuid import UUID

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from models.base import new_id, utc_now
from worker import spans, tracing
from worker.tracing import ENDPOINTS, Side
from worker.upstreams.ask import template

REQUEST = UUID("01a20610-c03c-734e-9030-04f14373ec91")

ASK = """
import sys
from worker import tracing
with tracing.span("deliver") as span:
    print(tracing.is_on(), repr(span.traceparent), any(name.startswith("opentelemetry") for name in sys.modules))
"""


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_where_nobody_takes_traces_opentelemetry_is_not_even_imported(environment: dict[str, str]) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-c", ASK], env=clean | environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False '' False"


def test_without_the_extra_one_line_says_so_and_work_goes_on() -> None:
    hidden = f"import sys; sys.modules['opentelemetry'] = None\n{ASK}"
    environment = {**os.environ, ENDPOINTS[0]: "http://127.0.0.1:1"}
    done = subprocess.run(
        [sys.executable, "-c", hidden], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.startswith("False ''")
    assert "pip install trunkline[otel]" in done.stderr


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    monkeypatch.setitem(tracing._made, os.getpid(), spans.make(exporter))
    return exporter


def exported(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    tracing.flush()
    return {span.name: span for span in exporter.get_finished_spans()}


def test_processes_that_know_nothing_but_the_requests_id_write_one_trace(exporter: InMemorySpanExporter) -> None:
    with tracing.span("deliver", REQUEST, Side.CLIENT, attempt=2, batch_id=None) as span:
        traceparent = span.traceparent
    times = utc_now() - timedelta(seconds=5), utc_now()
    tracing.wrote("request", REQUEST, Side.INTERNAL, times, root=True, request_id=REQUEST)
    found = exported(exporter)
    root, deliver = found["request"], found["deliver"]
    assert root.parent is None
    assert deliver.parent is not None
    assert (deliver.parent.trace_id, deliver.parent.span_id) == (root.context.trace_id, root.context.span_id)
    assert deliver.context.span_id != root.context.span_id
    assert traceparent == f"00-{deliver.context.trace_id:032x}-{deliver.context.span_id:016x}-01"
    assert dict(deliver.attributes or {}) == {"trunkline.attempt": 2}
    assert dict(root.attributes or {}) == {"trunkline.request_id": str(REQUEST)}
    assert root.start_time is not None
    assert root.end_time is not None
    assert root.end_time - root.start_time == pytest.approx(5e9, rel=0.01)


def test_a_set_is_linked_to_at_most_a_hundred_requests_of_it(exporter: InMemorySpanExporter) -> None:
    ids = [new_id() for _ in range(101)]
    with tracing.span("set", links=ids):
        pass
    linked = [link.context.trace_id for link in exported(exporter)["set"].links]
    assert linked == [spans.ids_of(one)[0] for one in ids[:100]]


def test_an_error_is_told_by_its_kind_and_never_by_its_message(exporter: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="canary"), tracing.span("submit", REQUEST):
        raise ValueError("canary-of-a-message")
    span = exported(exporter)["submit"]
    assert span.status.description == "ValueError"
    assert "canary" not in span.to_json()


def test_a_sampler_takes_a_whole_trace_or_nothing_of_it_and_its_share_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    exporter = InMemorySpanExporter()
    monkeypatch.setitem(tracing._made, os.getpid(), spans.make(exporter))
    ids = [new_id() for _ in range(400)]
    for id_ in ids:
        tracing.wrote("request", id_, Side.INTERNAL, (utc_now(), utc_now()), root=True)
        with tracing.span("submit", id_), tracing.span("POST"):
            pass
    tracing.flush()
    counts: dict[int, int] = {}
    for span in exporter.get_finished_spans():
        counts[span.context.trace_id] = counts.get(span.context.trace_id, 0) + 1
    assert set(counts.values()) == {3}
    assert 120 < len(counts) < 280


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/service/add", "/service/add"),
        ("/v1/numbers/61280740801/assignment", "/v1/numbers/{}/assignment"),
        (f"/v2/x/{REQUEST}", "/v2/x/{}"),
        ("/numbers/abcdefghijklmnopqrstuvwxyzabcdefghijkl", "/numbers/{}"),
        ("", ""),
    ],
)
def test_a_path_is_shown_without_ids_and_numbers(path: str, shown: str) -> None:
    assert template(path) == shown
