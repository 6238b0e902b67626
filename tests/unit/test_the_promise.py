"""The promise as a machine of rules: whatever comes, and in whatever order, it holds after each step.

The workers, the receiver and the database are the product's own; the vendor, the requester, the broker and the clock
are those of `tests.simulation`.
"""

from __future__ import annotations

import logging
import os
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from models import counter
from models.base import read
from models.number import Number
from models.request import Request
from models.state import FINAL, Reason, State
from tests.simulation.judge import judge
from tests.simulation.run import Run
from tests.simulation.scenario import Callback, Intruder, Order, Person, Reply, Scenario, Style
from worker.steering import Outcome

FORGED_NUMBER = "+61299999999"

PASSING = [timedelta(seconds=seconds) for seconds in (0.004, 0.1, 1, 31, 61, 110, 600, 3_600)]
"""A moment between two transactions; a time-out; the settling time; a lease; a look-up."""

NAMED = {Reason.UPSTREAM_PAUSED}
"""Why a request that is neither held nor due may wait: somebody else wakes it, by a rule."""


@dataclass(frozen=True)
class Course:
    """What becomes of a number that is asked for."""

    fates: list[Order]  # of its orders
    how: Callback
    dies_in: int | None  # points, from when it is asked for
    time: timedelta  # until the next step


COURSES = st.builds(
    Course,
    fates=st.lists(st.sampled_from(Order), min_size=1, max_size=3),
    how=st.sampled_from(Callback),
    dies_in=st.none() | st.integers(1, 14),
    time=st.sampled_from(PASSING),
)


class ThePromise(RuleBasedStateMachine):
    """One requester, one vendor, two workers."""

    def __init__(self) -> None:
        super().__init__()
        logging.disable(logging.CRITICAL)
        self.ended: dict[UUID, tuple[State, str | None]] = {}
        self.asked = 0
        self.stack = ExitStack()

    @initialize(
        style=st.sampled_from(Style), list_lag=st.sampled_from([timedelta(seconds=30), timedelta()]), first=COURSES
    )
    def begin(self, style: Style, list_lag: timedelta, first: Course) -> None:
        self.run = Run(0, Scenario(requests=0, workers=2, style=style, list_lag=list_lag))
        self.stack.enter_context(self.run.going())
        self.run.workers.has_prompt_hints = False  # who dies is not known beforehand
        self._ask(first)

    @precondition(lambda self: self.asked < 4)
    @rule(course=COURSES)
    def a_number_is_asked_for(self, course: Course) -> None:
        self._ask(course)

    def _ask(self, course: Course) -> None:
        self.asked += 1
        self.run.vendor.will(course.how, *course.fates)
        if course.dies_in is not None:
            self.run.world.dies_in(course.dies_in)
        self.run.outside.submit(f"key {self.asked}")
        self.run.run_for(course.time)

    @rule(key=st.integers(1, 4))
    def the_same_is_asked_for_again(self, key: int) -> None:
        if key <= self.asked:
            self.run.outside.submit(f"key {key}")

    @rule(time=st.sampled_from(PASSING))
    def time_passes(self, time: timedelta) -> None:
        self.run.run_for(time)

    @rule(which=st.integers(0, 9))
    def a_callback_comes_once_more(self, which: int) -> None:
        sales = self.run.vendor.sales
        if sales:
            self.run.vendor.says_again(sales[which % len(sales)])

    @rule(intruder=st.sampled_from(Intruder))
    def somebody_calls_who_should_not(self, intruder: Intruder) -> None:
        self.run.outside.intrude(intruder)

    @rule(points=st.integers(1, 12), time=st.sampled_from(PASSING))
    def somebody_will_die(self, points: int, time: timedelta) -> None:
        self.run.world.dies_in(points)
        self.run.run_for(time)

    @rule(person=st.sampled_from(Person))
    def a_person_acts(self, person: Person) -> None:
        self.run.outside.act(person)

    @rule(outcome=st.sampled_from(Outcome))
    def a_person_settles_what_is_held(self, outcome: Outcome) -> None:
        held = [row.id for row in self.rows() if row.state is State.HELD]
        if held:
            self.run.outside.settle(held[0], outcome)

    @rule(time=st.sampled_from([timedelta(seconds=20), timedelta(minutes=20)]))
    def the_vendor_has_an_outage(self, time: timedelta) -> None:
        self.run.vendor.goes_away(time)

    @rule(reply=st.sampled_from(Reply))
    def the_requester_is_like_this_next(self, reply: Reply) -> None:
        self.run.requester.will(reply)

    @rule()
    def the_relay_makes_a_round(self) -> None:
        self.run.workers.tick()

    def rows(self) -> list[Request]:
        with self.run.database.reading():
            return read(self.run.database.engine, lambda s: list(s.scalars(sa.select(Request).order_by(Request.id))))

    @invariant()
    def none_is_ordered_twice_unless_a_person_said_so(self) -> None:
        for row in self.rows():
            bought = [one for one in self.run.vendor.sales if one.request_id == row.id and not one.failed]
            assert len(bought) <= 1 + self.run.outside.ordered_by_hand[row.id]

    @invariant()
    def who_has_ended_stays_as_it_is(self) -> None:
        ended = {row.id: (row.state, row.number) for row in self.rows() if row.state in FINAL}
        assert {id_: ended.get(id_) for id_ in self.ended} == self.ended
        self.ended = ended

    @invariant()
    def who_is_open_is_held_or_due_or_waits_by_a_rule(self) -> None:
        for row in self.rows():
            if row.state in FINAL or row.state is State.HELD:
                assert row.due_at is None
            else:
                assert row.due_at is not None or row.reason in NAMED

    @invariant()
    def the_counters_are_right(self) -> None:
        rows = self.rows()
        with self.run.database.reading():
            counts = read(self.run.database.engine, counter.of_all)
        assert counts == {state: sum(row.state is state for row in rows) for state in State}

    @invariant()
    def what_is_forged_changes_nothing(self) -> None:
        assert all(row.number != FORGED_NUMBER for row in self.rows())
        with self.run.database.reading():
            owned = sa.select(Number.id).where(Number.number == FORGED_NUMBER)
            assert not read(self.run.database.engine, lambda session: session.scalars(owned).all())

    @invariant()
    def nothing_else_was_seen(self) -> None:
        assert not self.run.world.faults

    def teardown(self) -> None:
        """In the end all that was asked for has ended, or is held, and ledger and log agree with the books."""
        try:
            if self.asked:
                self.run.drain()
                verdict = judge(self.run)
                assert not verdict.faults, "\n".join([*verdict.log, *verdict.faults])
        finally:
            self.stack.close()
            logging.disable(logging.NOTSET)


ThePromise.TestCase.settings = settings(
    max_examples=80,
    stateful_step_count=25,
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow],
)

TestThePromise = ThePromise.TestCase
