"""Calls and messages find their owner: whoever held the number at that time, told once, whatever came when."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from sqlalchemy.engine import Engine

from models.base import new_id, utc_now
from models.call import Call
from models.delivery import Delivery
from models.endpoint import EventType
from models.inbox import Received
from models.message import Message
from models.request import Kind
from tests.factory import make_endpoint, make_requester
from tests.holding import PERTH, SYDNEY, ask, complete, done
from tests.receiver import Api
from tests.working import every, together, until_due
from worker.fault import Fault
from worker.inbox import NO_REQUEST, NOT_OURS, PLACED_WITHIN, read_inbox
from worker.runtime import Runtime
from worker.upstreams import DIALECTS
from worker.upstreams.base import Dialect, FinishedCall, InboundMessage, Incoming

NAME = "telmetrics"

CALLER = "+61400000001"
HOUR = timedelta(hours=1)


class LineDialect(Dialect):
    """Reads an event a line: its reference, its number and its time, each of the last two `-` where it is not told."""

    name = NAME

    def check(self, kind: Kind, spec: Mapping[str, Any]) -> list[Fault]:
        return []

    def read_calls(self, incoming: Incoming) -> list[FinishedCall]:
        return [
            FinishedCall(reference, number, CALLER, None, "answered", 61, moment, None)
            for reference, number, moment in _lines(incoming)
        ]

    def read_messages(self, incoming: Incoming) -> list[InboundMessage]:
        return [
            InboundMessage(reference, number, CALLER, "Is it still for sale?", moment, None)
            for reference, number, moment in _lines(incoming)
        ]


def _lines(incoming: Incoming) -> list[tuple[str, str | None, datetime | None]]:
    words = [line.split() for line in incoming.body.decode().splitlines()]
    return [
        (reference, None if number == "-" else number, None if moment == "-" else datetime.fromisoformat(moment))
        for reference, number, moment in words
    ]


@pytest.fixture(autouse=True)
def _reads_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DIALECTS, NAME, LineDialect())


def line(reference: str, number: str | None = SYDNEY, at: datetime | None = None) -> str:
    return f"{reference} {number or '-'} {at.isoformat() if at else '-'}"


def came(api: Api, uri: str, *lines: str) -> None:
    """The upstream reports to an address that we gave it."""
    assert api.post(urlsplit(uri).path, key=None, data="\n".join(lines).encode()).status_code == 200


def reported(api: Api, runtime: Runtime, *lines: str, what: str = "calls") -> None:
    """To the address in the vendor's portal; and read."""
    came(api, runtime.uris.of_portal(NAME)[what], *lines)
    read_inbox(runtime)


def held(engine: Engine, requester: str = "default", ago: timedelta = HOUR, **fields: Any) -> UUID:
    """The request that bought Sydney's number so long ago."""
    return done(engine, requester=requester, at=utc_now() - ago, upstream=NAME, **fields)


def released(engine: Engine, ago: timedelta) -> None:
    done(engine, Kind.RELEASE, at=utc_now() - ago, upstream=NAME)


def told(engine: Engine) -> list[tuple[str, str]]:
    """What requesters were told of calls and messages: the type, and the upstream's reference of it."""
    return [
        (one.type, one.data["upstream_reference"])
        for one in every(engine, Delivery)
        if one.type in ("call.finished", "message.received")
    ]


def problems(engine: Engine) -> list[str | None]:
    return [row.problem for row in every(engine, Received)]


@pytest.fixture
def endpoint(engine: Engine) -> None:
    make_endpoint(engine, make_requester(engine), "https://crm.test")


def test_a_call_reported_to_the_portals_address_belongs_to_the_request_that_bought_the_number(
    api: Api, runtime: Runtime, engine: Engine, endpoint: None
) -> None:
    id_ = held(engine)
    reported(api, runtime, line("17"))
    (call,) = every(engine, Call)
    assert (call.number, call.request_id, call.requester_id) == (SYDNEY, id_, make_requester(engine).id)
    (delivery,) = (one for one in every(engine, Delivery) if one.type == "call.finished")
    assert (delivery.request_id, delivery.data["request"], delivery.data["id"]) == (id_, str(id_), str(call.id))
    assert delivery.data["caller"] == CALLER
    assert problems(engine) == [None]


def test_a_message_is_kept_and_told_alike(api: Api, runtime: Runtime, engine: Engine, endpoint: None) -> None:
    id_ = held(engine)
    reported(api, runtime, line("m-1"), what="messages")
    (message,) = every(engine, Message)
    assert (message.number, message.request_id, message.sender) == (SYDNEY, id_, CALLER)
    assert message.text == "Is it still for sale?"
    (delivery,) = (one for one in every(engine, Delivery) if one.type == "message.received")
    assert (delivery.data["id"], delivery.data["text"]) == (str(message.id), message.text)
    assert every(engine, Call) == []


