"""`explain`: what is known about a request, what happens next and when, and what a person may safely do about it.

The words are written here, once. Command line, API and console show them and add none of their own.
"""

from __future__ import annotations

from datetime import datetime

from models.event import Event, EventKind
from worker.explain import actions, results, story, stuck
from worker.explain.explanation import Evidence, Explanation, view
from worker.explain.facts import Facts, gather

__all__ = ["Explanation", "Facts", "explain", "gather", "view"]


def explain(facts: Facts, now: datetime) -> Explanation:
    """`now` is the clock's by which work falls due: the database's."""
    row, told = facts.request, story.tell(facts, now)
    return Explanation(
        request_id=row.id,
        upstream=row.upstream,
        state=row.state,
        reason=row.reason,
        since=facts.since,
        known=told.known,
        evidence=None if facts.last is None else Evidence(facts.last.at, _said(facts.last)),
        next=told.next,
        stuck=stuck.why(facts, now),
        results=results.told(facts, now),
        actions=actions.possible(facts, now),
    )


def _said(event: Event) -> str:
    detail = "" if event.detail is None else f": {event.detail}"
    match event.type:
        case EventKind.ATTEMPT:
            return f"{event.data.get('call')} was answered {event.data.get('answer')}{detail}"
        case EventKind.CALLBACK:
            return f"{event.actor} called back, {event.data.get('says')}{detail}"
        case _:
            return event.detail or str(event.reason)
