"""The verdict of the outside: what the upstreams' ledger and the requester's own log say of a set of requests.

Our database is not asked.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

COMPLETED, FAILED, CANCELLED, HELD = (
    f"request.{state}" for state in ("completed", "failed", "cancelled", "held")
)  # fmt: skip
FINAL = frozenset({COMPLETED, FAILED, CANCELLED})

INVARIANTS = {
    "I1": "every accepted request ends, or is held with a reason, in bounded time",
    "I2": "at most one order each",
    "I3": "one final state, reached once",
    "I4": "each final result delivered, under one webhook-id",
    "I5": "no order without a request, no number bought that nobody was given, none given that was not bought",
    "I6": "no token, secret or caller's number in any log",
    "I7": "work goes on within 60 s after the fault has ended",
}

GOES_ON_WITHIN = 60.0
"""Seconds: I7."""

EXAMPLES = 3
"""Of each kind of violation, in words."""

_TOKEN_IN_PATH = re.compile(rb"/(?:callbacks|calls|sms)/[a-z]+/[A-Za-z0-9_.~-]{16,}")


@dataclass(frozen=True, slots=True)
class Result:
    """A result that reached the requester; `at` is when it first came, in seconds since the epoch."""

    webhook_id: str
    type: str
    custom_id: str
    request_id: str
    at: float

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Result:
        return cls(row["webhook_id"], row["type"], row["custom_id"], row["data.id"], row["first_at"])


@dataclass(frozen=True, slots=True)
class Verdict:
    """A row of the table. Times are seconds; the two of draining are of what had not ended when the fault did."""

    name: str
    seed: int
    requests: int
    faults: int
    held: int
    violations: Mapping[str, int]
    examples: Sequence[str] = ()
    drain_p50: float | None = None
    drain_p99: float | None = None
    goes_on_after: float = 0.0
    more: Mapping[str, Any] = field(default_factory=dict)
    measured: Sequence[str] = ()
    """Invariants that this fault is known to break, at a rate that is to be seen: a stated limit, not a failure."""

    @property
    def is_clean(self) -> bool:
        return not any(count for name, count in self.violations.items() if name not in self.measured)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        broken = ", ".join(f"{name}: {count}" for name, count in self.violations.items() if count)
        return f"{self.name}, seed {self.seed}: {broken or 'clean'} {list(self.examples)}"


class _Broken:
    """Violations found so far, with some of them in words."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter(dict.fromkeys(INVARIANTS, 0))
        self.examples: list[str] = []

    def note(self, invariant: str, who: Sequence[str], what: str) -> None:
        self.counts[invariant] += len(who)
        self.examples += [f"{invariant} {one} {what}" for one in who[:EXAMPLES]]


def judge(
    *,
    name: str,
    seed: int,
    faults: int,
    submitted: Mapping[str, float],
    fault_ended_at: float,
    ledger: Sequence[Mapping[str, Any]],
    results: Sequence[Result],
    leaked: Sequence[str],
    more: Mapping[str, Any] | None = None,
    measured: Sequence[str] = (),
) -> Verdict:
    """Judge the requests with these custom_ids, submitted at these times (seconds since the epoch).

    The ledger and the results may hold nothing but what came of them: each case begins with empty books.
    """
    broken = _Broken()
    finals: defaultdict[str, list[Result]] = defaultdict(list)
    for result in results:
        if result.type in FINAL:
            finals[result.custom_id].append(result)
    held = {result.custom_id for result in results if result.type == HELD} - set(finals)
    broken.note("I1", sorted(set(submitted) - set(finals) - held), "has not ended and is not held")
    _judge_ends(broken, finals)
    _judge_orders(broken, submitted, ledger, finals, held)
    broken.note("I6", list(leaked), "stands in a log")
    goes_on_after = _goes_on_after(fault_ended_at, ledger, results)
    if goes_on_after > GOES_ON_WITHIN:
        broken.note("I7", [name], f"went on only {goes_on_after:.0f} s after the fault")
    drained = sorted(ends[0].at - fault_ended_at for ends in finals.values() if ends[0].at > fault_ended_at)
    return Verdict(
        name=name,
        seed=seed,
        requests=len(submitted),
        faults=faults,
        held=len(held),
        violations=dict(broken.counts),
        examples=tuple(broken.examples),
        drain_p50=_percentile(drained, 50),
        drain_p99=_percentile(drained, 99),
        goes_on_after=round(goes_on_after, 2),
        more=more or {},
        measured=tuple(measured),
    )


def _judge_ends(broken: _Broken, finals: Mapping[str, Sequence[Result]]) -> None:
    twice = [id_ for id_, ends in finals.items() if len({end.type for end in ends}) > 1]
    broken.note("I3", sorted(twice), "ended in two ways")
    doubled = [id_ for id_, ends in finals.items() if len({end.webhook_id for end in ends}) > 1]
    broken.note("I4", sorted(doubled), "was told under two webhook-ids")


def _judge_orders(
    broken: _Broken,
    submitted: Mapping[str, float],
    ledger: Sequence[Mapping[str, Any]],
    finals: Mapping[str, Sequence[Result]],
    held: set[str],
) -> None:
    bought = [entry for entry in ledger if entry["kind"] == "provision" and entry["status"] != "failed"]
    by_key = Counter(entry["key"] for entry in bought)
    by_customer = Counter(_customer(entry) for entry in bought)
    twice = {key for key, count in by_key.items() if count > 1}
    twice_for = {id_ for id_, count in by_customer.items() if count > 1}
    broken.note("I2", sorted(twice_for or twice), "was ordered twice")
    broken.note("I5", sorted(set(by_customer) - set(submitted)), "was ordered and never asked for")
    completed = {id_ for id_, ends in finals.items() if any(end.type == COMPLETED for end in ends)}
    broken.note("I5", sorted(set(by_customer) & set(finals) - completed), "was bought, and its request failed")
    broken.note("I5", sorted(completed - set(by_customer)), "completed, and nothing was bought")
    broken.note("I1", sorted(set(by_customer) & set(submitted) - set(finals) - held), "was bought, and nobody knows")


def _customer(entry: Mapping[str, Any]) -> str:
    """The custom_id of an order. Vendors that know of none are sent it, by our tests, at the end of the name."""
    if entry["upstream"] == "telmetrics":  # which may rename it; the key is the name as it was sent
        return str(entry["key"]).rpartition(" ")[2]
    return str(entry["custom_id"] or entry["name"])


def _goes_on_after(ended_at: float, ledger: Sequence[Mapping[str, Any]], results: Sequence[Result]) -> float:
    """Seconds from the end of the fault to the first thing that happened afterwards; 0 where nothing was left."""
    moments = [float(entry["at"]) for entry in ledger] + [result.at for result in results]
    return min((moment - ended_at for moment in moments if moment > ended_at), default=0.0)


def _percentile(ascending: Sequence[float], percent: int) -> float | None:
    if not ascending:
        return None
    return round(ascending[min(len(ascending) - 1, len(ascending) * percent // 100)], 2)


def leaks(folder: Path, canaries: Sequence[str]) -> list[str]:
    """The log files, under this folder, that hold a secret, or an address with a token in it."""
    found = []
    for log in sorted(folder.rglob("*.log")):
        content = log.read_bytes()
        if any(secret.encode() in content for secret in canaries) or _TOKEN_IN_PATH.search(content):
            found.append(log.name)
    return found
