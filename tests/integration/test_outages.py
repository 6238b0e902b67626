"""Destinations that hang, fail or come back: none of them costs another anything, and no result is lost."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models import delivery_attempt, dispatch, outage
from models.base import new_id, read, utc_now, write
from models.delivery import Delivery, DeliveryState
from models.delivery_attempt import Attempt, DeliveryAttempt, attempts_of
from models.endpoint import Endpoint, view
from models.outage import FIRST_WAIT, LONGEST_WAIT, PAUSED_WAIT, PAUSES_AFTER, RAMP, Outage
from models.requester import Scope
from models.state import State
from models.transition import Move, transition
from tests.catcher import Catcher, Caught
from tests.factory import make_endpoint, make_requester, make_requests
from tests.integration.cli import Cli, cli, environment
from tests.raw_server import Behaviour, Connection, RawServer
from tests.receiver import Api
from tests.sandbox import eventually
from tests.working import every, let_pass, together, until_due
from worker import deliver as delivering
from worker import places
from worker.deliver import PATIENCE, deliver
from worker.destinations import Destinations
from worker.limits import Limits
from worker.runtime import Runtime
from worker.upstreams.http import NoAnswer

__all__ = ["cli", "environment"]

SOON = timedelta(seconds=10)

TIME_OUT = 40.0
"""Seconds that one that hangs is waited for: longer than a busy machine needs for all others."""


def finish(engine: Engine, count: int = 1, **fields: Any) -> list[UUID]:
    """Requests that have ended, so that their results are due."""
    ids = make_requests(engine, count, **fields)
    write(engine, lambda session: transition(session, [Move(id_, State.COMPLETED, "test") for id_ in ids], utc_now()))
    return ids


def deliver_all(runtime: Runtime) -> None:
    while deliver(runtime):
        pass
    assert runtime.lanes.drain(SOON)


def deliver_until(runtime: Runtime, is_over: Callable[[], bool]) -> None:
    """As the relay's hints have it, again and again."""

    def look() -> bool:
        deliver(runtime)
        return is_over()

    eventually(look)


def states(engine: Engine) -> set[DeliveryState]:
    return {row.state for row in every(engine, Delivery)}


def troubles(engine: Engine) -> list[Outage]:
    return read(engine, lambda session: list(session.scalars(sa.select(Outage))))


def trouble(engine: Engine) -> Outage:
    (found,) = troubles(engine)
    return found


def fail(runtime: Runtime, engine: Engine) -> Outage:
    """Let ten and more results fail, for more than a minute."""
    finish(engine, 12)
    deliver_all(runtime)
    let_pass(engine, timedelta(seconds=61))
    deliver_all(runtime)
    return trouble(engine)


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch, runtime: Runtime) -> Iterator[Catcher]:
    """It takes everything, and answers nothing until the end of the test."""
    is_over = threading.Event()
    monkeypatch.setattr(delivering, "PATIENCE", PATIENCE)
    runtime.settings.environment.delivery_timeout = TIME_OUT
    with Catcher(204) as catcher:
        catcher.before_answer = is_over.wait
        yield catcher
        is_over.set()


@pytest.mark.parametrize("is_one_off", [False, True])
def test_one_that_hangs_keeps_no_other_waiting(
    runtime: Runtime, engine: Engine, hanging: Catcher, is_one_off: bool
) -> None:
    owner = make_requester(engine)
    with Catcher(204) as well:
        bad: dict[str, Any]
        good: dict[str, Any]
        if is_one_off:
            bad, good = {"notify_url": hanging.url}, {"notify_url": well.url}
        else:
            bad = {"endpoint_id": make_endpoint(engine, owner, hanging.url, name="bad").id}
            good = {"endpoint_id": make_endpoint(engine, owner, well.url).id}
        finish(engine, 60, **bad)
        finish(engine, 40, **good)
        began = time.monotonic()
        while len(well.caught) < 40:
            deliver(runtime)
            assert time.monotonic() - began < TIME_OUT, "before the first time-out"
        assert len(hanging.caught) <= places.UNPROVEN // 4  # this process's share, without Redis


