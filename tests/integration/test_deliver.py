"""Delivering results over real HTTP: signed, tried again, given up, and never to where they must not go."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session
from standardwebhooks import Webhook

from models import dispatch, endpoint
from models.base import read, utc_now, write
from models.delivery import Delivery, DeliveryState, replay
from models.endpoint import Endpoint
from models.requester import find
from models.state import State
from models.transition import Move, transition
from tests.catcher import Catcher, Caught
from tests.factory import make_endpoint, make_requester, make_requests
from tests.working import every, history, let_pass, together, until_due
from worker.deliver import deliver
from worker.destinations import Destinations
from worker.loop import Loop
from worker.runtime import Runtime
from worker.upstreams.http import NoAnswer


def finish(engine: Engine, count: int = 1, **fields: Any) -> list[UUID]:
    """Requests that have ended, so that their results are due."""
    ids = make_requests(engine, count, **fields)
    ended = [Move(id_, State.COMPLETED, "test", changes={"number": "+61280740801"}) for id_ in ids]
    write(engine, lambda session: transition(session, ended, utc_now()))
    return ids


def only(engine: Engine) -> Delivery:
    (row,) = every(engine, Delivery)
    assert isinstance(row, Delivery)
    return row


def verified(caught: Caught, secret: str | None) -> Any:
    """What a requester reads who checks the signature as the specification's own package does. Raises otherwise."""
    assert secret is not None
    return Webhook(secret).verify(caught.body, caught.headers)


@pytest.fixture
def crm() -> Iterator[Catcher]:
    """A requester that takes everything."""
    with Catcher(204) as catcher:
        yield catcher


def test_a_result_arrives_signed(runtime: Runtime, engine: Engine, crm: Catcher) -> None:
    place = make_endpoint(engine, make_requester(engine), f"{crm.url}/hook?a=b")
    (id_,) = finish(engine)
    assert deliver(runtime) is False
    (caught,) = crm.caught
    told, row = verified(caught, place.secret), only(engine)
    assert (caught.method, caught.path) == ("POST", "/hook?a=b")
    assert (told["type"], told["data"]["id"], told["data"]["number"]) == ("request.completed", str(id_), "+61280740801")
    assert (list(told), told["sequence"]) == (["type", "timestamp", "sequence", "data"], 1)
    assert {name.lower(): value for name, value in caught.headers.items()}["webhook-id"] == str(row.id)
    assert (row.state, row.due_at, row.attempts, row.last_status) == (DeliveryState.DELIVERED, None, 1, 204)
    assert row.delivered_at is not None
    line = history(engine, id_)[-1]
    assert (line["type"], line["status"], line["outcome"]) == ("delivery", 204, "delivered")
    deliver(runtime)
    assert len(crm.caught) == 1


def test_a_notify_url_gets_the_requesters_default_signature(runtime: Runtime, engine: Engine, crm: Catcher) -> None:
    finish(engine, notify_url=crm.url)
    deliver(runtime)
    owner = read(engine, lambda session: find(session, "default"))
    assert owner is not None
    assert verified(crm.caught[0], owner.secret)["type"] == "request.completed"


def test_while_a_secret_is_rotated_both_sign(runtime: Runtime, engine: Engine, crm: Catcher) -> None:
    old = make_endpoint(engine, make_requester(engine), crm.url)

    def rotate(session: Session, expires_in: timedelta) -> str:
        return endpoint.rotate(session, session.get_one(Endpoint, old.id), utc_now() + expires_in)

    second = write(engine, lambda session: rotate(session, timedelta(hours=1)))
    finish(engine)
    deliver(runtime)
    assert verified(crm.caught[0], old.secret) == verified(crm.caught[0], second)
    third = write(engine, lambda session: rotate(session, timedelta(seconds=-1)))
    finish(engine)
    deliver(runtime)
    assert verified(crm.caught[1], third)
    with pytest.raises(Exception, match="No matching signature"):
        verified(crm.caught[1], second)


