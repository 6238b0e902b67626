"""What a person may do about a request, what it costs, and what to type."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Protocol

from models.delivery import DeliveryState
from models.request import Kind, Request
from models.requester import DEFAULT_REQUESTER
from models.state import Reason, State
from models.upstream import ALL, Pause
from worker.explain.explanation import Action, Risk
from worker.explain.facts import Facts
from worker.steering import Act, allowed

ANY_NUMBER = "+61…"
"""Stands in a command for the number that the person knows and we do not."""


def possible(facts: Facts, now: datetime) -> tuple[Action, ...]:
    """The least harmful first."""
    found = [*_about_the_request(facts, now), *_about_the_upstream(facts), *_about_results(facts)]
    return tuple(sorted(found, key=lambda action: list(Risk).index(action.risk)))


def _about_the_request(facts: Facts, now: datetime) -> Iterator[Action]:
    for act in allowed(facts.request, now):
        risk, effect = meaning(act, facts)
        yield Action(act.value, risk, command(act, facts.request), effect)
    if facts.request.contradicted_at is not None:
        effect = "Holds our books against the upstream's, and shows a number that is paid for and that nobody holds."
        yield Action("reconcile", Risk.SAFE, "trunkline reconcile", f"{effect} It changes nothing by itself.")


def command(act: Act, row: Request) -> str:
    number = row.number or ANY_NUMBER
    match act:
        case Act.CANCEL | Act.RETRY:
            return f"trunkline {act} {row.id}"
        case Act.SEND_NOW:
            return f"trunkline numbers release {number} --now"
        case Act.COMPLETED:
            named = f" --number {number}" if row.kind is Kind.PROVISION else ""
            return f"trunkline resolve {row.id} --completed{named}"
        case Act.FAILED:
            return f"trunkline resolve {row.id} --failed"
        case Act.ORDER_AGAIN:
            return f"trunkline resolve {row.id} --retry"


class Around(Protocol):
    """What the meaning of an act depends on: the request, and what stands in its way."""

    @property
    def request(self) -> Request: ...
    @property
    def pause(self) -> Pause | None: ...
    @property
    def earlier(self) -> Request | None: ...


def meaning(act: Act, facts: Around) -> tuple[Risk, str]:
    """What doing this may cost, and a sentence that says what it brings about."""
    row = facts.request
    match act:
        case Act.CANCEL:
            return Risk.IRREVERSIBLE, _cancelling(row)
        case Act.RETRY:
            return _retrying(facts)
        case Act.SEND_NOW:
            return Risk.IRREVERSIBLE, "Gives the number up at once."
        case Act.COMPLETED:
            told = "with this number" if row.kind is Kind.PROVISION else "as it was asked for"
            return (
                Risk.IRREVERSIBLE,
                f"Ends it as done, {told}, whatever {row.upstream} says: look there first.",
            )
        case Act.FAILED:
            lost = "a number is paid for that nobody holds" if row.kind is Kind.PROVISION else "our books are wrong"
            return Risk.IRREVERSIBLE, f"Ends it as failed. If the order did land, {lost}."
        case Act.ORDER_AGAIN:
            return _ordering_again(row)


def _cancelling(row: Request) -> str:
    if row.state is State.HELD:
        return "Ends it as cancelled. What was ordered, if anything, stays there, and is paid for."
    if row.repeated:
        return "Ends it. If the first order did land after all, its number is paid for and nobody holds it."
    return "Ends it; nothing was ordered."


def _retrying(facts: Around) -> tuple[Risk, str]:
    row = facts.request
    if row.state is State.QUEUED:
        return _going_now(facts)
    if row.state is State.ACCEPTED or row.accepted_at is not None:
        return Risk.SAFE, "Looks it up now. It was acknowledged, so it is never ordered again by this."
    looked = "Looks it up now; ordered again only if it is absent, and still is when the settling time has passed anew."
    if row.reason == Reason.WRONG_ACCOUNT and row.kind is Kind.PROVISION:
        return Risk.SPENDS_MONEY, f"{looked} What was bought in the other account shows no trace in ours."
    if row.kind is Kind.RELEASE:
        return Risk.IRREVERSIBLE, looked
    return Risk.SAFE, looked


def _going_now(facts: Around) -> tuple[Risk, str]:
    row = facts.request
    if facts.pause is not None:
        return Risk.SAFE, f"Nothing, while {row.upstream} is paused."
    if facts.earlier is not None:
        return Risk.SAFE, "Looks now whether it is its turn."
    if row.kind is Kind.RELEASE:
        return Risk.IRREVERSIBLE, "Gives the number up now and not later."
    return Risk.SAFE, "Sends it now and not later; it buys nothing that was not asked for."


def _ordering_again(row: Request) -> tuple[Risk, str]:
    match row.kind:
        case Kind.PROVISION:
            return Risk.SPENDS_MONEY, "Orders a number again: twice, if the first order did land."
        case Kind.UPDATE:
            return Risk.SAFE, "Sends the same change again; made twice, it is the same change."
        case Kind.RELEASE:
            return Risk.IRREVERSIBLE, "Gives the number up again: somebody else's, if it has been sold to us anew."


def _about_the_upstream(facts: Facts) -> Iterator[Action]:
    name, row = facts.request.upstream, facts.request
    is_account = row.state is State.HELD and row.reason == Reason.WRONG_ACCOUNT
    if row.finished_at is not None or (facts.pause is None and not is_account):
        return
    yield Action("doctor", Risk.SAFE, "trunkline doctor", "Checks credentials, account, connections.")
    if facts.pause is not None:
        which, whom = ("--all", "any upstream") if facts.pause.upstream == ALL else (name, name)
        effect = f"Lets everything that waits for {whom} go out. Mend first what it was paused for."
        yield Action("resume_upstream", Risk.SPENDS_MONEY, f"trunkline upstream resume {which}", effect)


def _about_results(facts: Facts) -> Iterator[Action]:
    for endpoint in {one.endpoint.id: one.endpoint for one in facts.results if one.endpoint is not None}.values():
        if endpoint.disabled_at is not None:
            whose = "" if facts.requester == DEFAULT_REQUESTER else f" --requester {facts.requester}"
            effect = f"Lets {endpoint.name} take results again. What was given up meanwhile has to be replayed."
            yield Action("enable_endpoint", Risk.SAFE, f"trunkline endpoints enable {endpoint.name}{whose}", effect)
    if any(one.delivery.state is DeliveryState.FAILED for one in facts.results):
        effect = "Sends what did not arrive again, under the same webhook-id."
        yield Action("replay", Risk.SAFE, f"trunkline replay {facts.request.id}", effect)
