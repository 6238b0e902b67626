"""Spending limits: never exceeded, whoever claims at once; what is over one waits, says why, and goes on by itself."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy import event as listening
from sqlalchemy.engine import Engine

from models import parking, requester, spending
from models.base import read, write
from models.batch import Batch
from models.due import Claim, Step, claim_requests
from models.request import Kind, Request
from models.requester import ApiKey, Scope
from models.state import Reason, State
from models.transition import Move, transition
from tests.factory import NOW, fetch, make_batch, make_requester, make_requests
from tests.working import ENVIRONMENT, together
from worker.settings import SettingsError, load
from worker.upstreams import DIALECTS

LEASE = timedelta(seconds=30)
TOMORROW = NOW.replace(hour=0) + timedelta(days=1)
ALL = spending.EVERYWHERE


def claim(
    engine: Engine, ceilings: Mapping[str, int], *, name: str = "avanser", limit: int = 100, now: Any = NOW
) -> list[Claim]:
    return write(engine, lambda session: claim_requests(session, name, limit, now, LEASE, ceilings=ceilings))


def sort_out(engine: Engine, ceilings: Mapping[str, int], now: Any = NOW) -> int:
    return write(engine, lambda session: parking.sort_out(session, now, ceilings))


def taken(engine: Engine, subject: str) -> int:
    return read(engine, lambda session: spending.used(session, [subject], NOW)).get(subject, 0)


def end(engine: Engine, id_: UUID, state: State, **changes: Any) -> None:
    move = Move(
        id_, state, "worker", "upstream_rejected", "No.", NOW if state is State.QUEUED else None, changes=changes
    )
    write(engine, lambda session: transition(session, [move], NOW))


def waiting(engine: Engine) -> list[Request]:
    rows = read(engine, lambda session: list(session.scalars(sa.select(Request).order_by(Request.id))))
    return [row for row in rows if row.reason == Reason.SPENDING_LIMIT]


def make_key(engine: Engine, numbers_per_day: int | None) -> UUID:
    owner = make_requester(engine)

    def work(session: Any) -> ApiKey:
        return requester.create_key(session, owner, "k", [Scope.SUBMIT], NOW, numbers_per_day=numbers_per_day)[0]

    return write(engine, work).id


def test_four_workers_that_claim_at_once_order_exactly_as_many_as_may_be(engine: Engine) -> None:
    make_requests(engine, 60)
    make_requests(engine, 60, upstream="telmetrics")
    ceilings = {ALL: 37, spending.of_upstream("telmetrics"): 30}

    def work(name: str) -> int:
        found = 0
        while claims := claim(engine, ceilings, name=name, limit=3):
            found += len(claims)
        return found

    names = ("avanser", "telmetrics", "avanser", "telmetrics")
    ordered = together(*(lambda name=name: work(name) for name in names))
    rows = read(engine, lambda session: list(session.scalars(sa.select(Request))))
    assert sum(ordered) == 37 == sum(row.state is State.SUBMITTING for row in rows)
    assert taken(engine, ALL) == 37
    assert taken(engine, spending.of_upstream("telmetrics")) == ordered[1] + ordered[3] <= 30


def test_what_is_over_the_limit_says_why_and_goes_out_the_next_day(engine: Engine) -> None:
    make_requests(engine, 3)
    assert len(claim(engine, {ALL: 2})) == 2
    (row,) = waiting(engine)
    assert (row.state, row.due_at, row.attempts) == (State.QUEUED, TOMORROW, 0)
    assert "may take 2 numbers" in (row.detail or "")
    assert sort_out(engine, {ALL: 2}) == 0
    claims = claim(engine, {ALL: 2}, now=TOMORROW)
    assert [one.request.id for one in claims if one.step is Step.SUBMIT] == [row.id]
    assert fetch(engine, row.id).spent_on == TOMORROW.date()


@pytest.mark.parametrize("raised", [{ALL: 3}, {}])
def test_when_the_limit_is_raised_or_gone_it_goes_on_by_itself(engine: Engine, raised: Mapping[str, int]) -> None:
    make_requests(engine, 4)
    claim(engine, {ALL: 2})
    assert sort_out(engine, raised) == (1 if raised else 2)
    assert len(claim(engine, raised)) == (1 if raised else 2)


def test_a_class_is_limited_by_itself(engine: Engine) -> None:
    gold = make_requests(engine, 2, upstream="messagemedia", price_class="GOLD")
    make_requests(engine, 2, upstream="messagemedia", price_class="SILVER")
    ceilings = {spending.of_class("messagemedia", "GOLD"): 0, spending.of_class("messagemedia", "SILVER"): 1}
    assert len(claim(engine, ceilings, name="messagemedia")) == 1
    assert {row.id for row in waiting(engine)} > set(gold)
    assert "Class GOLD of messagemedia" in (fetch(engine, gold[0]).detail or "")


def one_after_another(engine: Engine, count: int, **fields: Any) -> list[UUID]:
    """Requests that are claimed in this order: those that fell due at the same moment are in none."""
    fell_due = [NOW - timedelta(seconds=count - place) for place in range(count)]
    return [make_requests(engine, due_at=due_at, **fields)[0] for due_at in fell_due]


def test_a_key_and_a_batch_have_limits_of_their_own(engine: Engine) -> None:
    key, batch = make_key(engine, 1), make_batch(engine, 3)
    write(engine, lambda session: session.execute(sa.update(Batch).values(max_numbers=2)))
    of_key = one_after_another(engine, 2, key_id=key)
    of_batch = one_after_another(engine, 3, batch_id=batch, key_id=make_key(engine, None))
    (free,) = make_requests(engine)
    assert {one.request.id for one in claim(engine, {})} == {of_key[0], free}
    claim(engine, {})
    assert [row.id for row in waiting(engine)] == [of_key[1], of_batch[2]]
    late = fetch(engine, of_batch[2])
    assert late.due_at == late.deadline, "tomorrow changes nothing for it"
    write(engine, lambda session: requester.limit_key(session, key, 2))
    write(engine, lambda session: session.execute(sa.update(Batch).values(max_numbers=None)))
    assert sort_out(engine, {}) == 2
    assert len(claim(engine, {})) + len(claim(engine, {})) == 2


@pytest.mark.parametrize(
    ("state", "changes", "left"),
    [
        (State.FAILED, {}, 0),
        (State.QUEUED, {}, 0),
        (State.QUEUED, {"repeated": True}, 1),
        (State.ACCEPTED, {}, 1),
        (State.COMPLETED, {"number": "+61280740801"}, 1),
    ],
)
def test_what_provably_bought_nothing_gives_its_place_back(
    engine: Engine, state: State, changes: dict[str, Any], left: int
) -> None:
    key, batch = make_key(engine, 5), make_batch(engine, 1)
    (id_,) = make_requests(engine, batch_id=batch, key_id=key)
    claim(engine, {ALL: 1})
    subjects = (ALL, spending.of_upstream("avanser"), spending.of_key(key), spending.of_batch(batch))
    assert [taken(engine, one) for one in subjects] == [1] * 4
    end(engine, id_, state, **changes)
    assert [taken(engine, one) for one in subjects] == [left] * 4


def test_a_place_that_is_given_back_is_the_next_ones(engine: Engine) -> None:
    first, second = make_requests(engine, 2)
    claim(engine, {ALL: 1})
    assert fetch(engine, second).reason == Reason.SPENDING_LIMIT
    end(engine, first, State.FAILED)
    assert sort_out(engine, {ALL: 1}) == 1
    assert [one.request.id for one in claim(engine, {ALL: 1})] == [second]


def test_ordering_again_what_was_absent_counts_once(engine: Engine) -> None:
    (id_,) = make_requests(engine)
    claim(engine, {ALL: 1})
    end(engine, id_, State.QUEUED, repeated=True)
    assert [one.request.id for one in claim(engine, {ALL: 1})] == [id_]
    assert taken(engine, ALL) == 1


def test_one_that_was_cancelled_while_held_keeps_its_place(engine: Engine) -> None:
    (id_,) = make_requests(engine)
    claim(engine, {ALL: 1})
    end(engine, id_, State.HELD)
    end(engine, id_, State.CANCELLED)
    assert taken(engine, ALL) == 1


def test_updates_and_releases_are_never_stopped(engine: Engine) -> None:
    for number, kind in enumerate((Kind.UPDATE, Kind.RELEASE)):
        make_requests(engine, kind=kind, number=f"+6128074080{number}")
    assert len(claim(engine, {ALL: 0})) == 2
    assert taken(engine, ALL) == 0


def test_a_claim_that_is_undone_takes_no_place(engine: Engine) -> None:
    make_requests(engine, 2)

    def work(session: Any) -> None:
        claim_requests(session, "avanser", 10, NOW, LEASE, ceilings={ALL: 5})
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(engine, work)
    assert taken(engine, ALL) == 0


def test_without_a_limit_a_claim_says_nothing_more_to_the_database(engine: Engine) -> None:
    heard: list[str] = []

    def claimed(ceilings: Mapping[str, int]) -> int:
        make_requests(engine, 5)
        heard.clear()
        assert len(claim(engine, ceilings)) == 5
        return sum("SELECT" in said or "INSERT" in said or "UPDATE" in said for said in heard)

    listening.listen(engine, "before_cursor_execute", lambda *given: heard.append(given[2]))
    without = claimed({})
    assert not any("spending" in said for said in heard)
    assert claimed({ALL: 1_000}) == without + 2, "one locks the counts, one writes them"


def test_limits_are_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    given = {
        "TRUNKLINE_HOME": str(tmp_path),
        "TRUNKLINE_MAX_NUMBERS_PER_DAY": "100",
        "TRUNKLINE_AVANSER_MAX_NUMBERS_PER_DAY": "50",
        "TRUNKLINE_MESSAGEMEDIA_MAX_PER_DAY_BY_CLASS": "GOLD=0, SILVER=10",
    }
    for name, value in (ENVIRONMENT | given).items():
        monkeypatch.setenv(name, value)
    assert load().ceilings == {
        "all": 100,
        "upstream:avanser": 50,
        "class:messagemedia:GOLD": 0,
        "class:messagemedia:SILVER": 10,
    }
    for wrong in ("PLATIN=1", "GOLD", "GOLD=-1", "GOLD=1,GOLD=2"):
        monkeypatch.setenv("TRUNKLINE_MESSAGEMEDIA_MAX_PER_DAY_BY_CLASS", wrong)
        with pytest.raises(SettingsError, match="TRUNKLINE_MESSAGEMEDIA_MAX_PER_DAY_BY_CLASS"):
            load()


def test_an_order_counts_as_the_dearest_class_that_it_may_buy() -> None:
    dialect = DIALECTS["messagemedia"]
    assert dialect.price_class({"search": {"country": "AU"}}) == "BRONZE"
    assert dialect.price_class({"search": {"country": "AU"}, "max_classification": "GOLD"}) == "GOLD"
    assert DIALECTS["avanser"].price_class({}) is None