def test_one_that_hangs_has_its_own_places_over_all_workers(
    runtime: Runtime, engine: Engine, hanging: Catcher, redis_url: str
) -> None:
    runtime.limits = Limits(redis_url)
    finish(engine, 90, notify_url=hanging.url)
    together(*(lambda: [deliver(runtime) for _ in range(3)] for _ in range(4)))
    eventually(lambda: len(hanging.caught) == places.UNPROVEN)
    with Catcher(204) as well:
        finish(engine, 40, notify_url=well.url)
        while deliver(runtime):
            pass
        assert len(well.caught) == 40
    assert len(hanging.caught) == places.UNPROVEN


def test_ten_failures_in_a_minute_open_a_breaker_and_then_one_is_tried_at_a_time(
    runtime: Runtime, engine: Engine
) -> None:
    with Catcher(500) as crm:
        make_endpoint(engine, make_requester(engine), crm.url)
        finish(engine, 12)
        deliver_all(runtime)
        assert not trouble(engine).is_open, "ten in a row, but within a moment"
        before = len(crm.caught)
        let_pass(engine, timedelta(seconds=61))
        began = utc_now()
        deliver_all(runtime)
        row = trouble(engine)
        assert row.is_open
        assert row.probe_at is not None
        assert began + FIRST_WAIT <= row.probe_at <= utc_now() + FIRST_WAIT
        assert len(crm.caught) - before <= places.FAILING
        assert read(engine, lambda session: dispatch.count_due(session, utc_now())) == 0
        before = len(crm.caught)
        waits = []
        for _ in range(7):
            finish(engine)  # what comes meanwhile waits as well
            deliver_all(runtime)
            assert len(crm.caught) == before, "not before the next probe"
            let_pass(engine, LONGEST_WAIT)
            began = utc_now()
            together(lambda: deliver_all(runtime), lambda: deliver_all(runtime))
            before += 1
            assert len(crm.caught) == before, "one, whoever else looks"
            probe_at = trouble(engine).probe_at
            assert probe_at is not None
            waits.append(((probe_at - utc_now()) / FIRST_WAIT, (probe_at - began) / FIRST_WAIT))
        for (least, most), wait in zip(waits, [2, 4, 8, 16, 30, 30, 30], strict=True):
            assert least <= wait <= most
    assert states(engine) == {DeliveryState.PENDING}, "none of them was given up"
    assert max(row.attempts for row in every(engine, Delivery)) <= 2