def test_a_result_that_is_refused_is_tried_again_on_schedule_and_then_given_up(
    runtime: Runtime, engine: Engine
) -> None:
    with Catcher(500, 503, 404) as crm:
        place = make_endpoint(engine, make_requester(engine), crm.url)
        (id_,) = finish(engine)
        for wait in (10, 100):
            began = utc_now()
            deliver(runtime)
            ended = utc_now()
            row = only(engine)
            assert row.due_at is not None
            assert row.state is DeliveryState.PENDING
            assert (row.due_at - began).total_seconds() >= 0.9 * wait
            assert (row.due_at - ended).total_seconds() <= 1.1 * wait
            before = len(crm.caught)
            deliver(runtime)
            assert len(crm.caught) == before, "not before it is due"
            until_due(engine)
        deliver(runtime)
        row = only(engine)
        assert (row.state, row.due_at, row.attempts) == (DeliveryState.FAILED, None, 3)
        assert (row.last_status, row.last_error) == (404, "answered 404")
        assert {verified(caught, place.secret)["data"]["id"] for caught in crm.caught} == {str(id_)}
        ids = [value for caught in crm.caught for name, value in caught.headers.items() if name.lower() == "webhook-id"]
        assert ids == [str(row.id)] * 3
        assert [line["status"] for line in history(engine, id_) if line["type"] == "delivery"] == [500, 503, 404]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_a_failure_and_is_not_followed(runtime: Runtime, engine: Engine, status: int) -> None:
    with Catcher(status) as crm:
        finish(engine, notify_url=crm.url)
        deliver(runtime)
        assert len(crm.caught) == 1
    assert (only(engine).state, only(engine).last_error) == (DeliveryState.PENDING, f"answered {status}")


def test_nobody_there_is_a_failure(runtime: Runtime, engine: Engine) -> None:
    with Catcher(204) as crm:
        gone = crm.url
    finish(engine, notify_url=gone)
    deliver(runtime)
    row = only(engine)
    assert (row.state, row.last_status) == (DeliveryState.PENDING, None)
    assert row.last_error is not None
    assert "no connection" in row.last_error


def test_an_endpoint_that_is_gone_is_disabled_and_gets_nothing_more(runtime: Runtime, engine: Engine) -> None:
    with Catcher(410) as crm:
        place = make_endpoint(engine, make_requester(engine), crm.url)
        finish(engine)
        deliver(runtime)
        assert only(engine).state is DeliveryState.FAILED
        (row,) = every(engine, Endpoint)
        assert row.disabled_at is not None
        assert "410" in row.disabled_reason
        finish(engine)
        assert [row.endpoint_id for row in every(engine, Delivery)] == [place.id, None], "nothing is filed for it"
        finish(engine, endpoint_id=place.id)
        deliver(runtime)
        assert every(engine, Delivery)[2].last_error == "the endpoint is disabled"
        assert len(crm.caught) == 1


def test_a_notify_url_that_is_gone_disables_nothing(runtime: Runtime, engine: Engine) -> None:
    make_endpoint(engine, make_requester(engine), "https://crm.test")
    with Catcher(410) as once:
        finish(engine, notify_url=once.url)
        deliver(runtime)
    assert only(engine).state is DeliveryState.FAILED
    assert every(engine, Endpoint)[0].disabled_at is None


def test_a_replay_goes_out_under_the_same_id_from_the_start_of_the_schedule(
    runtime: Runtime, engine: Engine, crm: Catcher
) -> None:
    finish(engine, notify_url=crm.url)
    deliver(runtime)
    write(engine, _replay)
    deliver(runtime)
    first, second = ({name.lower(): value for name, value in caught.headers.items()} for caught in crm.caught)
    assert first["webhook-id"] == second["webhook-id"]
    assert (only(engine).state, only(engine).attempts) == (DeliveryState.DELIVERED, 1)


def _replay(session: Session) -> None:
    row = session.scalars(sa.select(Delivery)).one()
    replay(row, utc_now())
    session.flush()


