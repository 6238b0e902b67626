"""What `explain` says of requests that really got into a state, held against what then happens and what may be done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models import heartbeat, parking, upstream
from models.base import read, write
from models.due import HELD_AFTER, claim_requests
from models.request import Kind, OnOutOfStock, Request
from models.requester import Scope
from models.state import Reason, State
from models.transition import Move, transition
from tests.factory import NOW, fetch, make_endpoint, make_requester, make_requests
from tests.integration.cli import Cli
from tests.receiver import Api
from tests.working import NAME, SETTLING, ScriptedUpstream, let_pass, until_due
from worker import steering, stock
from worker.cli import main
from worker.deliver import deliver
from worker.explain import Explanation, explain, gather
from worker.explain.explanation import NextStep
from worker.limits import Limits
from worker.relay import HEARTBEAT
from worker.runtime import Runtime
from worker.steering import Act, NotNow, Outcome, allowed
from worker.upstreams.base import (
    Accepted,
    NotFound,
    OutcomeUnknown,
    Rejected,
    StockRow,
    Unavailable,
    Undecidable,
    WrongAccount,
)
from worker.workflow import advance

SYDNEY = "+61280740801"
JUST_BEFORE = timedelta(seconds=1)
"""At the least: of a long wait a tenth is left, since a slow machine takes longer than a second for a step."""


@dataclass
class Shop(ScriptedUpstream):
    """Counts how often its stock was looked at, which is empty."""

    stock_looks: int = 0

    async def stock(self, query: Mapping[str, str], deadline: timedelta) -> list[StockRow]:
        self.stock_looks += 1
        return []


@pytest.fixture
def client() -> Shop:
    return Shop()


@dataclass
class Bench:
    """A worker without Celery, and the upstream that it asks."""

    runtime: Runtime
    client: Shop

    @property
    def engine(self) -> Engine:
        return self.runtime.engine

    def take(self, **fields: Any) -> UUID:
        now = self.runtime.clock.now()
        (id_,) = make_requests(self.engine, **({"due_at": now, "deadline": now + timedelta(days=30)} | fields))
        return id_

    def step(self) -> None:
        """What relay and worker do when they come round."""
        write(self.engine, lambda session: parking.sort_out(session, self.runtime.clock.now()))
        advance(self.runtime, NAME)
        stock.look(self.runtime, NAME)

    def explain(self, id_: UUID) -> Explanation:
        now = self.runtime.clock.now()

        def work(session: Session) -> Explanation:
            return explain(gather(session, session.get_one(Request, id_), self.runtime.settings, now), now)

        return read(self.engine, work)

    def asked(self) -> dict[str, int]:
        client = self.client
        return {"order": len(client.orders), "look_up": len(client.looks), "look_at_stock": client.stock_looks}


@pytest.fixture
def bench(runtime: Runtime, client: Shop) -> Bench:
    return Bench(runtime, client)


def due(bench: Bench) -> UUID:
    return bench.take()


def refused(bench: Bench) -> UUID:
    id_, bench.client.on_submit = bench.take(), Unavailable("connection refused")
    bench.step()
    return id_


def asked_to_slow_down(bench: Bench) -> UUID:
    limit = Unavailable("429", reason=Reason.OVER_LIMIT, retry_after=timedelta(seconds=90))
    id_, bench.client.on_submit = bench.take(), limit
    bench.step()
    return id_


def out_of_stock(bench: Bench) -> UUID:
    id_, bench.client.on_submit = bench.take(), Rejected(Reason.OUT_OF_STOCK, "None in sydney")
    bench.step()
    return id_


def out_of_stock_until_its_deadline(bench: Bench) -> UUID:
    id_ = bench.take(deadline=bench.runtime.clock.now() + timedelta(seconds=30))
    bench.client.on_submit = Rejected(Reason.OUT_OF_STOCK, "None in sydney")
    bench.step()
    return id_


def silent(bench: Bench) -> UUID:
    id_, bench.client.on_submit, bench.client.on_look_up = bench.take(), OutcomeUnknown("read time-out"), NotFound()
    bench.step()
    return id_


def absent_once(bench: Bench) -> UUID:
    id_ = silent(bench)
    until_due(bench.engine)
    bench.step()
    return id_


def not_to_be_asked(bench: Bench) -> UUID:
    id_ = silent(bench)
    bench.client.on_look_up = Unavailable("HTTP 503")
    until_due(bench.engine)
    bench.step()
    return id_


def between_two_orders(bench: Bench) -> UUID:
    id_ = absent_once(bench)
    until_due(bench.engine)
    bench.step()
    return id_


def acknowledged(bench: Bench) -> UUID:
    id_, bench.client.on_submit, bench.client.on_look_up = bench.take(), Accepted(SYDNEY, "ref-1"), Accepted(SYDNEY)
    bench.step()
    return id_


def looked_up_twice(bench: Bench) -> UUID:
    id_ = acknowledged(bench)
    for _ in range(2):
        until_due(bench.engine)
        bench.step()
    return id_


def lost_with_its_worker(bench: Bench) -> UUID:
    id_ = bench.take()
    lease = bench.runtime.settings.upstreams[NAME].lease
    write(bench.engine, lambda session: claim_requests(session, NAME, 1, bench.runtime.clock.now(), lease))
    let_pass(bench.engine, lease)
    return id_


def release_that_waits(bench: Bench) -> UUID:
    later = bench.runtime.clock.now() + timedelta(hours=1)
    return bench.take(kind=Kind.RELEASE, number=SYDNEY, spec={}, due_at=later)


def second_change(bench: Bench) -> UUID:
    """The first is out, and the second waits for it."""
    bench.client.on_submit = Accepted(SYDNEY, "ref-1")
    _, second = (bench.take(kind=Kind.UPDATE, number=SYDNEY, spec={}) for _ in range(2))
    bench.step()
    return second


def at_the_end_of_its_workers(bench: Bench) -> UUID:
    id_ = lost_with_its_worker(bench)

    def work(session: Session) -> None:
        session.get_one(Request, id_).unanswered = HELD_AFTER

    write(bench.engine, work)
    return id_


WAYS: list[tuple[Callable[[Bench], UUID], NextStep]] = [
    (due, NextStep.ORDER),
    (refused, NextStep.ORDER),
    (asked_to_slow_down, NextStep.ORDER),
    (out_of_stock, NextStep.LOOK_AT_STOCK),
    (out_of_stock_until_its_deadline, NextStep.FAIL),
    (silent, NextStep.LOOK_UP),
    (absent_once, NextStep.LOOK_UP),
    (not_to_be_asked, NextStep.LOOK_UP),
    (between_two_orders, NextStep.ORDER),
    (acknowledged, NextStep.LOOK_UP),
    (looked_up_twice, NextStep.LOOK_UP),
    (lost_with_its_worker, NextStep.LOOK_UP),
    (release_that_waits, NextStep.ORDER),
    (second_change, NextStep.CHECK_TURN),
    (at_the_end_of_its_workers, NextStep.HOLD),
]


@pytest.mark.parametrize(("way", "step"), WAYS, ids=[way.__name__ for way, _ in WAYS])
def test_what_is_said_to_come_next_comes_and_not_before(
    bench: Bench, way: Callable[[Bench], UUID], step: NextStep
) -> None:
    id_ = way(bench)
    said = bench.explain(id_)
    assert said.next.step is step
    assert said.next.at is not None
    bench.client.on_submit, bench.client.on_look_up = Unavailable("down"), Unavailable("down")
    before, wait = bench.asked(), said.next.at - bench.runtime.clock.now()
    if wait > 2 * JUST_BEFORE:
        margin = max(JUST_BEFORE, wait / 10)
        let_pass(bench.engine, wait - margin)
        bench.step()
        assert bench.asked() == before
        assert fetch(bench.engine, id_).state is said.state
        wait = margin
    let_pass(bench.engine, max(wait, timedelta()) + timedelta(milliseconds=1))
    bench.runtime.limits = Limits(None)  # which know nothing of time that only passed for the rows
    bench.step()
    row = fetch(bench.engine, id_)
    expected = {name: count + (name == step) for name, count in before.items()}
    assert bench.asked() == expected
    match step:
        case NextStep.FAIL:
            assert row.state is State.FAILED
        case NextStep.HOLD:
            assert row.state is State.HELD
        case NextStep.CHECK_TURN:
            assert (row.state, row.reason) == (State.QUEUED, Reason.EARLIER_CHANGE)


def test_absent_once_more_or_absent_again_is_foretold(bench: Bench) -> None:
    id_ = silent(bench)
    assert "if it is absent, once more when the settling time (60 s) is over" in bench.explain(id_).next.detail
    until_due(bench.engine)
    bench.step()
    said = bench.explain(id_)
    assert "if it is absent again, it is ordered again" in said.next.detail
    unknown_since = fetch(bench.engine, id_).unknown_since
    assert unknown_since is not None
    assert said.next.at == unknown_since + SETTLING
    until_due(bench.engine)
    bench.step()
    again = bench.explain(id_)
    assert (again.state, again.next.step) == (State.QUEUED, NextStep.ORDER)
    assert again.known[0].startswith("The first order was not to be seen")


def test_the_last_of_the_tries_is_foretold(bench: Bench) -> None:
    id_ = refused(bench)
    assert "given up" not in bench.explain(id_).next.detail
    until_due(bench.engine)
    bench.step()
    assert "given up and fails" in bench.explain(id_).next.detail
    until_due(bench.engine)
    bench.step()
    assert bench.explain(id_).state is State.FAILED


def test_while_it_is_asked_the_answer_comes_next_and_after_the_lease_a_look(bench: Bench) -> None:
    heard: list[Explanation] = []

    def reply(_: object) -> Accepted:
        heard.append(bench.explain(id_))
        return Accepted(SYDNEY, "ref-1")

    id_, bench.client.on_submit, bench.client.on_look_up = bench.take(), reply, reply
    bench.step()
    let_pass(bench.engine, timedelta(minutes=5))
    bench.step()
    submit, look = heard
    lease = bench.runtime.settings.upstreams[NAME].lease
    assert (submit.state, submit.next.step, look.state, look.next.step) == (
        State.SUBMITTING,
        NextStep.ANSWER,
        State.ACCEPTED,
        NextStep.ANSWER,
    )
    assert submit.next.at is not None
    assert submit.next.at - submit.since == lease


def test_what_waits_at_a_paused_upstream_goes_out_when_the_offered_command_was_run(bench: Bench) -> None:
    id_ = bench.take()
    now = bench.runtime.clock.now()
    write(bench.engine, lambda session: upstream.pause(session, NAME, "by_person", "the invoice is wrong", "ann", now))
    assert bench.explain(id_).next.step is NextStep.PERSON, "also before the relay has parked it"
    let_pass(bench.engine, timedelta(hours=1))
    bench.step()
    assert bench.client.orders == []
    said = bench.explain(id_)
    assert (said.reason, said.next.step) == (Reason.UPSTREAM_PAUSED, NextStep.PERSON)
    assert "by ann (by_person): the invoice is wrong." in said.known[-1]
    (resume,) = (action for action in said.actions if action.name == "resume_upstream")
    typed(resume.command)
    assert bench.explain(id_).next.step is NextStep.ORDER
    bench.step()
    assert len(bench.client.orders) == 1


def typed(command: str, status: int = 0) -> str:
    """Types the command, word for word."""
    result = CliRunner().invoke(main, command.removeprefix("trunkline ").split())
    assert result.exit_code == status, result.output
    return result.output


def held(bench: Bench) -> UUID:
    id_, bench.client.on_submit = bench.take(), Undecidable("two orders")
    bench.step()
    return id_


@pytest.mark.parametrize("name", ["retry", "resolve_completed", "resolve_failed", "resolve_retry", "cancel"])
def test_each_command_that_is_offered_for_a_held_request_does_what_its_name_says(bench: Bench, name: str) -> None:
    id_ = held(bench)
    (action,) = (action for action in bench.explain(id_).actions if action.name == name)
    typed(action.command.replace("+61…", SYDNEY))
    row = fetch(bench.engine, id_)
    expected: dict[str, tuple[State, str | None]] = {
        "retry": (State.SUBMITTING, Reason.OUTCOME_UNKNOWN),
        "resolve_completed": (State.COMPLETED, Reason.BY_PERSON),
        "resolve_failed": (State.FAILED, Reason.BY_PERSON),
        "resolve_retry": (State.QUEUED, Reason.BY_PERSON),
        "cancel": (State.CANCELLED, Reason.BY_PERSON),
    }
    assert (row.state, row.reason) == expected[name]
    assert row.number == (SYDNEY if name == "resolve_completed" else None)


def test_a_release_is_sent_by_the_command_that_is_offered(bench: Bench) -> None:
    bought = acknowledged(bench)
    done = Move(bought, State.COMPLETED, "test", changes={"number": SYDNEY})
    write(bench.engine, lambda session: transition(session, [done], bench.runtime.clock.now()))
    id_ = release_that_waits(bench)
    (action,) = (action for action in bench.explain(id_).actions if action.name == "send_now")
    typed(action.command)
    assert bench.explain(id_).next.step is NextStep.ORDER
    bench.step()
    assert bench.client.orders[-1].kind is Kind.RELEASE


def rows_in_every_state() -> Iterator[dict[str, Any]]:
    reasons: dict[State, list[str | None]] = {
        State.QUEUED: [None, Reason.OUT_OF_STOCK, Reason.UPSTREAM_PAUSED, Reason.RELEASE_DELAY, Reason.BY_PERSON],
        State.SUBMITTING: [None, Reason.OUTCOME_UNKNOWN],
        State.HELD: [Reason.OUTCOME_UNKNOWN, Reason.WRONG_ACCOUNT, Reason.CALLBACK_MISSING, Reason.WORKERS_LOST],
    }
    for state, kind, is_due, was_accepted in product(State, Kind, (True, False), (True, False)):
        for reason in reasons.get(state, [None]):
            changes = {"accepted_at": NOW if was_accepted else None, "attempts": int(was_accepted)}
            due_at = NOW if is_due else NOW + timedelta(hours=1)
            yield {"state": state, "kind": kind, "reason": reason, "due_at": due_at, "changes": changes}


def doing(act: Act, session: Session, id_: UUID) -> Request:
    match act:
        case Act.CANCEL:
            return steering.cancel(session, id_, "ada", NOW)
        case Act.RETRY:
            return steering.retry(session, id_, "ada", NOW)
        case Act.SEND_NOW:
            return steering.hasten(session, id_, "ada", NOW)
        case Act.COMPLETED:
            return steering.resolve(session, id_, Outcome.COMPLETED, SYDNEY, None, "ada", NOW)
        case Act.FAILED:
            return steering.resolve(session, id_, Outcome.FAILED, None, None, "ada", NOW)
        case Act.ORDER_AGAIN:
            return steering.resolve(session, id_, Outcome.RETRY, None, None, "ada", NOW)


class Undone(Exception):
    """Takes back what was tried."""


def is_possible(engine: Engine, act: Act, id_: UUID) -> bool:
    def work(session: Session) -> None:
        doing(act, session, id_)
        raise Undone

    with pytest.raises((Undone, NotNow)) as raised:
        write(engine, work)
    return raised.type is Undone


def test_all_that_is_offered_is_possible_and_all_that_is_possible_is_offered(engine: Engine) -> None:
    for wanted in rows_in_every_state():
        (id_,) = make_requests(engine, kind=wanted["kind"], number=SYDNEY, due_at=wanted["due_at"], spec={})
        move = Move(id_, wanted["state"], "test", wanted["reason"], None, wanted["due_at"], changes=wanted["changes"])
        write(engine, lambda session, move=move: transition(session, [move], NOW))  # type: ignore[misc]
        possible = {act for act in Act if is_possible(engine, act, id_)}
        assert set(allowed(fetch(engine, id_), NOW)) == possible, wanted


ODD: list[tuple[Callable[[Bench], UUID], str, str]] = [
    (held, "Whether it was ordered, no evidence settles.", "resolve_completed"),
    (absent_once, "A look at", "retry"),
    (out_of_stock, "It waits for stock: None in sydney", "cancel"),
    (refused, "1 of 3 tries in a row came to nothing, and provably ordered nothing.", "retry"),
    (looked_up_twice, "Its callback has not come. It was looked up twice", "retry"),
    (between_two_orders, "The first order was not to be seen", "cancel"),
]


@pytest.mark.parametrize(("way", "sentence", "action"), ODD, ids=[way.__name__ for way, _, _ in ODD])
def test_the_command_line_and_the_api_say_the_same_words(
    bench: Bench, api: Api, tmp_path: Path, way: Callable[[Bench], UUID], sentence: str, action: str
) -> None:
    id_ = way(bench)
    cli = Cli(tmp_path, bench.engine)
    by_api, by_cli = api.get(f"/v1/requests/{id_}/explain").json, cli.json("explain", id_)
    assert by_api is not None
    for told in (by_api, by_cli):
        assert any(one.startswith(sentence) for one in told["known"])
        assert action in [one["name"] for one in told["actions"]]
        assert told["evidence"] is not None
    assert by_api["actions"] == by_cli["actions"]
    assert by_api["next"]["step"] == by_cli["next"]["step"]
    text = cli.run("explain", id_).stdout
    assert sentence in text
    assert "What you may do" in text
    assert all(f"{one['risk'].replace('_', ' ')}: {one['command']}" in text for one in by_cli["actions"])


def test_it_is_explained_by_any_of_its_names_and_one_that_several_have_lists_them(bench: Bench, tmp_path: Path) -> None:
    id_ = acknowledged(bench)
    cli = Cli(tmp_path, bench.engine)
    for name in (SYDNEY, "02 8074 0801", "ref-1"):
        assert cli.json("explain", name)["id"] == str(id_)
    ids = make_requests(bench.engine, 2, custom_id="twice")
    said = cli.run("explain", "twice", status=2).stderr
    assert all(str(one) in said for one in ids)
    cli.run("explain", "nobody", status=2)


def test_anothers_request_is_not_explained(bench: Bench, api: Api) -> None:
    id_ = held(bench)
    stranger = api.make_key(Scope.READ, requester="other")
    assert api.get(f"/v1/requests/{id_}/explain", key=stranger).status_code == 404


def test_nobody_at_work_is_said_and_somebody_at_work_is_not(bench: Bench) -> None:
    id_ = bench.take()
    let_pass(bench.engine, timedelta(minutes=10))
    assert str(bench.explain(id_).stuck).startswith("It has been due for 10 min. No worker has been heard of ever")
    write(bench.engine, lambda session: heartbeat.beat(session, HEARTBEAT, bench.runtime.clock.now()))
    assert "The workers live and are behind: 1 are due at avanser" in str(bench.explain(id_).stuck)
    bench.step()
    assert bench.explain(id_).stuck is None


def test_what_became_of_the_result_is_told_and_a_disabled_endpoint_is_mended_by_the_commands(bench: Bench) -> None:
    endpoint = make_endpoint(bench.engine, make_requester(bench.engine), "http://127.0.0.1:9/")
    id_, bench.client.on_submit = bench.take(on_out_of_stock=OnOutOfStock.FAIL), Rejected(detail="no line")
    bench.step()
    typed(f"trunkline endpoints disable {endpoint.name}")
    assert "is given up at the next try" in bench.explain(id_).results[0]
    deliver(bench.runtime)
    said = bench.explain(id_)
    assert "did not reach crm and was given up" in said.results[0]
    commands = [action.command for action in said.actions]
    assert commands == ["trunkline endpoints enable crm", f"trunkline replay {id_}"]
    for command in commands:
        typed(command)
    assert bench.explain(id_).results == ("request.failed is on its way to crm.",)


def test_an_answer_from_another_account_is_explained_with_what_looking_again_would_risk(bench: Bench) -> None:
    id_, bench.client.on_submit = bench.take(), WrongAccount("account 9xxx, ours is 7xxx")
    bench.step()
    said = bench.explain(id_)
    assert "it was ordered there" in said.known[0]
    risks = {action.name: str(action.risk) for action in said.actions}
    assert (risks["retry"], risks["doctor"], risks["resume_upstream"]) == ("spends_money", "safe", "spends_money")
