"""Decides which scripted faults strike a call, the same way in every run of the same script."""

from collections import Counter
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from hashlib import blake2b
from typing import Literal

from worker.sandbox.script import ANSWERS, Fault, Match, Operation, Rule, Script


@dataclass(frozen=True, slots=True)
class Subject:
    """The call that may be struck, in no vendor's words."""

    upstream: str
    operation: Operation
    custom_id: str = ""
    custom_group: str = ""
    number: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Strikes:
    """What goes wrong with one call: at most one fault of the answer, and any marks."""

    answer: Rule | None = None
    marks: dict[Fault, Rule] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CallbackPlan:
    """How one order ends and is reported; kept in the ledger's file so that a restart carries on."""

    method: Literal["POST", "GET"] = "POST"
    times: int = 1
    delay: float = 0.0
    late: float = 0.0
    early: bool = False
    foreign_request_id: bool = False
    foreign_ids: bool = False
    failed: str = ""  # the message of a failure; empty: it completes


class FaultBook:
    """The rules of one script and how often each has struck."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._struck: Counter[int] = Counter()
        self._struck_order: Counter[tuple[int, str]] = Counter()
        self._seen: Counter[str] = Counter()

    def strike(self, subject: Subject) -> Strikes:
        if not self._script.faults:
            return Strikes()
        order = f"{subject.upstream} {subject.operation} {subject.custom_id or subject.number or subject.name}"
        self._seen[order] += 1
        answer: Rule | None = None
        marks: dict[Fault, Rule] = {}
        for place, rule in enumerate(self._script.faults):
            is_answer = rule.fault in ANSWERS
            if (is_answer and answer) or not self._strikes(place, rule, subject, order):
                continue
            if is_answer:
                answer = rule
            else:
                marks[rule.fault] = rule
        return Strikes(answer, marks)

    def plan_callback(self, strikes: Strikes, order: str) -> CallbackPlan:
        """`order` names the order for the draw of its delay and of its request_id."""
        callback, marks = self._script.callback, strikes.marks
        late, failed = marks.get(Fault.CALLBACK_LATE), marks.get(Fault.CALLBACK_FAILED)
        spread = (2 * self._draw("delay", order) - 1) * callback.jitter
        return CallbackPlan(
            method="GET" if Fault.CALLBACK_BY_GET in marks else callback.method,
            times=0 if Fault.CALLBACK_NEVER in marks else 2 if Fault.CALLBACK_TWICE in marks else 1,
            delay=max(0.0, callback.delay + spread),
            late=late.seconds if late else 0.0,
            early=Fault.CALLBACK_EARLY in marks,
            foreign_request_id=self._draw("foreign", order) < callback.foreign_request_id_share,
            foreign_ids=Fault.CALLBACK_FOREIGN_IDS in marks,
            failed=(failed.message or "Number could not be activated") if failed else "",
        )

    def latency(self, call: int) -> float:
        """Seconds that the run's `call`-th call takes."""
        between = self._script.latency_ms
        if not between.max:
            return 0.0
        return (between.min + (between.max - between.min) * self._draw("latency", str(call))) / 1_000

    def _strikes(self, place: int, rule: Rule, subject: Subject, order: str) -> bool:
        if subject.upstream != rule.upstream or subject.operation not in rule.on:
            return False
        if not _fits(rule.match, subject):
            return False
        if rule.times is not None and self._struck[place] >= rule.times:
            return False
        if rule.times_per_order is not None and self._struck_order[place, order] >= rule.times_per_order:
            return False
        if rule.share < 1 and self._draw(f"rule {place}", f"{order} {self._seen[order]}") >= rule.share:
            return False
        self._struck[place] += 1
        if rule.times_per_order is not None:
            self._struck_order[place, order] += 1
        return True

    def _draw(self, what: str, order: str) -> float:
        """A number in [0, 1) that depends on nothing but the seed and its arguments."""
        digest = blake2b(f"{self._script.seed} {what} {order}".encode(), digest_size=6).digest()
        return int.from_bytes(digest) / 2**48


def _fits(match: Match, subject: Subject) -> bool:
    return (
        (not match.custom_id or fnmatchcase(subject.custom_id, match.custom_id))
        and (not match.custom_group or fnmatchcase(subject.custom_group, match.custom_group))
        and (not match.number or fnmatchcase(subject.number, match.number))
        and (not match.name or fnmatchcase(subject.name, match.name))
    )
