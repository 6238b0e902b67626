"""What a person is told about a request: the same words on the command line, in the API and in the console."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from models.base import rfc3339
from models.state import State


class Risk(StrEnum):
    """What doing it may cost."""

    SAFE = "safe"  # buys nothing that was not asked for, ends nothing, and may be done again
    SPENDS_MONEY = "spends_money"
    IRREVERSIBLE = "irreversible"  # there is no way back

    @property
    def words(self) -> str:
        return self.value.replace("_", " ")


class NextStep(StrEnum):
    """What happens to a request next, when nobody does anything."""

    ORDER = "order"
    LOOK_UP = "look_up"
    ANSWER = "answer"  # the upstream is being asked right now
    LOOK_AT_STOCK = "look_at_stock"
    CHECK_TURN = "check_turn"  # whether the change before it has ended
    FAIL = "fail"
    HOLD = "hold"  # so that a person must look
    PERSON = "person"  # it waits until a person does something
    NOTHING = "nothing"  # it has ended


@dataclass(frozen=True, slots=True)
class Next:
    """`at` is when, at the earliest; None where nobody knows, or nothing comes. `detail` is a sentence or several."""

    step: NextStep
    at: datetime | None
    detail: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """The last that was heard about it: an attempt, a callback, a contradiction."""

    at: datetime
    said: str


@dataclass(frozen=True, slots=True)
class Action:
    """What a person may do. `name` is for programs, `command` is what to type, `effect` what it brings about."""

    name: str
    risk: Risk
    command: str
    effect: str

    @property
    def title(self) -> str:
        """What a button says."""
        return title_of(self.name)


def title_of(name: str) -> str:
    """What the act of that name is called on a button."""
    return TITLES.get(name, name.replace("_", " ").capitalize())


TITLES = {
    "retry": "Look at it now",
    "resolve_completed": "Settle as completed",
    "resolve_failed": "Settle as failed",
    "resolve_retry": "Order again",
    "reconcile": "Compare the books",
    "doctor": "Check connections",
    "resume_upstream": "Resume the upstream",
    "enable_endpoint": "Enable the endpoint",
    "replay": "Send results again",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    request_id: UUID
    upstream: str
    state: State
    reason: str | None
    since: datetime  # in this state, for this reason
    known: tuple[str, ...]  # sentences: what is known, and so why it stands where it stands
    evidence: Evidence | None
    next: Next
    stuck: str | None  # why what should have happened has not; None where all goes as it should
    results: tuple[str, ...]  # sentences: what became of telling the requester
    actions: tuple[Action, ...]


def view(explanation: Explanation) -> dict[str, Any]:
    """The answer of `GET /v1/requests/{id}/explain`, ready for JSON."""
    evidence, coming = explanation.evidence, explanation.next
    return {
        "id": str(explanation.request_id),
        "upstream": explanation.upstream,
        "state": str(explanation.state),
        "reason": explanation.reason,
        "since": rfc3339(explanation.since),
        "known": list(explanation.known),
        "evidence": None if evidence is None else {"at": rfc3339(evidence.at), "said": evidence.said},
        "next": {"step": str(coming.step), "at": rfc3339(coming.at), "detail": coming.detail},
        "stuck": explanation.stuck,
        "results": list(explanation.results),
        "actions": [
            {"name": one.name, "risk": str(one.risk), "command": one.command, "effect": one.effect}
            for one in explanation.actions
        ],
    }


def at(moment: datetime, now: datetime) -> str:
    """`at 2026-11-22 04:10:00 UTC (in 4 min)`."""
    away = moment - now
    near = f"in {span(away)}" if away > timedelta() else f"{span(-away)} ago"
    return f"at {clock(moment)} ({near})"


def clock(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def span(time: timedelta) -> str:
    """About how long: `40 s`, `12 min`, `3 h`, `5 days`. One unit says enough, up to two of it the smaller."""
    seconds = time.total_seconds()
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def ended(sentence: str) -> str:
    """With a full stop: what upstreams say, and what is noted, comes with one and without."""
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."