def test_a_replay_while_it_is_being_sent_is_not_lost(runtime: Runtime, engine: Engine) -> None:
    with Catcher(204) as crm:
        finish(engine, notify_url=crm.url)
        crm.before_answer = lambda: write(engine, _replay)
        deliver(runtime)
        row = only(engine)
        assert row.state is DeliveryState.PENDING
        assert row.due_at is not None
        assert row.due_at <= utc_now()


def test_what_a_dead_worker_held_is_sent_by_another(runtime: Runtime, engine: Engine, crm: Catcher) -> None:
    finish(engine, notify_url=crm.url)
    lease = timedelta(seconds=30)
    line = only(engine).line_id
    write(engine, lambda session: dispatch.claim(session, {line: 10}, set(), utc_now(), lease))
    deliver(runtime)
    assert crm.caught == []
    let_pass(engine, lease)
    deliver(runtime)
    assert len(crm.caught) == 1
    assert (only(engine).state, only(engine).attempts) == (DeliveryState.DELIVERED, 2)


def test_one_that_cannot_be_sent_hinders_no_other(
    runtime: Runtime, engine: Engine, crm: Catcher, caplog: pytest.LogCaptureFixture
) -> None:
    place = make_endpoint(engine, make_requester(engine), crm.url)
    with engine.begin() as connection:
        connection.execute(sa.update(Endpoint).values(secret="whsec_not base64"))
    finish(engine, endpoint_id=place.id)
    finish(engine, 3, notify_url=crm.url)
    deliver(runtime)
    bad, *good = every(engine, Delivery)
    assert (bad.state, bad.attempts) == (DeliveryState.PENDING, 1)
    assert "own sender failed" in bad.last_error
    assert {row.state for row in good} == {DeliveryState.DELIVERED}
    assert str(bad.id) in caplog.text


def test_workers_at_the_same_time_send_each_result_once(runtime: Runtime, engine: Engine, crm: Catcher) -> None:
    finish(engine, 60, notify_url=crm.url)
    together(*(lambda: [deliver(runtime) for _ in range(4)] for _ in range(3)))
    while deliver(runtime):
        pass
    assert len(crm.caught) == 60
    assert {row.state for row in every(engine, Delivery)} == {DeliveryState.DELIVERED}


HOSTILE = [
    "http://127.0.0.1/",
    "http://crm.test/",
    "https://127.0.0.1/",
    "https://127.0.0.1:8443/",
    "https://127.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0/",
    "https://localhost/",  # a name that resolves to the loopback address
    "https://LOCALHOST./",
    "https://10.0.0.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://[::1]/",
    "https://[::]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:a9fe:a9fe]/",
    "https://[::127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[64:ff9b:1::7f00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[fe80::1%25lo]/",
    "https://[fc00::1]/",
    "https://user:password@127.0.0.1/",
    "https://crm.test@127.0.0.1/",
    "https://crm.test\\@127.0.0.1/",
    "https://127.0.0.1\t/",
    "https://127.0.0.1:22/",
    "https://\u24d5\u24de\u24de/",
    "https://xn--/",
    "https://" + "a" * 300 + ".test/",
    "gopher://127.0.0.1/",
    "https://[",
]


@pytest.mark.parametrize("url", HOSTILE)
def test_by_default_nothing_is_sent_to_a_private_address(loop: Loop, url: str) -> None:
    destinations = Destinations(allow_private=False)
    try:
        with pytest.raises(NoAnswer) as refusal:
            loop.run(destinations.post(url, b"{}", {}, timedelta(seconds=5)))
    finally:
        loop.run(destinations.close())
    assert refusal.value.sent is False


@pytest.mark.parametrize("url", ["https://127.0.0.1:8443/", "https://localhost/", "https://[64:ff9b:1::1]/"])
def test_the_address_is_judged_when_it_is_connected_to(loop: Loop, url: str) -> None:
    destinations = Destinations(allow_private=False)
    try:
        with pytest.raises(NoAnswer, match="the address is not allowed"):
            loop.run(destinations.post(url, b"{}", {}, timedelta(seconds=5)))
    finally:
        loop.run(destinations.close())
