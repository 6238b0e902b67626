"""The preview of a sweep: how many requests a filter matches, what the act would do to them, and what it may cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from models import sweep
from models import upstream as switches
from models.listing import Filters
from models.request import Kind, Request
from models.state import State
from models.sweep import Alike
from models.upstream import ALL, Pause
from worker.explain.actions import meaning
from worker.explain.explanation import Risk
from worker.steering import Act, NotNow, decide

MOST_COUNTED = 100_000
"""Matching requests are counted up to this; who means more of them is told "at least"."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What was seen when it was looked. A sweep that is ordered upon it acts on nothing that came or moved since."""

    act: Act
    requester_id: UUID | None
    filters: Filters
    at: datetime
    newest: UUID | None  # the youngest request then; None where there was none
    matching: int
    allowed: int
    by_upstream: Mapping[str, int]  # of those allowed, as the two below
    by_state: Mapping[tuple[str, str | None], int]  # by state and reason
    may_buy: Mapping[str, int]  # numbers that may be ordered in consequence, by upstream
    refusals: Mapping[str, int]  # why others are refused, and how many
    effects: Mapping[str, int]  # what it brings about, in sentences, and for how many
    risk: Risk

    @property
    def is_whole(self) -> bool:
        """Whether all were counted."""
        return self.matching < MOST_COUNTED

    @property
    def count(self) -> str:
        """`1,200`; `at least 100,000` where it was not counted on."""
        return f"{self.matching:,}" if self.is_whole else f"at least {MOST_COUNTED:,}"


@dataclass(frozen=True, slots=True)
class _Around:
    """What stands around a request that is like many: nothing is known of the change before it."""

    request: Request
    pause: Pause | None
    earlier: Request | None = None


def preview(session: Session, requester_id: UUID | None, filters: Filters, act: Act, now: datetime) -> Preview:
    """What `act` would do to all requests that the filters match, of one requester or of all (None).

    It locks nothing and changes nothing.
    """
    newest = session.scalar(sa.select(Request.id).order_by(Request.id.desc()).limit(1))
    groups = sweep.alike(session, requester_id, filters, now, MOST_COUNTED)
    pauses = {one.upstream: one for one in switches.pauses(session)}
    sums = _Sums()
    for group in groups:
        sums.add(group, act, pauses.get(ALL) or pauses.get(group.sample.upstream), now)
    return Preview(
        act=act,
        requester_id=requester_id,
        filters=filters,
        at=now,
        newest=newest,
        matching=sum(group.count for group in groups),
        allowed=sum(sums.by_upstream.values()),
        by_upstream=sums.by_upstream,
        by_state=sums.by_state,
        may_buy=sums.may_buy,
        refusals=sums.refusals,
        effects=sums.effects,
        risk=max(sums.risks, key=list(Risk).index, default=Risk.SAFE),
    )


class _Sums:
    """What the groups add up to."""

    def __init__(self) -> None:
        self.by_upstream: Counter[str] = Counter()
        self.by_state: Counter[tuple[str, str | None]] = Counter()
        self.may_buy: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self.effects: Counter[str] = Counter()
        self.risks: set[Risk] = set()

    def add(self, group: Alike, act: Act, pause: Pause | None, now: datetime) -> None:
        row, count = group.sample, group.count
        if (why := _refusal(row, act, now)) is not None:
            self.refusals[why] += count
            return
        risk, effect = meaning(act, _Around(row, pause))
        self.by_upstream[row.upstream] += count
        self.by_state[row.state.value, row.reason] += count
        self.effects[effect] += count
        self.risks.add(risk)
        if _may_buy(row, act):
            self.may_buy[row.upstream] += count


def _refusal(row: Request, act: Act, now: datetime) -> str | None:
    try:
        decide(act, row, None, "", now)
    except NotNow as error:
        return str(error)
    return None


def _may_buy(row: Request, act: Act) -> bool:
    """Whether an order may follow: what waits is ordered, and what is looked up may turn out absent."""
    if row.kind is not Kind.PROVISION:
        return False
    return act is Act.ORDER_AGAIN or (act is Act.RETRY and row.state is not State.ACCEPTED and row.accepted_at is None)


def told(seen: Preview) -> Iterator[str]:
    """The preview in sentences: the same on the command line and in the console."""
    if not seen.matching:
        yield "No request matches."
        return
    yield f"{seen.count} match; {seen.allowed:,} of them would be acted on{_by(seen.by_upstream)}."
    for (state, reason), count in sorted(seen.by_state.items(), key=lambda item: -item[1]):
        yield f"{count:,} {state}" + (f" ({reason})" if reason else "") + "."
    for effect, count in sorted(seen.effects.items(), key=lambda item: -item[1]):
        yield f"{count:,}: {effect}"
    for why, count in sorted(seen.refusals.items(), key=lambda item: -item[1]):
        yield f"{count:,} refused: {why}."
    yield f"{seen.risk.words.capitalize()}. {money(seen)}"


def money(seen: Preview) -> str:
    """`It may buy up to 38 numbers: avanser 30, messagemedia 8.`"""
    most = sum(seen.may_buy.values())
    if not most:
        return "It buys nothing."
    asked = "" if seen.risk is Risk.SPENDS_MONEY else ", each asked for before"
    return f"It may buy up to {most:,} number{'s' if most != 1 else ''}{asked}{_by(seen.may_buy)}."


def _by(counts: Mapping[str, int]) -> str:
    said = ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))
    return f": {said}" if said else ""


def view(seen: Preview) -> dict[str, Any]:
    """The preview, ready for JSON."""
    return {
        "act": seen.act.value,
        "filters": sweep.stored(seen.filters),
        "matching": seen.matching,
        "is_whole": seen.is_whole,
        "allowed": seen.allowed,
        "by_upstream": dict(seen.by_upstream),
        "by_state": [{"state": state, "reason": why, "count": n} for (state, why), n in sorted(seen.by_state.items())],
        "may_buy": dict(seen.may_buy),
        "refusals": dict(seen.refusals),
        "effects": dict(seen.effects),
        "risk": seen.risk.value,
        "told": list(told(seen)),
    }
