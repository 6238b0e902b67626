"""One question to Trunkline, from its first try to its answer: what is sent, what is waited for, when it is given up.

Nothing here does any I/O. A question is a generator that yields what is to be done next (`Try` or `Pause`) and is
sent the `Answer`, or has `NoAnswer` thrown in; so the client that blocks and the one that does not are the same.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, TypeAlias, TypeVar

from worker.client.errors import Unanswered, refusal

T = TypeVar("T")

FIRST_PAUSE = 0.2
"""Seconds before the second try; twice that before the third, and so on. Half of it is left to chance."""

LONGEST_PAUSE = 10.0

UNAVAILABLE = frozenset({502, 503, 504})

TOO_MANY = 429


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that is sent from its beginning at each try. `on_progress` gets the bytes sent of this try, and all."""

    file: BinaryIO
    size: int
    on_progress: Callable[[int, int], None] | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """A request by HTTP. `is_safe`: to send it twice does what sending it once does."""

    method: str
    path: str
    is_safe: bool = True
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    upload: Upload | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Try:
    """Send it now; give up after `timeout` seconds without a sign of life."""

    question: Question
    timeout: float


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: Any  # None where it is no JSON
    retry_after: float | None = None


class NoAnswer(Exception):
    """The connection broke or time was up. `was_sent`: it may have arrived and been acted on."""

    def __init__(self, why: str, *, was_sent: bool) -> None:
        super().__init__(why)
        self.was_sent = was_sent


Step: TypeAlias = "Try | Pause"
Plan: TypeAlias = "Generator[Step, Answer | None, T]"


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: for one try, and for all of them with the pauses between."""

    timeout: float
    deadline: float

    def __post_init__(self) -> None:
        for name in ("timeout", "deadline"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: must be more than 0 seconds, is {getattr(self, name)}")


def ask(question: Question, patience: Patience, idempotency_key: str | None = None) -> Plan[Any]:
    """The JSON of the answer. Raises Refused and Unanswered.

    A question that is not safe to repeat is sent again only where it provably had no effect.
    """
    ends_at = time.monotonic() + patience.deadline
    number = 0
    while True:
        left = ends_at - time.monotonic()
        last, wait, may_repeat = yield from _try(question, min(patience.timeout, max(left, 0.001)))
        if isinstance(last, Answer):
            return last.body
        pause = wait if wait is not None else _pause(number)
        if not may_repeat or time.monotonic() + pause >= ends_at:
            raise Unanswered(str(question), last, idempotency_key)
        yield Pause(pause)
        number += 1


def _try(question: Question, timeout: float) -> Plan[tuple[Answer | str, float | None, bool]]:
    """The answer; or why there is none, the pause that was asked for, and whether it may be sent again."""
    try:
        answer = yield Try(question, timeout)
    except NoAnswer as error:
        return str(error), None, question.is_safe or not error.was_sent
    assert answer is not None
    if answer.status == TOO_MANY:
        return "429: too many requests", answer.retry_after, True  # it is counted before anything is done
    if answer.status in UNAVAILABLE:
        return f"{answer.status}: not now", answer.retry_after, question.is_safe
    if answer.status >= 500:
        return f"{answer.status}: something is wrong there", None, False  # to ask again would not mend it
    if not 200 <= answer.status < 300 or answer.body is None:
        raise refusal(answer.status, answer.body)
    return answer, None, False


def _pause(number: int) -> float:
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(number, 16))
    return longest * random.uniform(0.5, 1)  # noqa: S311  # spreads callers; nobody has to be unable to guess it
