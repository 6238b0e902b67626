"""Calls and text messages over HTTP: found by number in any format and by time, a page at a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.engine import Engine

from models import call, message
from models.base import CLOCKS_DIFFER, new_id, utc_now, write
from tests.factory import make_requester
from tests.holding import PERTH, SYDNEY
from tests.receiver import Api

BOTH = pytest.mark.parametrize("listed", ["messages", "calls"])


def keep(engine: Engine, listed: str, reference: str, number: str | None, received_at: datetime) -> None:
    row: dict[str, Any] = {
        "id": new_id(),
        "upstream": "messagemedia",
        "upstream_reference": reference,
        "request_id": new_id(),
        "requester_id": make_requester(engine).id,
        "number": number,
        "parameters": {"reply_id": reference},
        "received_at": received_at,
    }
    table = message if listed == "messages" else call
    write(engine, lambda session: table.keep(session, row))


def found(api: Api, path: str) -> list[str]:
    return [one["upstream_reference"] for one in (api.get(path).json or {})["data"]]


def test_a_message_is_shown_with_all_that_came(api: Api) -> None:
    row: dict[str, Any] = {
        "id": new_id(),
        "upstream": "messagemedia",
        "upstream_reference": "m-1",
        "request_id": new_id(),
        "requester_id": make_requester(api.engine).id,
        "number": "+61439742682",
        "sender": "+61400000001",
        "text": "Is it still for sale?",
        "sent_at": datetime(2026, 1, 1, tzinfo=UTC),
        "sent_at_raw": "2026-01-01T11:00:00+11:00",
        "parameters": {"content": "Is it still for sale?", "metadata": {"dealer": 17}},
        "received_at": datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC),
    }
    write(api.engine, lambda session: message.keep(session, row))

    (shown,) = (api.get("/v1/messages").json or {})["data"]

    assert (shown["number"], shown["sender"], shown["text"]) == (row["number"], row["sender"], row["text"])
    assert (shown["sent_at"], shown["sent_at_raw"]) == ("2026-01-01T00:00:00Z", row["sent_at_raw"])
    assert (shown["parameters"], shown["received_at"]) == (row["parameters"], "2026-01-01T00:00:01Z")
    assert (shown["id"], shown["request"]) == (str(row["id"]), str(row["request_id"]))


@BOTH
@pytest.mark.parametrize(
    "number", ["%2B61280740801", "+61280740801", "0280740801", "(02)%208074%200801", "%2B61-0280740801", "61280740801"]
)
def test_events_are_found_by_number_in_any_format(api: Api, listed: str, number: str) -> None:
    for reference, on in (("1", SYDNEY), ("2", PERTH), ("3", None)):
        keep(api.engine, listed, reference, on, utc_now())

    assert found(api, f"/v1/{listed}?number={number}") == ["1"]
    assert found(api, f"/v1/{listed}?number=") == ["3", "2", "1"]
    assert found(api, f"/v1/{listed}?number=0299990000") == []


@BOTH
def test_events_are_found_by_when_we_were_told(api: Api, listed: str) -> None:
    now = utc_now().replace(microsecond=0)
    for reference, ago in (("old", 20), ("edge", 10), ("new", 0)):
        keep(api.engine, listed, reference, SYDNEY, now - timedelta(minutes=ago))
    edge = (now - timedelta(minutes=10)).isoformat().replace("+00:00", "Z")

    assert found(api, f"/v1/{listed}?since={edge}") == ["new", "edge"]
    assert found(api, f"/v1/{listed}?since={edge}&number=0280740801") == ["new", "edge"]
    assert found(api, f"/v1/{listed}?since=0001-01-01T00:00:00Z") == ["new", "edge", "old"]
    assert found(api, f"/v1/{listed}?since=9999-12-31T23:59:59Z") == []


@BOTH
def test_an_event_is_found_though_the_clock_of_the_host_that_stored_it_is_behind(api: Api, listed: str) -> None:
    received = utc_now() + CLOCKS_DIFFER - timedelta(minutes=1)
    keep(api.engine, listed, "1", SYDNEY, received)

    assert found(api, f"/v1/{listed}?since={received.isoformat().replace('+00:00', 'Z')}") == ["1"]


@BOTH
def test_events_are_paged_without_gap_or_double(api: Api, listed: str) -> None:
    for place in range(25):
        keep(api.engine, listed, str(place), SYDNEY, utc_now())
    seen, path = [], f"/v1/{listed}?limit=10&number=0280740801"
    while True:
        page = api.get(path).json
        assert page is not None
        seen.append([int(one["upstream_reference"]) for one in page["data"]])
        keep(api.engine, listed, f"later {len(seen)}", SYDNEY, utc_now())
        if page["next_cursor"] is None:
            break
        path = f"/v1/{listed}?limit=10&number=0280740801&cursor={page['next_cursor']}"

    assert [place for page in seen for place in page] == list(range(25))[::-1]
