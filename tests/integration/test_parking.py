"""A paused upstream: what waits for it says so, and comes back by itself when it is resumed."""

from datetime import timedelta

import pytest
from sqlalchemy.engine import Engine

from models import counter, parking, upstream
from models.base import read, write
from models.due import claim_requests
from models.state import Reason, State
from tests.factory import NOW, fetch, make_requests

LEASE = timedelta(seconds=30)


def pause(engine: Engine) -> None:
    write(engine, lambda session: upstream.pause(session, "avanser", "by_person", "the invoice is wrong", "ann", NOW))


def sort_out(engine: Engine) -> int:
    return write(engine, lambda session: parking.sort_out(session, NOW))


def test_what_is_due_at_a_paused_upstream_says_why_it_waits(engine: Engine) -> None:
    (waiting,) = make_requests(engine)
    pause(engine)
    assert sort_out(engine) == 1
    row = fetch(engine, waiting)
    assert (row.state, row.reason, row.due_at) == (State.QUEUED, Reason.UPSTREAM_PAUSED, None)
    assert "the invoice is wrong" in (row.detail or "")
    assert sort_out(engine) == 0, "once is enough"


def test_when_it_is_resumed_everything_is_due_again(engine: Engine) -> None:
    ids = make_requests(engine, 3)
    pause(engine)
    sort_out(engine)
    write(engine, lambda session: upstream.resume(session, "avanser"))
    assert sort_out(engine) == 3
    claims = write(engine, lambda session: claim_requests(session, "avanser", 10, NOW, LEASE))
    assert {claim.request.id for claim in claims} == set(ids)
    assert read(engine, counter.of_all)[State.SUBMITTING] == 3


def test_an_order_that_is_out_is_not_parked(engine: Engine) -> None:
    make_requests(engine)
    write(engine, lambda session: claim_requests(session, "avanser", 10, NOW, LEASE))
    pause(engine)
    assert write(engine, lambda session: parking.sort_out(session, NOW + LEASE)) == 0


def test_a_long_backlog_is_parked_piece_by_piece(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parking, "CHUNK", 2)
    make_requests(engine, 5)
    pause(engine)
    assert [sort_out(engine) for _ in range(4)] == [2, 2, 1, 0]
