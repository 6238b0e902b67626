"""The Telmetrics client at the simulated Telmetrics, and what that reports of its own accord."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from models.request import Kind
from tests import telmetrics_page
from tests.catcher import Catcher
from tests.sandbox import SandboxServer, eventually
from tests.telmetrics_vendor import LONG, order, with_client
from worker.upstreams import DIALECTS
from worker.upstreams.base import Completed, Incoming, NotFound, Order
from worker.upstreams.telmetrics.client import TelmetricsClient


@pytest.fixture
def sandbox(server: SandboxServer) -> SandboxServer:
    server.reset(telmetrics={"rename": "always"})
    return server


def as_received(catcher: Catcher) -> Incoming:
    caught = eventually(lambda: list(catcher.caught))[0]
    catcher.caught.clear()
    return Incoming(caught.method, caught.path.partition("?")[2], caught.headers.get("Content-Type"), caught.body)


def do(sandbox: SandboxServer, *asked: Order) -> list[Any]:
    """All of them at once."""

    async def all_at_once(client: TelmetricsClient) -> list[Any]:
        return await asyncio.gather(*(client.submit(one, LONG) for one in asked))

    return with_client(sandbox.telmetrics_url, all_at_once)


def test_a_number_is_ordered_changed_renamed_and_given_up_under_one_key(sandbox: SandboxServer) -> None:
    made = order()
    (bought,) = do(sandbox, made)
    about = {"number": bought.number, "number_reference": bought.reference}
    change, name = order(Kind.UPDATE, **about), order(Kind.UPDATE, spec={"name": "XYZ"}, **about)
    for asked in (change, name):
        assert do(sandbox, asked) == [Completed(bought.number, bought.reference)]
        look = with_client(sandbox.telmetrics_url, lambda client, asked=asked: client.look_up(asked, LONG))  # type: ignore[misc]
        assert look == Completed(bought.number, bought.reference)
    (owned,) = with_client(sandbox.telmetrics_url, lambda client: client.owned(LONG))
    assert (owned.number, owned.reference, owned.order) == (bought.number, bought.reference, made.request_id)
    assert re.fullmatch(r"XYZ \d+", str(owned.name)), "renamed by Telmetrics, and its key still in front"

    assert do(sandbox, order(Kind.RELEASE, **about)) == [Completed(bought.number, bought.reference)]
    assert with_client(sandbox.telmetrics_url, lambda client: client.owned(LONG)) == []
    assert [entry["kind"] for entry in sandbox.ledger()] == ["provision", "update", "update", "release"]


def test_orders_at_the_same_time_are_told_apart_by_their_keys(sandbox: SandboxServer) -> None:
    orders = [order() for _ in range(40)]
    answers = do(sandbox, *orders)

    async def look(client: TelmetricsClient) -> list[Any]:
        return await asyncio.gather(*(client.look_up(asked, LONG) for asked in [*orders, order()]))

    assert with_client(sandbox.telmetrics_url, look) == [*answers, NotFound()]
    assert len({answer.number for answer in answers}) == 40


def test_a_call_is_read_as_the_webhook_of_the_portal_brings_it(sandbox: SandboxServer, catcher: Catcher) -> None:
    sandbox.portal("telmetrics", calls=f"{catcher.url}/calls", messages=f"{catcher.url}/sms")
    (bought,) = do(sandbox, order())
    digits = bought.number.removeprefix("+1")
    sandbox.call(digits, upstream="telmetrics", calls=[{"TelmetricsId": 1}, {"TelmetricsId": 2, "CallDuration": 34}])
    first, second = DIALECTS["telmetrics"].read_calls(as_received(catcher))
    assert (first.reference, second.reference, second.duration) == ("1", "2", 34)
    assert (first.number, first.caller, first.answer_point) == (bought.number, "+19055802958", "+14165551234")
    assert first.started_at is not None

    sandbox.message(digits, upstream="telmetrics", Message="Hello")
    (said,) = DIALECTS["telmetrics"].read_messages(as_received(catcher))
    assert (said.number, said.sender, said.text) == (bought.number, "+19055802958", "Hello")


def test_a_number_with_a_webhook_of_its_own_sends_its_messages_to_us(sandbox: SandboxServer, catcher: Catcher) -> None:
    spec = telmetrics_page.spec("tollfree") | {"sms_routes": {"route_type": "Webhook"}}
    asked = order(public_url=catcher.url, spec=spec)
    (bought,) = do(sandbox, asked)
    sandbox.message(bought.number.removeprefix("+1"), upstream="telmetrics", Message="Hello")
    path = eventually(lambda: [caught.path for caught in catcher.caught])[0]
    assert f"{catcher.url}{path}" == asked.sms_uri
    (said,) = DIALECTS["telmetrics"].read_messages(as_received(catcher))
    assert (said.number, said.text) == (bought.number, "Hello")
