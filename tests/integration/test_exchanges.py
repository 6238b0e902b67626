"""What was said on the wire about an order that did not simply go well stands in its story, masked."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.engine import Engine

from tests.avanser_client import LONG, TRANSFER, envelope, order, told
from tests.factory import make_requests
from tests.working import ScriptedUpstream, history
from worker import workflow
from worker.runtime import Runtime
from worker.upstreams.avanser.client import AvanserClient
from worker.upstreams.base import Accepted, Answer, Order, OutcomeUnknown, Rejected
from worker.upstreams.exchange import MOST_BYTES, MOST_KEPT, Exchange, exchanges, note, view

SAID = Exchange("POST", "/requests", {"answer_point": "61401603859"}, 500, b"an error of theirs")


def test_an_order_is_kept_without_its_tokens_and_without_whole_numbers() -> None:
    heard: list[Exchange] = []
    asked = order()

    async def ask(client: AvanserClient) -> Any:
        exchanges.set(heard)
        return await client.submit(asked, LONG)

    refusal = envelope({"code": 422, "message": "no such area for 61401603859"})
    told(ask, ("422 Unprocessable Entity", refusal))
    kept = view(heard)[-1] if heard[-1].method == "POST" else view(heard)[-2]
    assert (kept["request"], kept["status"]) == ("POST /requests", 422)
    assert "no such area" in kept["answer"]
    everything = str(kept)
    assert asked.callback_uri.rpartition("/")[2] not in everything
    assert TRANSFER["answer_point"] not in everything
    assert "…859" in everything


def test_no_answer_is_told_as_such() -> None:
    heard: list[Exchange] = []

    async def ask(client: AvanserClient) -> Any:
        exchanges.set(heard)
        with pytest.raises(OutcomeUnknown):
            await client.submit(order(), LONG)

    told(ask)
    assert [one["status"] for one in view(heard)][-1] is None


def test_no_more_is_kept_than_a_person_reads() -> None:
    many = [Exchange("GET", f"/{place}", None, 200, b"word " * MOST_BYTES) for place in range(9)]
    kept = view(many)
    assert [one["request"] for one in kept] == ["GET /6", "GET /7", "GET /8"]
    assert len(kept) == MOST_KEPT
    assert all(len(one["answer"]) <= MOST_BYTES + 1 for one in kept)


@pytest.mark.parametrize(
    ("answer", "is_kept"), [(Rejected(detail="no"), True), (OutcomeUnknown("no answer"), True), (Accepted(), False)]
)
def test_it_stands_in_the_story_of_what_did_not_simply_go_well(
    runtime: Runtime, engine: Engine, client: ScriptedUpstream, answer: Answer | Exception, is_kept: bool
) -> None:
    def say(_: Order) -> Answer:
        note(SAID)
        if isinstance(answer, Exception):
            raise answer
        return answer

    (id_,) = make_requests(engine)
    client.on_submit = say
    workflow.advance(runtime, client.name)
    attempts = [entry for entry in history(engine, id_) if entry["type"] == "attempt"]
    assert [entry.get("exchanges", []) == view([SAID]) for entry in attempts] == [is_kept]