@pytest.mark.parametrize(("what", "table"), [("calls", Call), ("messages", Message)])
def test_each_event_is_of_whoever_held_the_number_then(
    api: Api, runtime: Runtime, engine: Engine, what: str, table: type[Any]
) -> None:
    now = utc_now()
    first = held(engine, ago=20 * HOUR)
    released(engine, 12 * HOUR)
    second = held(engine, "other", 4 * HOUR)
    moments = {"before": 18, "last": 13, "between": 8, "after": 3}
    # In one report, the newest first: neither the order nor the company that they come in matters.
    reported(api, runtime, *(line(name, at=now - ago * HOUR) for name, ago in reversed(moments.items())), what=what)
    mine, theirs = make_requester(engine).id, make_requester(engine, "other").id
    assert {row.upstream_reference: (row.request_id, row.requester_id) for row in every(engine, table)} == {
        "before": (first, mine),
        "last": (first, mine),
        "after": (second, theirs),
    }
    assert problems(engine) == [NOT_OURS.format(SYDNEY)]


def test_a_call_that_began_before_the_release_and_is_told_after_it_is_of_the_one_who_had_the_number(
    api: Api, runtime: Runtime, engine: Engine
) -> None:
    now = utc_now()
    id_ = held(engine, ago=5 * HOUR)
    released(engine, HOUR)
    reported(api, runtime, line("17", at=now - 2 * HOUR))
    assert [call.request_id for call in every(engine, Call)] == [id_]


def test_an_event_that_tells_no_time_or_one_to_come_happened_when_we_were_told(
    api: Api, runtime: Runtime, engine: Engine
) -> None:
    now = utc_now()
    held(engine, ago=5 * HOUR)
    released(engine, 3 * HOUR)
    second = held(engine, "other", 2 * HOUR)
    reported(api, runtime, line("timeless"), line("to-come", at=now + 999 * HOUR))
    assert [call.request_id for call in every(engine, Call)] == [second, second]


def test_an_event_that_claims_a_time_to_come_is_not_of_who_gets_the_number_by_then(
    api: Api, runtime: Runtime, engine: Engine
) -> None:
    reported(api, runtime, line("to-come", at=utc_now() + 999 * HOUR))
    done(engine, at=utc_now() + 2 * HOUR, upstream=NAME)
    until_due(engine)
    read_inbox(runtime)
    assert every(engine, Call) == []
    assert problems(engine) == [NOT_OURS.format(SYDNEY)]


def test_an_event_that_is_quicker_than_the_orders_answer_is_placed_when_the_number_is_ours(
    api: Api, runtime: Runtime, engine: Engine, endpoint: None
) -> None:
    id_ = ask(engine, upstream=NAME)
    reported(api, runtime, line("17"))
    (row,) = every(engine, Received)
    assert (row.problem, row.applied_at) == (NOT_OURS.format(SYDNEY), None)
    assert row.due_at is not None
    assert told(engine) == []
    complete(engine, id_, at=utc_now())
    until_due(engine)
    read_inbox(runtime)
    (row,) = every(engine, Received)
    assert (row.problem, row.due_at) == (None, None)
    assert row.applied_at is not None
    assert [call.request_id for call in every(engine, Call)] == [id_]
    assert told(engine) == [("call.finished", "17")]


@pytest.mark.parametrize("number", [PERTH, None])
def test_an_event_on_no_number_of_ours_is_read_a_few_times_and_stays_visible(
    api: Api, runtime: Runtime, engine: Engine, number: str | None
) -> None:
    held(engine)
    reported(api, runtime, line("17", number))
    for _ in range(PLACED_WITHIN * 2):
        until_due(engine)
        read_inbox(runtime)
    (row,) = every(engine, Received)
    assert (row.attempts, row.due_at, row.applied_at) == (PLACED_WITHIN, None, None)
    assert row.problem == NOT_OURS.format(number or "it names no number")
    assert every(engine, Call) == []


def test_of_two_calls_in_one_report_the_known_one_is_told_at_once_and_the_other_when_it_is_known(
    api: Api, runtime: Runtime, engine: Engine, endpoint: None
) -> None:
    known, later = held(engine), ask(engine, upstream=NAME)
    reported(api, runtime, line("17"), line("18", PERTH))
    assert told(engine) == [("call.finished", "17")]
    assert problems(engine) == [NOT_OURS.format(PERTH)]
    complete(engine, later, number=PERTH, at=utc_now())
    until_due(engine)
    read_inbox(runtime)
    assert told(engine) == [("call.finished", "17"), ("call.finished", "18")]
    assert [(call.upstream_reference, call.request_id) for call in every(engine, Call)] == [
        ("17", known),
        ("18", later),
    ]
    assert problems(engine) == [None]


