"""A sweep: what a person does to all requests that a filter matches is previewed, paced, kept, and done once."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models import counter, sweep
from models.act import Act as HumanAct
from models.base import read, write
from models.listing import Filters
from models.request import Kind, Request
from models.state import Reason, State
from models.sweep import OutcomeKind, Sweep, SweepState
from models.transition import Move, transition
from tests.factory import NOW, fetch, make_batch, make_requester, make_requests
from tests.working import history, together
from worker import sweeping
from worker.explain.explanation import Risk
from worker.previewing import Preview, preview, told
from worker.runtime import Runtime
from worker.steering import Act, NotNow

HELD = Filters(state=State.HELD)
WHY = "the price list was wrong"
LATER = NOW + timedelta(seconds=10)
FAR = NOW.replace(year=NOW.year + 100)
"""After the real time too, which ids are made of."""


def make_held(engine: Engine, count: int = 1, upstream: str = "avanser", **changes: object) -> list[UUID]:
    ids = make_requests(engine, count, upstream=upstream)
    move(engine, *(Move(id_, State.HELD, "worker", Reason.OUTCOME_UNKNOWN, changes=changes) for id_ in ids))
    return ids


def move(engine: Engine, *moves: Move, after: timedelta = timedelta()) -> None:
    write(engine, lambda session: transition(session, moves, NOW + after))


def look(engine: Engine, act: Act, filters: Filters = HELD, requester_id: UUID | None = None) -> Preview:
    return read(engine, lambda session: preview(session, requester_id, filters, act, NOW))


def order(engine: Engine, seen: Preview, rate: int = sweeping.RATE) -> UUID:
    return write(engine, lambda session: sweeping.order(session, seen, WHY, "cli:ann", LATER, rate)).id


def portion(engine: Engine, after: int = 0) -> Sweep | None:
    """The next portion, so many seconds later."""
    progress = sweeping.do_portion(engine, LATER + timedelta(seconds=after))
    return None if progress is None else progress.sweep


def fetch_sweep(engine: Engine, id_: UUID) -> Sweep:
    return read(engine, lambda session: session.get_one(Sweep, id_))


def outcomes(engine: Engine, id_: UUID) -> dict[UUID, tuple[OutcomeKind, str | None]]:
    rows = read(engine, lambda session: sweep.outcomes(session, id_))
    return {row.request_id: (row.outcome, row.why) for row in rows}


def steer(engine: Engine, verb: str, id_: UUID) -> Sweep:
    return write(engine, lambda session: sweeping.ACTS[verb](session, id_, "ben", LATER))


def test_a_preview_tells_what_it_may_cost_and_changes_nothing(engine: Engine) -> None:
    make_held(engine, 3)
    make_held(engine, 2, upstream="messagemedia")
    make_requests(engine, 4)
    seen = look(engine, Act.ORDER_AGAIN)
    assert (seen.matching, seen.allowed, seen.is_whole, seen.risk) == (5, 5, True, Risk.SPENDS_MONEY)
    assert seen.may_buy == {"avanser": 3, "messagemedia": 2}
    assert "Spends money. It may buy up to 5 numbers: avanser 3, messagemedia 2." in list(told(seen))
    assert read(engine, counter.of_all)[State.HELD] == 5


def test_a_preview_tells_what_would_be_refused_and_why(engine: Engine) -> None:
    done, _ = make_requests(engine, 2)
    move(engine, Move(done, State.COMPLETED, "upstream", changes={"number": "+61280740801"}))
    seen = look(engine, Act.CANCEL, Filters(upstream="avanser"))
    assert (seen.matching, seen.allowed, seen.risk) == (2, 1, Risk.IRREVERSIBLE)
    assert seen.refusals == {"it has ended already: it is completed": 1}
    assert seen.by_state == {("queued", None): 1}


def test_of_an_empty_table_nothing_matches_and_nothing_is_ordered(engine: Engine) -> None:
    seen = look(engine, Act.CANCEL)
    assert list(told(seen)) == ["No request matches."]
    with pytest.raises(sweeping.NothingMatches):
        order(engine, seen)


def test_a_preview_is_of_the_requester_that_is_named(engine: Engine) -> None:
    make_held(engine)
    other = make_requester(engine, "crm")
    assert look(engine, Act.CANCEL, requester_id=other.id).matching == 0


@pytest.mark.parametrize(
    ("act", "state"),
    [
        (Act.CANCEL, State.CANCELLED),
        (Act.RETRY, State.SUBMITTING),
        (Act.FAILED, State.FAILED),
        (Act.ORDER_AGAIN, State.QUEUED),
    ],
)
def test_each_request_is_moved_once_with_who_and_why_in_its_history(engine: Engine, act: Act, state: State) -> None:
    ids = make_held(engine, 3)
    id_ = order(engine, look(engine, act))
    ended = portion(engine)
    assert ended is not None
    assert (ended.state, ended.done, ended.due_at) == (SweepState.FINISHED, 3, None)
    assert {fetch(engine, one).state for one in ids} == {state}
    last = history(engine, ids[0])[-1]
    assert last["actor"] == "cli:ann"
    assert WHY in last["detail"]
    assert outcomes(engine, id_) == dict.fromkeys(ids, (OutcomeKind.DONE, None))
    assert portion(engine, after=60) is None
    assert len(history(engine, ids[0])) == 3


def test_what_is_only_looked_at_sooner_says_so_in_its_history(engine: Engine) -> None:
    (id_,) = make_requests(engine, due_at=NOW + timedelta(hours=1))
    order(engine, look(engine, Act.RETRY, Filters(state=State.QUEUED)))
    portion(engine)
    assert fetch(engine, id_).due_at == LATER
    note = history(engine, id_)[-1]
    assert (note["type"], note["detail"]) == ("note", f"A person asked to look at it now. Why: {WHY}")


def test_it_keeps_to_its_rate_and_each_portion_waits_for_its_second(engine: Engine) -> None:
    make_held(engine, 5)
    id_ = order(engine, look(engine, Act.CANCEL), rate=2)
    done = []
    for after in (0, 0, 1, 1, 2):
        portion(engine, after)
        done.append(fetch_sweep(engine, id_).done)
    assert done == [2, 2, 4, 4, 5]


def test_what_came_after_the_preview_is_left_alone(engine: Engine) -> None:
    make_held(engine)
    seen = look(engine, Act.CANCEL)
    (younger,) = make_held(engine)
    order(engine, seen)
    portion(engine)
    assert fetch(engine, younger).state is State.HELD


def test_what_began_to_match_after_the_preview_is_left_alone(engine: Engine) -> None:
    (queued,) = make_requests(engine)
    make_held(engine)
    seen = look(engine, Act.ORDER_AGAIN)
    move(engine, Move(queued, State.HELD, "worker", Reason.OUTCOME_UNKNOWN), after=timedelta(seconds=1))
    order(engine, seen)
    ended = portion(engine)
    assert ended is not None
    assert (ended.previewed, ended.gathered, ended.done) == (1, 1, 1)
    assert fetch(engine, queued).state is State.HELD


def test_one_that_moved_meanwhile_is_refused_with_its_reason(engine: Engine) -> None:
    ended, elsewhere, _ = make_held(engine, 3)
    id_ = order(engine, look(engine, Act.CANCEL, Filters(reason="outcome_unknown")))
    completion = Move(ended, State.COMPLETED, "upstream", changes={"number": "+61280740801"})
    move(engine, completion, Move(elsewhere, State.HELD, "worker", Reason.CALLBACK_MISSING))
    portion(engine)
    found = outcomes(engine, id_)
    assert found[ended] == (OutcomeKind.REFUSED, "it has ended already: it is completed")
    assert found[elsewhere] == (
        OutcomeKind.REFUSED,
        "it has moved, and is not what was asked for any more: it is held (callback_missing)",
    )
    assert fetch(engine, elsewhere).state is State.HELD
    assert sweep.counts(fetch_sweep(engine, id_)) == {"waiting": 0, "done": 1, "refused": 2, "gone": 0}


def test_one_whose_number_is_not_known_is_not_completed_in_a_set(engine: Engine) -> None:
    (unknown,) = make_held(engine)
    (known,) = make_held(engine, number="+61280740801")
    id_ = order(engine, look(engine, Act.COMPLETED))
    portion(engine)
    assert outcomes(engine, id_)[unknown][0] is OutcomeKind.REFUSED
    assert fetch(engine, known).state is State.COMPLETED


def test_one_that_is_deleted_meanwhile_is_gone(engine: Engine) -> None:
    (id_,) = make_held(engine)
    swept = order(engine, look(engine, Act.CANCEL))
    write(engine, lambda session: _delete(session, id_))
    portion(engine)
    assert outcomes(engine, swept)[id_][0] is OutcomeKind.GONE


def _delete(session: Session, id_: UUID) -> None:
    session.execute(sa.delete(Request).where(Request.id == id_))


def test_a_portion_that_breaks_off_has_done_nothing_and_the_next_goes_on(engine: Engine) -> None:
    ids = make_held(engine, 4)
    id_ = order(engine, look(engine, Act.ORDER_AGAIN), rate=2)
    portion(engine)

    class PowerCutError(Exception):
        pass

    def killed(session: Session) -> None:
        sweeping.portion(session, LATER + timedelta(seconds=5))
        raise PowerCutError

    with pytest.raises(PowerCutError):
        write(engine, killed)
    assert fetch_sweep(engine, id_).done == 2
    portion(engine, after=6)
    assert fetch_sweep(engine, id_).state is SweepState.FINISHED
    assert [len(history(engine, one)) for one in ids] == [3] * 4, "made, held, and ordered again once"


def test_two_at_the_same_portion_do_it_once(postgresql: Engine) -> None:
    ids = make_held(postgresql, 6)
    id_ = order(postgresql, look(postgresql, Act.ORDER_AGAIN), rate=3)
    together(*[lambda after=after: portion(postgresql, after) for after in (0, 0, 0, 1, 1, 1)])
    for after in (5, 10):
        portion(postgresql, after)
    assert fetch_sweep(postgresql, id_).done == 6
    assert [len(history(postgresql, one)) for one in ids] == [3] * 6


def test_more_than_one_transaction_gathers_belong_to_it_all_the_same(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "GATHERED_AT_ONCE", 2)
    ids = make_held(engine, 5)
    id_ = order(engine, look(engine, Act.CANCEL))
    for _ in range(2):
        gathering = portion(engine)
        assert gathering is not None
        assert gathering.done == 0, "first it is known whom it is about"
    portion(engine)
    assert fetch_sweep(engine, id_).done == len(ids)


def test_it_is_paused_resumed_and_cancelled_and_what_is_done_stays_done(engine: Engine) -> None:
    make_held(engine, 4)
    id_ = order(engine, look(engine, Act.CANCEL), rate=1)
    portion(engine)
    assert steer(engine, "pause", id_).state is SweepState.PAUSED
    assert portion(engine, after=60) is None
    steer(engine, "resume", id_)
    assert portion(engine, after=60) is not None
    steer(engine, "cancel", id_)
    assert portion(engine, after=120) is None
    ended = fetch_sweep(engine, id_)
    assert (ended.state, sweep.counts(ended)["waiting"], ended.done) == (SweepState.CANCELLED, 2, 2)
    assert read(engine, counter.of_all)[State.CANCELLED] == 2
    with pytest.raises(NotNow, match="it has ended: it is cancelled"):
        steer(engine, "resume", id_)
    acts = read(engine, lambda session: session.scalars(sa.select(HumanAct).order_by(HumanAct.id)).all())
    assert [(one.act, one.actor, one.reason) for one in acts] == [
        ("sweep.order", "cli:ann", WHY),
        ("sweep.pause", "ben", None),
        ("sweep.resume", "ben", None),
        ("sweep.cancel", "ben", None),
    ]


@pytest.mark.parametrize(("reason", "rate"), [(" ", 50), (WHY, 0), (WHY, sweeping.MOST_A_SECOND + 1)])
def test_no_sweep_without_a_reason_or_at_an_absurd_rate(engine: Engine, reason: str, rate: int) -> None:
    make_held(engine)
    seen = look(engine, Act.CANCEL)
    with pytest.raises(ValueError, match=r"say why|the rate is"):
        write(engine, lambda session: sweeping.order(session, seen, reason, "ann", NOW, rate))


def test_every_filter_is_kept_with_the_sweep(engine: Engine) -> None:
    batch = make_batch(engine, 1)
    filters = Filters(State.HELD, "avanser", Kind.PROVISION, batch, "outcome_unknown", "dealer-17", False, NOW)
    ids = make_requests(engine, batch_id=batch, custom_id="dealer-17")
    move(engine, Move(ids[0], State.HELD, "worker", Reason.OUTCOME_UNKNOWN))
    assert look(engine, Act.CANCEL, filters).matching == 0, "it was not made before that"
    wider = Filters(**{name: getattr(filters, name) for name in Filters.__slots__} | {"made_before": FAR})
    id_ = order(engine, look(engine, Act.CANCEL, wider))
    assert sweep.filters_of(fetch_sweep(engine, id_)) == wider


def test_a_worker_goes_on_with_what_its_command_left(runtime: Runtime) -> None:
    ids = make_held(runtime.engine, 3)
    order(runtime.engine, look(runtime.engine, Act.FAILED))
    sweeping.begin_due(runtime)
    assert runtime.lanes.drain(timedelta(seconds=20))
    assert {fetch(runtime.engine, one).state for one in ids} == {State.FAILED}


def test_a_sweep_that_breaks_off_does_not_keep_the_others_waiting(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    """As one that another release has ordered, whose act is not known here."""
    make_held(runtime.engine, upstream="avanser")
    (other,) = make_held(runtime.engine, upstream="messagemedia")
    broken = order(runtime.engine, look(runtime.engine, Act.FAILED, Filters(State.HELD, "avanser")))
    order(runtime.engine, look(runtime.engine, Act.FAILED, Filters(State.HELD, "messagemedia")))
    write(runtime.engine, lambda session: session.execute(sa.update(Sweep).where(Sweep.id == broken).values(act="new")))
    sweeping.begin_due(runtime)
    assert runtime.lanes.drain(timedelta(seconds=20))
    while sweeping.work(runtime):
        """What was left when the lane was told to end."""
    assert fetch(runtime.engine, other).state is State.FAILED
    left = fetch_sweep(runtime.engine, broken)
    assert left.state is SweepState.RUNNING
    assert left.due_at is not None
    assert left.due_at > runtime.clock.now()
    assert str(broken) in caplog.text
