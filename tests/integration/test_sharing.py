"""Fair shares: nobody's requests stand behind all of somebody else's."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy.engine import Engine

from models import sharing
from models.base import new_id, write
from models.due import claim_requests
from models.request import Request
from models.requester import Requester
from models.sharing import MOST_LINES, Line, shares
from tests.factory import NOW, make_batch, make_requester, make_requests
from tests.working import NAME

LEASE, LATER = timedelta(seconds=100), timedelta(seconds=1)


@pytest.fixture
def ada(engine: Engine) -> Requester:
    return make_requester(engine, "ada")


@pytest.fixture
def bob(engine: Engine) -> Requester:
    return make_requester(engine, "bob")


def make_job(engine: Engine, owner: Requester, count: int, **fields: object) -> UUID:
    """A batch of so many requests."""
    batch_id = make_batch(engine, count, owner=owner)
    make_requests(engine, count, batch_id=batch_id, owner=owner, **fields)
    return batch_id


def claimed(engine: Engine, limit: int) -> list[Request]:
    claims = write(engine, lambda session: claim_requests(session, NAME, limit, NOW + LATER, LEASE))
    return [one.request for one in claims]


def batches(rows: list[Request]) -> Counter[UUID | None]:
    return Counter(row.batch_id for row in rows)


def test_a_small_job_progresses_beside_a_large_one_that_came_first(
    engine: Engine, ada: Requester, bob: Requester
) -> None:
    large = make_job(engine, ada, 60)
    small = make_job(engine, bob, 10, due_at=NOW + LATER)
    assert batches(claimed(engine, 10)) == {large: 5, small: 5}
    assert batches(claimed(engine, 10)) == {large: 5, small: 5}
    assert batches(claimed(engine, 10)) == {large: 10}, "and leaves it everything when it has ended"


def test_two_jobs_of_one_requester_progress_side_by_side_and_count_once_beside_anothers(
    engine: Engine, ada: Requester, bob: Requester
) -> None:
    first, second, other = make_job(engine, ada, 30), make_job(engine, ada, 30), make_job(engine, bob, 30)
    assert batches(claimed(engine, 20)) == {first: 5, second: 5, other: 10}


def test_what_one_line_leaves_of_its_share_is_not_left_lying(engine: Engine, ada: Requester, bob: Requester) -> None:
    large, small = make_job(engine, ada, 40), make_job(engine, bob, 3)
    assert batches(claimed(engine, 20)) == {large: 17, small: 3}


def test_a_requester_who_asks_for_each_number_by_itself_starves_nobody(
    engine: Engine, ada: Requester, bob: Requester
) -> None:
    make_requests(engine, 40, owner=ada)
    make_requests(engine, 5, owner=bob, due_at=NOW + LATER)
    assert Counter(row.requester_id for row in claimed(engine, 10)) == {ada.id: 5, bob.id: 5}


def test_a_line_in_which_nothing_is_due_takes_no_share(engine: Engine, ada: Requester, bob: Requester) -> None:
    large = make_job(engine, ada, 20)
    make_job(engine, bob, 20, due_at=NOW + timedelta(hours=1))
    assert batches(claimed(engine, 10)) == {large: 10}


def test_lines_in_which_nothing_is_due_hide_none_behind_them(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, ada: Requester
) -> None:
    monkeypatch.setattr(sharing, "MOST_SEEN", 2)
    for _ in range(3):
        make_job(engine, ada, 1, due_at=NOW + timedelta(hours=1))
    jobs = [make_job(engine, ada, 1) for _ in range(3)]
    assert batches(claimed(engine, 10)) == dict.fromkeys(jobs, 1)


def test_within_a_line_the_oldest_is_first(engine: Engine, ada: Requester, bob: Requester) -> None:
    make_job(engine, bob, 5)
    batch_id = make_batch(engine, 4, owner=ada)
    ages = [timedelta(minutes=age) for age in (1, 4, 2, 3)]
    ids = [make_requests(engine, batch_id=batch_id, owner=ada, due_at=NOW - age)[0] for age in ages]
    assert [row.id for row in claimed(engine, 4) if row.batch_id == batch_id] == [ids[1], ids[3]]


def test_of_more_lines_than_a_claim_can_serve_all_have_their_turn(engine: Engine) -> None:
    owners = [make_requester(engine, f"requester {number}") for number in range(3 * MOST_LINES)]
    for owner in owners:
        make_requests(engine, 2, owner=owner)
    found: Counter[UUID] = Counter()
    while rows := claimed(engine, MOST_LINES):
        found.update(row.requester_id for row in rows)
    assert found == {owner.id: 2 for owner in owners}


@pytest.mark.parametrize("count", [1, 7, 50])
@pytest.mark.parametrize("batches_of", [(1,), (1, 1), (3, 1), (40,), (1,) * 40, (2,) * 7])
def test_nobody_gets_more_than_one_more_than_another(count: int, batches_of: tuple[int, ...]) -> None:
    owners = [new_id() for _ in batches_of]
    lines = [Line(new_id(), owner) for owner, lines in zip(owners, batches_of, strict=True) for _ in range(lines)]
    owner_of = {line.id: line.requester_id for line in lines}
    dealt = shares(lines, count)
    assert dealt.total() == count
    assert len(dealt) <= MOST_LINES
    of_owner: Counter[UUID] = Counter()
    for line, share in dealt.items():
        of_owner[owner_of[line]] += share
    assert max(of_owner.values()) - min(of_owner.values()) <= 1


def test_nobody_gets_anything_where_nobody_waits() -> None:
    assert not shares([], 50)
