"""What became of telling the requester, as sentences."""

from __future__ import annotations

from datetime import datetime

from models.delivery import DeliveryState
from models.state import FINAL
from worker.explain.explanation import at, clock
from worker.explain.facts import Facts, Result


def told(facts: Facts, now: datetime) -> tuple[str, ...]:
    if not facts.results and facts.request.state in FINAL:
        return ("Nobody was told: no endpoint takes its result, and it names none.",)
    return tuple(_sentence(result, now) for result in facts.results)


def _sentence(result: Result, now: datetime) -> str:
    row, where = result.delivery, "its notify_url" if result.endpoint is None else result.endpoint.name
    last = "" if row.last_error is None else f"; the last: {row.last_error}"
    tries = "1 try" if row.attempts == 1 else f"{row.attempts} tries"
    if row.state is DeliveryState.DELIVERED:
        arrived = "" if row.delivered_at is None else f" at {clock(row.delivered_at)}"
        return f"{row.type} reached {where}{arrived}."
    gone = ""
    if result.endpoint is not None and result.endpoint.disabled_at is not None:
        why = result.endpoint.disabled_reason or "no reason given"
        gone = f" {where} is disabled since {clock(result.endpoint.disabled_at)}: {why}."
    if row.state is DeliveryState.FAILED:
        return f"{row.type} did not reach {where} and was given up after {tries}{last}.{gone}"
    if gone:
        return f"{row.type} is on its way to {where}, and is given up at the next try.{gone}"
    if not row.attempts:
        return f"{row.type} is on its way to {where}."
    when = "" if row.due_at is None else f" It is tried again {at(row.due_at, now)}."
    return f"{row.type} has not reached {where} after {tries}{last}.{when}"
