"""Where somebody takes traces, a request is one, whichever processes work on it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from uuid import UUID

import pytest

from tests.chaos.stack import up
from tests.collector import Seen, collector
from tests.sandbox import eventually

pytestmark = pytest.mark.timeout(600)

DEALER = {
    "upstream": "avanser",
    "custom_id": "dealer-1",
    "spec": {
        "name": "Dealer 1",
        "service_number": {"country": "AU", "search_type": "szu", "szu": "sydney"},
        "service": {"type": "transfer", "answer_point": "61401600001"},
    },
}
"""A request, with a number that nobody may read in a trace."""


def test_a_request_is_one_trace_from_the_api_to_the_delivery(tmp_path: Path) -> None:
    with collector() as collecting, up(tmp_path / "home", **collecting.environment) as running:
        running.deliver_to_sandbox()
        answer = running.client.post("/v1/requests", json=DEALER)
        assert answer.status_code == 202, answer.text
        id_ = str(answer.json()["id"])
        trace = _trace(id_)
        eventually(lambda: any(span.name == "deliver" for span in collecting.of(trace)), within=60)
        eventually(lambda: running.told() >= {id_}, within=60)
        spans = eventually(lambda: _whole(collecting.of(trace)), within=60)

    (root,) = (span for span in spans if not span.parent)
    names = {span.name: span for span in spans}
    assert root.name == "request"
    assert root.about["trunkline.request_id"] == id_
    assert names["submit"].parent == names["read"].parent == names["deliver"].parent == root.id
    asked = [span for span in spans if span.parent == names["submit"].id]
    assert {span.about["http.response.status_code"] for span in asked} == {200}
    assert [span.name for span in asked] == ["GET /numbers", "POST /requests"]
    assert names["POST /v1/requests"].about["http.response.status_code"] == 202
    assert names["POST /callbacks/<upstream>/<token>"].about["trunkline.upstream"] == "avanser"
    assert names["deliver"].about["http.response.status_code"] == 204
    assert not any(span.is_error for span in spans)
    assert {span.service for span in spans} == {"trunkline-test"}
    for secret in (b"61401600001", running.key.encode(), b"whsec_"):
        assert secret not in collecting.raw


def _trace(request_id: str) -> str:
    return hashlib.sha256(b"trunkline-trace:" + UUID(request_id).bytes).digest()[:16].hex()


def _whole(spans: list[Seen]) -> list[Seen]:
    """All of them, once each process has sent its own."""
    names = {span.name for span in spans}
    parts = {"request", "submit", "read", "deliver", "POST /v1/requests", "POST /callbacks/<upstream>/<token>"}
    return spans if names >= parts else []
