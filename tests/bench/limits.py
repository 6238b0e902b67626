"""The limits of an upstream, counted there while four worker processes order together.

    in flight    the most calls that the upstream ever had at once, and how well what is allowed was used
    rate         the most orders that began in any one second, and how many began in a second on average

The sandbox counts the calls, and its ledger says when each order came and when it was answered: nothing is asked of
those who are to keep the limits.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.alone import alone
from tests.bench.end_to_end import WARM_UP, measure
from tests.bench.row import Aim, Row
from tests.bench.stage import Stage
from tests.bench.trunkline import IN_FLIGHT, RATE, Trunkline

WORKERS, CHILDREN = 2, 2
"""Two workers that share nothing but the servers, of two processes each: what one takes, the other three must not."""

WHO = f"{WORKERS * CHILDREN} working processes"

MOST_IN_FLIGHT, MOST_A_SECOND = 40, 60
"""Well under what one worker alone would order (300 ms a call: 40 at once are 133 a second)."""

FOR_IN_FLIGHT, FOR_RATE, TINY = 2_000, 900, 150
"""Orders of one round: a quarter of a minute's work under either limit."""

SECOND = 1.0


@dataclass(frozen=True)
class Seen:
    """At the upstream. The peak is that of the whole run; the times leave out the warm-up."""

    most_in_flight: int
    arrived: Sequence[float]  # seconds since the epoch, in order
    answered_after: Sequence[float]  # seconds, of each order

    @property
    def a_second(self) -> float:
        """Orders that began, on average."""
        return (len(self.arrived) - 1) / (self.arrived[-1] - self.arrived[0])

    @property
    def in_flight(self) -> float:
        """Calls, on average while there were any, by Little's law: how many came in that time, times how long each."""
        last = max(at + seconds for at, seconds in zip(self.arrived, self.answered_after, strict=True))
        return sum(self.answered_after) / (last - self.arrived[0])

    @property
    def most_in_a_second(self) -> int:
        return most_within(self.arrived, SECOND)

    def __str__(self) -> str:
        return (
            f"at most {self.most_in_flight} in flight, {self.in_flight:.1f} on average;"
            f" at most {self.most_in_a_second} began in one second, {self.a_second:.1f} on average"
        )


def most_within(times: Sequence[float], seconds: float) -> int:
    """The most of the times, given in order, that lie within so many seconds of each other, wherever those begin."""
    first = most = 0
    for last, time in enumerate(times):
        while time - times[first] >= seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def rows(on: Stage, *, is_full: bool, rounds: int) -> list[Row]:
    """Raises RuntimeError where books are wrong, and where more calls were in flight than may be: so are limits."""
    few, slow = [], []
    for _ in range(rounds):
        few.append(run(on, FOR_IN_FLIGHT if is_full else TINY, MOST_IN_FLIGHT, RATE))
        slow.append(run(on, FOR_RATE if is_full else TINY, IN_FLIGHT, MOST_A_SECOND))
    at_once, rate = ("calls", "the limit", [MOST_IN_FLIGHT]), ("orders", "the limit", [MOST_A_SECOND])
    return [
        Row(f"most calls in flight at the upstream, {WHO}", [one.most_in_flight for one in few],
            *at_once, Aim("≤", 1)),
        Row(f"calls in flight at the upstream on average, {WHO}", [one.in_flight for one in few], *at_once),
        Row(f"most orders that began in any one second, {WHO}", [one.most_in_a_second for one in slow],
            *rate, Aim("≤", 1.15)),
        Row(f"orders that began in a second on average, {WHO}", [one.a_second for one in slow],
            *rate, Aim("≥", 0.9)),
    ]  # fmt: skip


def run(on: Stage, count: int, in_flight: int, rate: float) -> Seen:
    """So many orders under those limits. Raises RuntimeError as `rows` does."""
    with on.play(Trunkline, workers=WORKERS, children=CHILDREN, in_flight=in_flight, rate=rate) as peer:
        done = measure(peer, on.roles, count)
        if not done.is_right:
            raise RuntimeError(f"limits: {done}")
        orders = sorted(on.sandbox.ledger(kind="provision"), key=lambda entry: float(entry["arrived_at"]))[WARM_UP:]
        seen = Seen(
            on.sandbox.summary()["traffic"]["peak_in_flight"],
            [entry["arrived_at"] for entry in orders],
            [entry["at"] - entry["arrived_at"] for entry in orders],
        )
    sys.stderr.write(f"limits, {in_flight} in flight, {rate:g} a second: {seen}\n")
    if seen.most_in_flight > in_flight:
        raise RuntimeError(f"limits: {seen.most_in_flight} calls were in flight, {in_flight} may be")
    return seen


if __name__ == "__main__":
    sys.exit(alone(rows, __doc__))
