"""What an upstream is asked for when it wants less: while it refuses some calls, while it is slow, and afterwards.

A bulk job goes on all the time. What is counted is what the upstream saw: its ledger says when each order came, and
its counts, looked at all along, how many calls it had at once and how many it refused. `limits.png` shows the curve.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.bench.alone import alone
from tests.bench.curve import Curve, Look, Span, draw
from tests.bench.row import Aim, Row
from tests.bench.stage import WEATHER, Stage
from tests.bench.trunkline import Trunkline
from tests.sandbox import SandboxServer, eventually

IN_FLIGHT, RATE, TINY_RATE = 50, 100, 40
"""Few enough for two cores that also run all else: what is to be seen is the limits, not the machine."""

WELL: dict[str, Any] = WEATHER | {"latency_ms": {"min": 200, "max": 200}}
"""The rate is what binds: at it 20 calls are in flight."""

REFUSING: dict[str, Any] = WELL | {"faults": [{"fault": "rate_limited", "share": 0.5, "retry_after": 1}]}
"""Half of the calls."""

SLOW: dict[str, Any] = WELL | {"latency_ms": {"min": 1_200, "max": 1_200}}
"""Six times as slow: now it is the calls in flight that bind, at 42 orders a second."""

TINY = 1 / 10
"""Of the seconds of each phase."""

BACK = 0.9
"""Of the rate before: then it has recovered."""

WARM_UP = 20
STARTS_WITHIN = 30.0  # seconds

SETTLED = 2.0
"""Seconds from the first orders of the bulk job until it runs evenly."""

LOOK = 0.1
"""Seconds between two looks at the counts: each costs the sandbox about a millisecond."""

SPARE = 10.0
"""Seconds' worth of orders more than the phases take: the bulk job must not end before them."""


@dataclass(frozen=True)
class Phase:
    name: str
    seconds: float
    script: Mapping[str, Any]


PHASES = (
    Phase("well", 8, WELL),
    Phase("every second call refused", 8, REFUSING),
    Phase("well again", 25, WELL),  # longer than the recovery that is aimed at
    Phase("six times as slow", 8, SLOW),
    Phase("well again", 25, WELL),
)


def rows(on: Stage, *, is_full: bool, rounds: int) -> list[Row]:
    """Once, and with its picture. Raises RuntimeError where books are wrong or the bulk job ended before its time."""
    curve = run(on, RATE if is_full else TINY_RATE, 1 if is_full else TINY)
    sys.stderr.write(f"adapting: {curve}\n")
    draw(curve, RATE if is_full else TINY_RATE, IN_FLIGHT, on.pictures / "limits.png")
    well, refusing, again, slow, at_last = curve.spans
    before = curve.rate(well)
    return [
        Row("orders taken while every second call is refused (429)", [curve.rate(refusing)], "orders/s",
            "before", [before]),
        Row("calls refused (429) in that time", [curve.refused], "calls"),
        Row("orders taken while the upstream is six times as slow", [curve.rate(slow)], "orders/s",
            "before", [before]),
        *(
            Row(f"from well again, after {what}, until 90 % of the rate before",
                [curve.reached_after(span, BACK * before)], "s", aim=Aim("≤", 20, of_ratio=False))
            for span, what in ((again, "refusing"), (at_last, "being slow"))
        ),
    ]  # fmt: skip


def run(on: Stage, rate: float, scale: float) -> Curve:
    """All phases, `scale` times as long. The bulk job is left unfinished."""
    count = round(rate * (SPARE + scale * sum(phase.seconds for phase in PHASES)))
    with on.play(Trunkline, in_flight=IN_FLIGHT, rate=rate) as peer:
        on.sandbox.script(**WELL)
        peer.submit(WARM_UP)
        peer.wait()
        peer.submit(count)
        eventually(lambda: on.sandbox.summary()["orders"] > WARM_UP, within=STARTS_WITHIN)
        time.sleep(SETTLED)
        looks: list[Look] = []
        spans = []
        for phase in PHASES:
            on.sandbox.script(**phase.script)
            began = time.time()
            _watch(on.sandbox, began + phase.seconds * scale, looks)
            spans.append(Span(phase.name, began, time.time()))
        books = on.sandbox.summary()
        if books["by_custom_id"] or books["orders"] >= count + WARM_UP:
            raise RuntimeError(f"adapting: {books}")
        return Curve(spans, sorted(entry["arrived_at"] for entry in on.sandbox.ledger(kind="provision")), looks)


def _watch(sandbox: SandboxServer, until: float, looks: list[Look]) -> None:
    refused = looks[-1].refused if looks else 0
    while time.time() < until:
        books, now = sandbox.summary(), time.time()
        traffic = books["traffic"]
        # Every POST is an order that was taken, or refused, or is in flight: for a moment also taken and in flight.
        refused = max(refused, traffic["calls"]["avanser POST"] - traffic["in_flight"] - books["orders"])
        looks.append(Look(now, traffic["in_flight"], refused))
        time.sleep(LOOK)


if __name__ == "__main__":
    sys.exit(alone(rows, __doc__))