def test_a_probe_that_arrives_closes_it_and_what_waited_goes_out_ever_faster(
    runtime: Runtime, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with Catcher(500) as crm:
        place = make_endpoint(engine, make_requester(engine), crm.url)
        fail(runtime, engine)
        finish(engine, 60)
        crm._statuses = [204]
        let_pass(engine, LONGEST_WAIT)
        before = len(crm.caught)
        deliver(runtime)
        assert len(crm.caught) == before + 1
        assert trouble(engine).health() is outage.Health.RECOVERING
        began = time.monotonic()
        deliver_all(runtime)
        assert len(crm.caught) <= before + 6 + 5 * (time.monotonic() - began), "at five a second"
        let_pass(engine, RAMP)
        deliver_until(runtime, lambda: states(engine) == {DeliveryState.DELIVERED})
        assert troubles(engine) == []
        assert len(crm.caught) == before + 72
    assert f"endpoint {place.id} does not take results" in caplog.text
    assert f"endpoint {place.id} takes results again" in caplog.text


def test_the_rate_doubles_every_ten_seconds_for_a_minute() -> None:
    now = utc_now()
    row = Outage(recovering_at=now)
    rates = [row.rate(now + timedelta(seconds=seconds)) for seconds in (0, 10, 30, 59)]
    assert rates == pytest.approx([5, 10, 40, 298.6], rel=0.01)
    assert row.rate(now + RAMP) is None


def test_one_that_fails_again_while_it_recovers_is_left_alone_sooner(runtime: Runtime, engine: Engine) -> None:
    with Catcher(500) as crm:
        make_endpoint(engine, make_requester(engine), crm.url)
        fail(runtime, engine)
        let_pass(engine, LONGEST_WAIT)
        crm._statuses = [204, 500]
        deliver_until(runtime, lambda: trouble(engine).is_open)
        row = trouble(engine)
        assert row.failures <= outage.OPENS_AGAIN_AFTER + places.FAILING
        assert row.probe_at is not None
        assert row.probe_at - utc_now() > 1.5 * FIRST_WAIT, "it goes on from the wait that it had"


def test_after_three_days_people_are_told_and_it_comes_back_by_itself(
    runtime: Runtime, api: Api, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    with Catcher(500) as crm:
        place = make_endpoint(engine, make_requester(engine), crm.url)
        fail(runtime, engine)
        let_pass(engine, PAUSES_AFTER)
        began = utc_now()
        deliver_all(runtime)
        (error,) = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert f"endpoint {place.id} is paused" in error.getMessage()
        shown = api.get("/v1/endpoints").json["data"][0]  # type: ignore[index]
        assert (shown["health"], shown["last_error"]) == ("paused", "answered 500")
        assert shown["paused_at"] is not None
        assert 'trunkline_endpoints_in_trouble{health="paused"} 1.0' in api.get("/metrics").text
        probe_at = trouble(engine).probe_at
        assert probe_at is not None
        assert began + PAUSED_WAIT <= probe_at <= utc_now() + PAUSED_WAIT

        finish(engine, 5)
        before = len(crm.caught)
        let_pass(engine, PAUSED_WAIT)
        deliver_all(runtime)
        assert len(crm.caught) == before + 1, "it is still probed"
        assert states(engine) == {DeliveryState.PENDING}
        crm._statuses = [204]
        let_pass(engine, PAUSED_WAIT)
        deliver(runtime)
        let_pass(engine, RAMP)
        deliver_until(runtime, lambda: states(engine) == {DeliveryState.DELIVERED})
        assert api.get("/v1/endpoints").json["data"][0]["health"] == "healthy"  # type: ignore[index]


def test_a_probe_is_one_workers_until_its_lease_ends(runtime: Runtime, engine: Engine) -> None:
    with Catcher(500) as crm:
        place = make_endpoint(engine, make_requester(engine), crm.url)
        fail(runtime, engine)
    let_pass(engine, LONGEST_WAIT)
    lease = timedelta(seconds=30)

    def claimed(now: datetime) -> int:
        return len(write(engine, lambda session: dispatch.claim(session, {place.id: 1}, {place.id}, now, lease)))

    now = utc_now()
    assert [claimed(now), claimed(now), claimed(now + lease)] == [1, 0, 1]


def test_the_only_result_of_an_endpoint_that_was_never_there_is_kept_for_it(runtime: Runtime, engine: Engine) -> None:
    with Catcher(500) as crm:
        make_endpoint(engine, make_requester(engine), crm.url)
        finish(engine)
        deliver(runtime)
        until_due(engine)
        deliver(runtime)
        let_pass(engine, PAUSES_AFTER)
        deliver(runtime)
        for _ in range(4):
            assert trouble(engine).health() is outage.Health.PAUSED
            assert [(row.state, row.attempts) for row in every(engine, Delivery)] == [(DeliveryState.PENDING, 2)]
            let_pass(engine, PAUSED_WAIT)
            deliver(runtime)
        assert len(crm.caught) == 7


class Picky(Catcher):
    """Refuses one kind of result."""

    def take(self, caught: Caught) -> int:
        super().take(caught)
        return 422 if b"request.cancelled" in caught.body else 204


def test_one_result_that_alone_is_refused_is_given_up_on_schedule(runtime: Runtime, engine: Engine) -> None:
    with Picky() as crm:
        make_endpoint(engine, make_requester(engine), crm.url)
        (bad,) = make_requests(engine)
        write(engine, lambda session: transition(session, [Move(bad, State.CANCELLED, "test")], utc_now()))
        for _ in range(3):
            finish(engine, 4)
            deliver_all(runtime)
            until_due(engine)
    ended = {row.request_id: row.state for row in every(engine, Delivery)}
    assert ended.pop(bad) is DeliveryState.FAILED
    assert set(ended.values()) == {DeliveryState.DELIVERED}


def test_a_one_off_url_has_no_breaker_and_its_host_is_forgotten(runtime: Runtime, engine: Engine) -> None:
    with Catcher(500) as once:
        finish(engine, 12, notify_url=once.url)
        for _ in range(3):
            deliver_all(runtime)
            let_pass(engine, timedelta(minutes=5))
    assert states(engine) == {DeliveryState.FAILED}
    assert not trouble(engine).is_open
    let_pass(engine, outage.HOSTS_FORGOTTEN_AFTER)
    write(engine, lambda session: outage.forget_hosts(session, utc_now()))
    assert troubles(engine) == []


def test_what_one_requesters_urls_do_to_a_host_is_not_held_against_anothers(runtime: Runtime, engine: Engine) -> None:
    with Catcher(500, 204) as shared:
        for name in ("mine", "theirs"):
            finish(engine, notify_url=f"{shared.url}/{name}", owner=make_requester(engine, name))
            deliver(runtime)
    first, second = every(engine, Delivery)
    assert first.host_id != second.host_id
    assert trouble(engine).line_id == first.line_id


@pytest.mark.parametrize(
    ("status", "asked", "least", "most"),
    [
        (429, "120", 120, 120),
        (503, "120", 120, 120),
        (503, "1", 9, 11),  # sooner than its schedule says is never
        (429, "999999", 3600, 3600),
        (429, "Wed, 21 Oct 2150 07:28:00 GMT", 3600, 3600),
        (429, "nonsense", 9, 11),
        (500, "120", 9, 11),
    ],
)
def test_retry_after_is_honoured_within_bounds(
    runtime: Runtime, engine: Engine, status: int, asked: str, least: float, most: float
) -> None:
    with Catcher(status) as crm:
        crm.headers = {"Retry-After": asked}
        finish(engine, notify_url=crm.url)
        began = utc_now()
        deliver(runtime)
        (row,) = every(engine, Delivery)
        assert began + timedelta(seconds=least) <= row.due_at <= utc_now() + timedelta(seconds=most)


def test_one_that_asks_to_wait_gets_nothing_else_meanwhile(runtime: Runtime, engine: Engine) -> None:
    with Catcher(429) as crm:
        crm.headers = {"Retry-After": "60"}
        finish(engine, notify_url=crm.url)
        deliver(runtime)
        finish(engine, notify_url=crm.url)
        deliver(runtime)
        assert len(crm.caught) == 1


def test_each_try_is_kept_with_how_its_answer_began(runtime: Runtime, engine: Engine) -> None:
    with Catcher(500, 204) as crm:
        crm.body = b'{"token": "s3cret-of-theirs", "caller": "+61 401 603 859", "hint": "no dealer"}' + b" x" * 2_000
        finish(engine, notify_url=crm.url)
        deliver(runtime)
        crm.body = b""
        until_due(engine)
        deliver(runtime)
    (row,) = every(engine, Delivery)
    first, second = read(engine, lambda session: attempts_of(session, row.id))
    assert (first["status"], first["error"], second["status"], second["error"]) == (500, "answered 500", 204, None)
    assert first["answer"].startswith('{"token": "…", "caller": "…859", "hint": "no dealer"} x x')
    assert len(first["answer"]) < 1_100
    assert second["answer"] is None
    assert first["latency_ms"] >= 0
    assert first["at"] < second["at"]


def test_the_log_of_a_delivery_is_its_owners(api: Api) -> None:
    make_endpoint(api.engine, make_requester(api.engine), "https://crm.test/")
    finish(api.engine)
    (row,) = every(api.engine, Delivery)
    tried = Attempt(row.id, utc_now(), 500, 12, "answered 500", "no")
    write(api.engine, lambda session: delivery_attempt.append(session, [tried, tried]))
    shown = api.get(f"/v1/deliveries/{row.id}").json
    assert shown is not None
    assert (shown["id"], shown["state"], len(shown["attempts_log"])) == (str(row.id), "pending", 2)
    logged = shown["attempts_log"][0]
    assert {name: logged[name] for name in ("status", "latency_ms", "error", "answer")} == {
        "status": 500, "latency_ms": 12, "error": "answered 500", "answer": "no",
    }  # fmt: skip
    theirs = api.make_key(*Scope, requester="other")
    for id_, key in ((row.id, theirs), (new_id(), api.key)):
        assert api.get(f"/v1/deliveries/{id_}", key=key).status_code == 404
    assert api.get(f"/v1/deliveries/{row.id}", key=api.make_key(Scope.SUBMIT)).status_code == 403


def test_an_answer_that_came_after_the_lease_is_logged_but_changes_nothing(runtime: Runtime, engine: Engine) -> None:
    with Catcher(204) as crm:
        finish(engine, notify_url=crm.url)
        crm.before_answer = lambda: write(engine, _claim_anew)
        deliver(runtime)
    assert states(engine) == {DeliveryState.PENDING}
    assert [row.status for row in every(engine, DeliveryAttempt)] == [204]


def _claim_anew(session: Session) -> None:
    session.execute(sa.update(Delivery).values(fence=Delivery.fence + 1))


async def a_head_that_trickles(connection: Connection) -> None:
    await connection.read_request()
    await _trickle(connection, b"HTTP/1.1 204 No Content\r\nX-Padding: " + b"x" * 1_000)


async def a_body_that_trickles(connection: Connection) -> None:
    await connection.read_request()
    await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    await _trickle(connection, b"x" * 1_000)


async def a_body_without_end(connection: Connection) -> None:
    await connection.read_request()
    await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await connection.send(b"1\r\nx\r\n")
        await asyncio.sleep(0.05)


async def _trickle(connection: Connection, text: bytes) -> None:
    for byte in text:
        await connection.send(bytes([byte]))
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("behave", [a_head_that_trickles, a_body_that_trickles, a_body_without_end])
def test_a_tarpit_cannot_stretch_the_deadline_of_a_try(behave: Behaviour) -> None:
    async def story() -> float:
        destinations = Destinations(allow_private=True)
        async with RawServer(behave) as server:
            began = time.monotonic()
            with pytest.raises(NoAnswer, match=r"no answer within 0\.6 s"):
                await destinations.post(server.url, b"{}", {}, timedelta(seconds=0.6))
            took = time.monotonic() - began
            await destinations.close()
            await asyncio.wait_for(server.hung_up.wait(), 5)  # the connection is not kept for it either
        return took

    assert asyncio.run(story()) < 1.2


def test_a_person_sees_who_is_paused_and_may_have_it_tried_at_once(cli: Cli) -> None:
    place = make_endpoint(cli.engine, make_requester(cli.engine), "https://crm.test/")
    until = utc_now() + timedelta(days=1)

    def open_(session: Session) -> None:
        row = Outage(line_id=place.id, endpoint_id=place.id, failures=10, error="answered 500", probes=1)
        row.began_at = row.failed_at = row.opened_at = row.paused_at = utc_now()
        row.probe_at = until
        session.add(row)
        session.flush()

    write(cli.engine, open_)
    checks = {check["what"]: check for check in cli.json("doctor", "--offline", status=2)["checks"]}
    assert str(place.id) in checks["endpoint"]["detail"]
    assert cli.json("endpoints", "list")["data"][0]["health"] == "paused"
    assert cli.json("endpoints", "enable", "crm")["health"] == "healthy"
    assert cli.json("endpoints", "list")["data"][0]["health"] == "healthy"
    assert read(cli.engine, lambda session: view(session.get_one(Endpoint, place.id)))["health"] == "healthy"