def test_what_is_told_again_in_other_company_is_kept_and_told_once(
    api: Api, runtime: Runtime, engine: Engine, endpoint: None
) -> None:
    held(engine)
    for lines in (["17"], ["17", "18"], ["18", "17"], ["18"], ["17"]):
        reported(api, runtime, *map(line, lines))
    reported(api, runtime, line("17"), line("17", at=utc_now()), what="messages")
    assert sorted(told(engine)) == [
        ("call.finished", "17"),
        ("call.finished", "18"),
        ("message.received", "17"),
    ]
    assert [call.upstream_reference for call in every(engine, Call)] == ["17", "18"]
    assert set(problems(engine)) == {None}


def test_readers_at_the_same_time_keep_and_tell_each_event_once(
    api: Api, runtime: Runtime, engine: Engine, endpoint: None
) -> None:
    held(engine)
    uri = runtime.uris.of_portal(NAME)["calls"]
    for place in range(30):
        came(api, uri, *(line(str(reference)) for reference in range(place, place + 5)))
    together(*(lambda: [read_inbox(runtime) for _ in range(3)] for _ in range(3)))
    assert sorted(reference for _, reference in told(engine)) == sorted(str(reference) for reference in range(34))
    assert set(problems(engine)) == {None}


# Where it is told


def test_an_event_is_told_where_the_results_of_the_number_go(
    api: Api, runtime: Runtime, engine: Engine, endpoint: None
) -> None:
    held(engine, notify_url="https://once.test")
    reported(api, runtime, line("17"))
    (delivery,) = (one for one in every(engine, Delivery) if one.type == "call.finished")
    assert (delivery.url, delivery.endpoint_id) == ("https://once.test", None)


def test_an_endpoint_is_told_only_of_what_it_takes(api: Api, runtime: Runtime, engine: Engine) -> None:
    owner = make_requester(engine)
    calls = make_endpoint(engine, owner, "https://calls.test", EventType.CALL_FINISHED, name="calls")
    messages = make_endpoint(engine, owner, "https://messages.test", EventType.MESSAGE_RECEIVED, name="messages")
    make_endpoint(engine, make_requester(engine, "other"), "https://other.test", name="theirs")
    held(engine)
    reported(api, runtime, line("17"))
    reported(api, runtime, line("m-1"), what="messages")
    assert [(one.type, one.endpoint_id) for one in every(engine, Delivery) if one.endpoint_id] == [
        ("call.finished", calls.id),
        ("message.received", messages.id),
    ]


# Addresses that were made for one request


def test_a_call_on_an_orders_own_address_is_of_that_order_also_before_the_number_is_ours(
    api: Api, runtime: Runtime, engine: Engine, endpoint: None
) -> None:
    id_ = ask(engine, upstream=NAME)
    came(api, runtime.uris.call(NAME, id_), line("test-call"), line("unnamed", None))
    read_inbox(runtime)
    assert [(call.request_id, call.number) for call in every(engine, Call)] == [(id_, SYDNEY), (id_, None)]
    assert problems(engine) == [None]


def test_a_call_on_the_address_of_an_update_is_of_the_request_that_bought_the_number(
    api: Api, runtime: Runtime, engine: Engine
) -> None:
    bought = held(engine)
    update = done(engine, Kind.UPDATE, at=utc_now(), upstream=NAME)
    came(api, runtime.uris.call(NAME, update), line("17"), line("18", None))
    read_inbox(runtime)
    assert [(call.request_id, call.number) for call in every(engine, Call)] == [(bought, SYDNEY)] * 2


def test_a_call_on_an_old_address_is_of_whoever_has_the_number_now(api: Api, runtime: Runtime, engine: Engine) -> None:
    first = held(engine, ago=9 * HOUR)
    released(engine, 7 * HOUR)
    second = held(engine, "other", 5 * HOUR)
    came(api, runtime.uris.call(NAME, first), line("17"))
    read_inbox(runtime)
    (call,) = every(engine, Call)
    assert (call.request_id, call.requester_id) == (second, make_requester(engine, "other").id)


def test_an_address_whose_request_is_gone_still_brings_the_events_of_numbers_that_are_ours(
    api: Api, runtime: Runtime, engine: Engine
) -> None:
    id_ = held(engine)
    came(api, runtime.uris.call(NAME, new_id()), line("17"))
    came(api, runtime.uris.call(NAME, new_id()), line("18", PERTH))
    read_inbox(runtime)
    assert [call.request_id for call in every(engine, Call)] == [id_]
    assert problems(engine) == [None, NO_REQUEST]


@pytest.mark.parametrize("path", ["/sms/{name}/{token}", "/callbacks/{name}/{token}", "/calls/avanser/{token}"])
def test_the_portals_address_is_good_for_one_upstream_and_one_thing(api: Api, runtime: Runtime, path: str) -> None:
    token = runtime.uris.of_portal(NAME)["calls"].rpartition("/")[2]
    assert api.post(path.format(name=NAME, token=token), key=None, data=b"x").status_code == 404
    assert every(api.engine, Received) == []
