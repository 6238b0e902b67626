"""What is said about a request in each state that it can be in, and what may be done about it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from models.base import new_id
from models.delivery import Delivery, DeliveryState
from models.due import HELD_AFTER
from models.endpoint import Endpoint
from models.event import Event, EventKind
from models.request import Kind, OnOutOfStock, Request
from models.state import FINAL, Reason, State
from models.stock_watch import StockWatch
from models.upstream import Pause
from tests.factory import NOW
from worker.decision import LONGEST_UNKNOWN, MOST_LOOKS
from worker.explain import Explanation, Facts, explain, view
from worker.explain.explanation import Risk, ended, span
from worker.explain.facts import Result, Rules

SYDNEY = "+61280740801"
SETTLING = timedelta(seconds=60)
SOON, LATER = NOW + timedelta(seconds=40), NOW + timedelta(hours=3)
AGO = NOW - timedelta(minutes=10)


def a_request(state: State = State.QUEUED, reason: str | None = None, **fields: Any) -> Request:
    given: dict[str, Any] = {
        "id": new_id(),
        "requester_id": fields.pop("requester_id", None) or new_id(),
        "upstream": "avanser",
        "kind": Kind.PROVISION,
        "state": state,
        "reason": reason,
        "attempts": 0,
        "retries": 0,
        "looks": 0,
        "unanswered": 0,
        "repeated": False,
        "deadline": NOW + timedelta(days=7),
        "on_out_of_stock": OnOutOfStock.WAIT,
        "due_at": None if state in FINAL or state is State.HELD else NOW,
        "created_at": AGO,
        "updated_at": AGO,
        "finished_at": AGO if state in FINAL else None,
    }
    return Request(**(given | fields))


def facts_of(row: Request, **fields: Any) -> Facts:
    given: dict[str, Any] = {
        "request": row,
        "requester": "default",
        "rules": Rules(max_attempts=20, settling=SETTLING),
        "since": AGO,
        "last": None,
        "contradiction": None,
        "pause": None,
        "earlier": None,
        "watch": None,
        "is_gone": False,
        "backlog": 0,
        "last_beat": NOW,
        "results": [],
    }
    return Facts(**(given | fields))


def told(row: Request, **fields: Any) -> Explanation:
    return explain(facts_of(row, **fields), NOW)


def words(explanation: Explanation) -> str:
    return " ".join([*explanation.known, explanation.next.detail])


PAUSE = Pause(upstream="avanser", reason="by_person", detail="the invoice is wrong", actor="cli:ann", paused_at=AGO)
WATCH = StockWatch(id=new_id(), upstream="avanser", key="k", due_at=SOON, looked_at=AGO, found=0)
UNKNOWN = Reason.OUTCOME_UNKNOWN

CASES: list[tuple[str, Request, dict[str, Any], str, Any, list[str]]] = [
    # what it is, the row, the rows beside it; the next step, when, and words that must be there
    ("due now", a_request(), {}, "order", NOW, ["Nothing was ordered yet", "as soon as a worker takes it"]),
    (
        "due later",
        a_request(due_at=SOON),
        {},
        "order",
        SOON,
        ["in 40 s", "Not ordered by 2026-11-28 12:00:00 UTC, it fails"],
    ),
    (
        "waits for stock",
        a_request(reason=Reason.OUT_OF_STOCK, stock_key="k", due_at=LATER, detail="None in sydney"),
        {"watch": WATCH},
        "look_at_stock",
        SOON,
        ["None in sydney.", "last look at the stock was at 2026-11-21 11:50:00 UTC (10 min ago)", "served first"],
    ),
    (
        "stock is back",
        a_request(reason=Reason.OUT_OF_STOCK, stock_key="k", due_at=NOW, detail="There is stock again"),
        {"watch": WATCH},
        "order",
        NOW,
        ["There is stock again."],
    ),
    ("stock that nobody watches", a_request(reason=Reason.OUT_OF_STOCK, due_at=SOON), {}, "order", SOON, []),
    (
        "deadline before the next look",
        a_request(reason=Reason.OUT_OF_STOCK, due_at=NOW + SETTLING / 2, deadline=NOW + SETTLING / 2),
        {"watch": WATCH},
        "fail",
        NOW + SETTLING / 2,
        ["deadline_passed"],
    ),
    (
        "could not be reached",
        a_request(reason=Reason.UPSTREAM_UNAVAILABLE, due_at=SOON, retries=3, detail="connection refused"),
        {},
        "order",
        SOON,
        ["3 of 20 tries", "provably ordered nothing", "connection refused."],
    ),
    (
        "the last try",
        a_request(reason=Reason.UPSTREAM_UNAVAILABLE, due_at=SOON, retries=19),
        {},
        "order",
        SOON,
        ["given up and fails"],
    ),
    (
        "over limit",
        a_request(reason=Reason.OVER_LIMIT, due_at=SOON, detail="429"),
        {},
        "order",
        SOON,
        ["does not count"],
    ),
    (
        "parked",
        a_request(reason=Reason.UPSTREAM_PAUSED, due_at=None),
        {"pause": PAUSE},
        "person",
        None,
        [
            "paused since 2026-11-21 11:50:00 UTC by cli:ann (by_person): the invoice is wrong.",
            "when a person resumes avanser",
            "it fails",
        ],
    ),
    ("not parked yet", a_request(due_at=SOON), {"pause": PAUSE}, "person", None, ["when a person resumes avanser"]),
    (
        "resumed",
        a_request(reason=Reason.UPSTREAM_PAUSED, due_at=None),
        {},
        "order",
        NOW,
        ["was paused, and is no longer"],
    ),
    ("batch paused", a_request(reason=Reason.BATCH_PAUSED, due_at=None), {}, "person", None, ["resumes its batch"]),
    (
        "over a spending limit",
        a_request(reason=Reason.SPENDING_LIMIT, detail="All may take 5 numbers: they are taken.", due_at=LATER),
        {},
        "order",
        LATER,
        ["spending limit is reached", "may take 5 numbers"],
    ),
    (
        "release that waits",
        a_request(reason=Reason.RELEASE_DELAY, kind=Kind.RELEASE, number=SYDNEY, due_at=LATER),
        {},
        "order",
        LATER,
        ["can still be cancelled", "It is sent at 2026-11-21 15:00:00 UTC (in 3 h)"],
    ),
    (
        "a number that changed hands",
        a_request(kind=Kind.UPDATE, number=SYDNEY),
        {"is_gone": True},
        "fail",
        NOW,
        ["not_held"],
    ),
    ("ordered again", a_request(repeated=True, attempts=1), {}, "order", NOW, ["The first order was not to be seen"]),
    (
        "ordered again, and refused",
        a_request(reason=Reason.OVER_LIMIT, repeated=True),
        {},
        "order",
        NOW,
        ["ordered before"],
    ),
    (
        "a person wants it again",
        a_request(reason=Reason.BY_PERSON, repeated=True, detail="gone from the portal"),
        {},
        "order",
        NOW,
        ["A person asked", "gone from the portal."],
    ),
    (
        "being asked",
        a_request(State.SUBMITTING, due_at=SOON, unanswered=1),
        {},
        "answer",
        SOON,
        [
            "avanser is being asked, since 2026-11-21 11:50:00 UTC",
            "(in 40 s), it is looked up before anything is ordered again",
        ],
    ),
    (
        "its worker died",
        a_request(State.SUBMITTING, due_at=NOW, unanswered=1),
        {},
        "look_up",
        NOW,
        ["has not come back"],
    ),
    (
        "unknown",
        a_request(State.SUBMITTING, UNKNOWN, due_at=SOON, unknown_since=AGO, detail="read time-out"),
        {},
        "look_up",
        SOON,
        [
            "may or may not",
            "unknown since 2026-11-21 11:50:00",
            "not been looked up yet",
            "read time-out.",
            "if it is absent, once more",
        ],
    ),
    (
        "absent once",
        a_request(State.SUBMITTING, UNKNOWN, due_at=SOON, unknown_since=NOW, absent_at=NOW, looks=1),
        {},
        "look_up",
        SOON,
        ["showed no trace", "once is no proof", "if it is absent, once more"],
    ),
    (
        "absent once, and settled",
        a_request(State.SUBMITTING, UNKNOWN, due_at=SOON, unknown_since=AGO, absent_at=AGO, looks=1),
        {},
        "look_up",
        SOON,
        ["if it is absent again, it is ordered again"],
    ),
    (
        "absent once, and its upstream was paused since",
        a_request(State.SUBMITTING, UNKNOWN, due_at=SOON, unknown_since=AGO, absent_at=AGO, looks=1),
        {"pause": PAUSE},
        "look_up",
        SOON,
        ["it is ordered again, as soon as a person has resumed avanser"],
    ),
    (
        "absent for the last time",
        a_request(State.SUBMITTING, UNKNOWN, unknown_since=AGO, absent_at=AGO, looks=1, retries=19),
        {},
        "look_up",
        NOW,
        ["if it is absent again, it fails: it was tried 20 times"],
    ),
    (
        "cannot be asked",
        a_request(State.SUBMITTING, UNKNOWN, due_at=SOON, unknown_since=AGO, looks=4, detail="HTTP 503"),
        {},
        "look_up",
        SOON,
        ["Looked up 4 times, without learning", "HTTP 503.", "If avanser cannot be asked until"],
    ),
    (
        "being looked up",
        a_request(State.SUBMITTING, UNKNOWN, due_at=SOON, unknown_since=AGO, looks=1, unanswered=1),
        {},
        "answer",
        SOON,
        ["being looked up right now"],
    ),
    (
        "ends its workers",
        a_request(State.SUBMITTING, UNKNOWN, unknown_since=AGO, looks=9, unanswered=HELD_AFTER),
        {},
        "hold",
        NOW,
        ["did not come back"],
    ),
    (
        "accepted",
        a_request(State.ACCEPTED, due_at=SOON, accepted_at=AGO, number=SYDNEY),
        {},
        "look_up",
        SOON,
        [
            "has the order, since 2026-11-21 11:50:00",
            f"will be {SYDNEY}",
            "The callback, any time",
            "not ordered again",
        ],
    ),
    (
        "called back never",
        a_request(State.ACCEPTED, due_at=SOON, accepted_at=AGO, looks=3, detail="pending"),
        {},
        "look_up",
        SOON,
        ["looked up 3 times", "pending."],
    ),
    (
        "the last look",
        a_request(State.ACCEPTED, due_at=SOON, accepted_at=AGO, looks=MOST_LOOKS - 1),
        {},
        "look_up",
        SOON,
        ["a person is asked"],
    ),
    (
        "accepted, being looked up",
        a_request(State.ACCEPTED, due_at=SOON, accepted_at=AGO, looks=1, unanswered=1),
        {},
        "answer",
        SOON,
        ["being looked up right now"],
    ),
    (
        "accepted, ends its workers",
        a_request(State.ACCEPTED, accepted_at=AGO, looks=9, unanswered=HELD_AFTER),
        {},
        "hold",
        NOW,
        ["did not come back"],
    ),
    (
        "held",
        a_request(State.HELD, UNKNOWN, detail="two orders"),
        {},
        "person",
        None,
        ["no evidence settles", "two orders."],
    ),
    ("held for its account", a_request(State.HELD, Reason.WRONG_ACCOUNT), {}, "person", None, ["it was ordered there"]),
    (
        "held for its callback",
        a_request(State.HELD, Reason.CALLBACK_MISSING),
        {},
        "person",
        None,
        ["never completed it"],
    ),
    ("held for its workers", a_request(State.HELD, Reason.WORKERS_LOST), {}, "person", None, ["did not come back"]),
    ("completed", a_request(State.COMPLETED, number=SYDNEY), {}, "nothing", None, ["It is done", SYDNEY]),
    (
        "failed",
        a_request(State.FAILED, Reason.UPSTREAM_REJECTED, detail="no such city"),
        {},
        "nothing",
        None,
        ["It failed", "nothing was bought", "no such city."],
    ),
    ("cancelled", a_request(State.CANCELLED, Reason.BY_PERSON), {}, "nothing", None, ["It was cancelled"]),
]


@pytest.mark.parametrize(
    ("row", "beside", "step", "at", "said"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_each_state_says_what_is_known_and_what_comes_next(
    row: Request, beside: dict[str, Any], step: str, at: Any, said: list[str]
) -> None:
    explanation = told(row, **beside)
    assert (str(explanation.next.step), explanation.next.at) == (step, at)
    for part in said:
        assert part in words(explanation)
    assert explanation.stuck is None
    assert all(ended(sentence) == sentence for sentence in [*explanation.known, explanation.next.detail])


def test_every_state_and_every_reason_to_be_in_an_open_one_is_spoken_of() -> None:
    said = {(case[1].state, case[1].reason) for case in CASES}
    assert {state for state, _ in said} == set(State)
    only_of_the_end = {Reason.UPSTREAM_REJECTED, Reason.DEADLINE_PASSED, Reason.NOT_HELD}
    another_test = {Reason.EARLIER_CHANGE}
    assert {reason for _, reason in said if reason} >= set(Reason) - only_of_the_end - another_test


@pytest.mark.parametrize("is_ours", [True, False])
def test_a_change_that_waits_names_the_one_before_it_unless_it_is_anothers(is_ours: bool) -> None:
    first = a_request(State.ACCEPTED, kind=Kind.UPDATE, number=SYDNEY)
    owner = first.requester_id if is_ours else new_id()
    row = a_request(reason=Reason.EARLIER_CHANGE, kind=Kind.UPDATE, number=SYDNEY, due_at=SOON, requester_id=owner)
    explanation = told(row, earlier=first)
    assert (explanation.next.step, explanation.next.at) == ("check_turn", SOON)
    assert (str(first.id) in words(explanation)) is is_ours
    assert "goes first" in words(explanation)
    assert "has ended" in told(row).known[0], "nobody is before it any more"


def test_what_contradicts_an_end_is_said_and_where_to_look() -> None:
    row = a_request(State.CANCELLED, Reason.BY_PERSON, contradicted_at=NOW)
    detail = "the upstream says completed after the request was cancelled: a number may be paid for that nobody holds"
    note = Event(type=EventKind.NOTE, at=NOW, reason="late_contradiction", detail=detail, data={})
    explanation = told(row, contradiction=note, last=note)
    assert "paid for that nobody holds" in words(explanation)
    assert explanation.evidence is not None
    assert explanation.evidence.said == detail
    assert [(action.name, action.risk, action.command) for action in explanation.actions] == [
        ("reconcile", Risk.SAFE, "trunkline reconcile")
    ]


def test_the_last_evidence_is_told_in_a_sentence() -> None:
    data = {"call": "look_up", "answer": "not_found"}
    attempt = Event(type=EventKind.ATTEMPT, at=AGO, actor="worker", detail=None, data=data)
    found = told(a_request(State.SUBMITTING, UNKNOWN, unknown_since=AGO), last=attempt).evidence
    assert found is not None
    assert (found.at, found.said) == (AGO, "look_up was answered not_found")
    callback = Event(type=EventKind.CALLBACK, at=AGO, actor="avanser", detail="no line", data={"says": "rejected"})
    found = told(a_request(State.FAILED), last=callback).evidence
    assert found is not None
    assert found.said == "avanser called back, rejected: no line"


def test_when_nobody_works_that_is_said_and_what_to_start() -> None:
    long_ago = NOW - timedelta(minutes=7)
    late = told(a_request(due_at=long_ago), last_beat=long_ago).stuck
    assert late is not None
    assert late.startswith("It has been due for 7 min. No worker has been heard of since 2026-11-21 11:53:00 UTC")
    assert "trunkline relay" in late
    never = told(a_request(State.ACCEPTED, due_at=LATER, accepted_at=AGO), last_beat=None).stuck
    assert never is not None
    assert never.startswith("No worker has been heard of ever")


def test_when_those_who_work_are_behind_that_is_said_with_how_much_is_due() -> None:
    said = told(a_request(due_at=AGO), backlog=1_000).stuck
    assert said is not None
    assert "1,000 or more are due at avanser" in said
    assert "TRUNKLINE_AVANSER_RATE" in said


@pytest.mark.parametrize("state", [State.HELD, *sorted(FINAL)])
def test_what_waits_for_nobody_is_not_stuck_when_nobody_works(state: State) -> None:
    assert told(a_request(state), last_beat=None).stuck is None


def a_result(state: DeliveryState, disabled: bool = False, **fields: Any) -> Result:
    delivery = Delivery(id=new_id(), type="request.completed", state=state, **({"attempts": 0} | fields))
    why = {"disabled_at": AGO, "disabled_reason": "it answered 410 Gone"} if disabled else {}
    return Result(delivery, Endpoint(id=new_id(), name="crm", **why))


@pytest.mark.parametrize(
    ("result", "said", "offered"),
    [
        (a_result(DeliveryState.DELIVERED, delivered_at=AGO), "reached crm at 2026-11-21 11:50:00 UTC", []),
        (a_result(DeliveryState.PENDING, due_at=NOW), "is on its way to crm.", []),
        (
            a_result(DeliveryState.PENDING, due_at=SOON, attempts=2, last_error="answered 503"),
            "has not reached crm after 2 tries; the last: answered 503. It is tried again at",
            [],
        ),
        (
            a_result(DeliveryState.FAILED, attempts=10, last_error="answered 503"),
            "given up after 10 tries; the last: answered 503",
            ["replay"],
        ),
        (
            a_result(DeliveryState.FAILED, disabled=True, attempts=1, last_error="answered 410"),
            "crm is disabled since 2026-11-21 11:50:00 UTC: it answered 410 Gone.",
            ["enable_endpoint", "replay"],
        ),
        (a_result(DeliveryState.PENDING, disabled=True, due_at=NOW), "given up at the next try", ["enable_endpoint"]),
    ],
)
def test_what_became_of_the_result_is_said(result: Result, said: str, offered: list[str]) -> None:
    explanation = told(a_request(State.COMPLETED, number=SYDNEY), results=[result])
    assert said in explanation.results[0]
    assert [(action.name, action.risk) for action in explanation.actions] == [(name, Risk.SAFE) for name in offered]


def test_that_nobody_was_told_is_said_too() -> None:
    assert told(a_request(State.COMPLETED)).results[0].startswith("Nobody was told")
    assert told(a_request()).results == ()


def test_the_command_for_an_endpoint_names_its_requester() -> None:
    disabled = [a_result(DeliveryState.FAILED, disabled=True)]
    commands = [one.command for one in told(a_request(State.FAILED), results=disabled, requester="fleet").actions]
    assert commands[0] == "trunkline endpoints enable crm --requester fleet"


def risks(row: Request, **beside: Any) -> dict[str, str]:
    return {action.name: str(action.risk) for action in told(row, **beside).actions}


def test_what_is_marked_safe_neither_buys_what_was_not_asked_for_nor_ends_anything() -> None:
    held = a_request(State.HELD, UNKNOWN)
    assert risks(held) == {
        "retry": "safe",
        "resolve_retry": "spends_money",
        "cancel": "irreversible",
        "resolve_completed": "irreversible",
        "resolve_failed": "irreversible",
    }
    assert risks(a_request()) == {"retry": "safe", "cancel": "irreversible"}
    assert risks(a_request(State.SUBMITTING, due_at=SOON)) == {}
    assert risks(a_request(State.ACCEPTED, accepted_at=AGO)) == {"retry": "safe"}


def test_looking_again_for_what_another_account_answered_may_buy_twice() -> None:
    assert risks(a_request(State.HELD, Reason.WRONG_ACCOUNT))["retry"] == "spends_money"
    assert risks(a_request(State.HELD, Reason.WRONG_ACCOUNT, accepted_at=AGO))["retry"] == "safe"


def test_to_give_a_number_up_is_irreversible_however_it_is_asked_for() -> None:
    waiting = a_request(reason=Reason.RELEASE_DELAY, kind=Kind.RELEASE, number=SYDNEY, due_at=LATER)
    assert risks(waiting) == {"cancel": "irreversible", "send_now": "irreversible"}
    refused = a_request(reason=Reason.OVER_LIMIT, kind=Kind.RELEASE, number=SYDNEY, due_at=LATER, attempts=1)
    assert risks(refused)["retry"] == "irreversible"
    assert risks(a_request(State.HELD, UNKNOWN, kind=Kind.RELEASE, number=SYDNEY))["resolve_retry"] == "irreversible"


def test_to_resume_an_upstream_spends_money_and_is_offered_to_what_waits_there() -> None:
    parked = a_request(reason=Reason.UPSTREAM_PAUSED, due_at=None)
    assert risks(parked, pause=PAUSE) == {
        "retry": "safe",
        "doctor": "safe",
        "resume_upstream": "spends_money",
        "cancel": "irreversible",
    }
    assert "resume_upstream" not in risks(a_request(State.COMPLETED), pause=PAUSE)


def test_commands_can_be_typed_as_they_stand() -> None:
    held = a_request(State.HELD, UNKNOWN)
    commands = {action.name: action.command for action in told(held).actions}
    assert commands["resolve_completed"] == f"trunkline resolve {held.id} --completed --number +61…"
    assert commands["resolve_retry"] == f"trunkline resolve {held.id} --retry"
    known = a_request(State.HELD, UNKNOWN, number=SYDNEY)
    commands = {action.name: action.command for action in told(known).actions}
    assert commands["resolve_completed"] == f"trunkline resolve {known.id} --completed --number {SYDNEY}"


def test_to_cancel_what_was_ordered_before_says_what_may_be_lost() -> None:
    effects = {action.name: action.effect for action in told(a_request(repeated=True)).actions}
    assert "nobody holds it" in effects["cancel"]


def test_the_view_carries_everything() -> None:
    row = a_request(State.ACCEPTED, due_at=SOON, accepted_at=AGO)
    shown = view(explain(replace(facts_of(row), last_beat=None), NOW))
    assert set(shown) == {
        "id", "upstream", "state", "reason", "since", "known", "evidence", "next", "stuck", "results", "actions",
    }  # fmt: skip
    assert shown["next"] == {"step": "look_up", "at": "2026-11-21T12:00:40Z", "detail": shown["next"]["detail"]}


@pytest.mark.parametrize(
    ("time", "said"),
    [
        (timedelta(seconds=59), "59 s"),
        (timedelta(minutes=2), "2 min"),
        (timedelta(minutes=119), "119 min"),
        (timedelta(hours=5), "5 h"),
        (LONGEST_UNKNOWN * 3, "3 days"),
    ],
)
def test_how_long_is_said_in_one_unit(time: timedelta, said: str) -> None:
    assert span(time) == said
