"""The promise as a machine of rules: whatever comes, and in whatever order, it holds after each step.

The workers, the receiver and the database are the product's own; the vendor, the requester, the broker and the clock
are those of `tests.simulation`.
"""

from __future__ import annotations

import logging
import os
from contextlib import ExitStack
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


class ThePromise(RuleBasedStateMachine):
    """One requester, one vendor, two workers."""

    def __init__(self) -> None:
        super().__init__()
        logging.disable(logging.CRITICAL)
        self.ended: dict[UUID, tuple[State, str | None]] = {}
        self.asked = 0
        self.stack = ExitStack()

    @initialize(style=st.sampled_from(Style), list_lag=st.sampled_from([timedelta(), timedelta(seconds=30)]))
    def begin(self, style: Style, list_lag: timedelta) -> None:
        self.run = Run(0, Scenario(requests=0, workers=2, style=style, list_lag=list_lag))
        self.stack.enter_context(self.run.going())
        self.run.workers.has_prompt_hints = False  # who dies is not known beforehand

    @precondition(lambda self: self.asked < 4)
    @rule()
    def a_number_is_asked_for(self) -> None:
        self.asked += 1
        self.run.outside.submit(f"key {self.asked}")

    @rule(key=st.integers(1, 4))
    def the_same_is_asked_for_again(self, key: int) -> None:
        if key <= self.asked:
            self.run.outside.submit(f"key {key}")

    @rule(time=st.sampled_from(PASSING))
    def time_passes(self, time: timedelta) -> None:
        self.run.run_for(time)

    @rule(fate=st.sampled_from(Order))
    def the_next_order_comes_to_this(self, fate: Order) -> None:
        self.run.vendor.will(fate)

    @rule(how=st.sampled_from(Callback))
    def the_next_callback_comes_like_this(self, how: Callback) -> None:
        self.run.vendor.will(how)

    @rule(which=st.integers(0, 9))
    def a_callback_comes_once_more(self, which: int) -> None:
        sales = self.run.vendor.sales
        if sales:
            self.run.vendor.says_again(sales[which % len(sales)])

    @rule(intruder=st.sampled_from(Intruder))
    def somebody_calls_who_should_not(self, intruder: Intruder) -> None:
        self.run.outside.intrude(intruder)

    @rule(points=st.integers(1, 12))
    def somebody_will_die(self, points: int) -> None:
        self.run.world.dies_in(points)

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
        if self.asked:
            for row in self.rows():
                bought = [one for one in self.run.vendor.sales if one.request_id == row.id and not one.failed]
                assert len(bought) <= 1 + self.run.outside.ordered_by_hand[row.id]

    @invariant()
    def who_has_ended_stays_as_it_is(self) -> None:
        if self.asked:
            for row in self.rows():
                if row.state in FINAL:
                    assert self.ended.setdefault(row.id, (row.state, row.number)) == (row.state, row.number)
            assert set(self.ended) <= {row.id for row in self.rows() if row.state in FINAL}

    @invariant()
    def who_is_open_is_held_or_due_or_waits_by_a_rule(self) -> None:
        if self.asked:
            for row in self.rows():
                waits = row.due_at is not None or row.state is State.HELD or row.reason in NAMED
                assert waits or row.state in FINAL
                assert row.due_at is None or row.state not in FINAL | {State.HELD}

    @invariant()
    def the_counters_are_right(self) -> None:
        if self.asked:
            rows = self.rows()
            with self.run.database.reading():
                counts = read(self.run.database.engine, counter.of_all)
            assert counts == {state: sum(row.state is state for row in rows) for state in State}

    @invariant()
    def what_is_forged_changes_nothing(self) -> None:
        if self.asked:
            assert all(row.number != FORGED_NUMBER for row in self.rows())
            with self.run.database.reading():
                owned = sa.select(Number.id).where(Number.number == FORGED_NUMBER)
                assert not read(self.run.database.engine, lambda session: session.scalars(owned).all())

    @invariant()
    def nothing_else_was_seen(self) -> None:
        if self.asked:
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
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow],
)

TestThePromise = ThePromise.TestCase
