"""The life of a request at its upstream: claim what is due, ask, write down the answers. In sets.

Claim and record are one transaction each; while the upstream is asked, none is open. A process may die between
any two lines: the claim's lease ends, the row is due again, and whoever claims it then looks before ordering.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from models import event, lineage, number, stock_watch, tally
from models.base import REFUSED_VALUE, read, write
from models.due import PRIORITIES, Claim, Step, claim_requests, count_due_requests
from models.event import Entry, EventKind
from models.request import Kind, Priority
from models.state import Reason, State
from models.transition import Landing, Move, apply, lock, transition
from worker import logs, stock, tracing
from worker.decision import Outcome, Policy, answer_class, decide, doubt, is_unsettled, name_of
from worker.limits import Permits
from worker.loop import Loop
from worker.pausing import pause_where_needed
from worker.picking import Picker
from worker.runtime import Runtime
from worker.tracing import Side
from worker.upstreams import exchange
from worker.upstreams.base import (
    Accepted,
    Completed,
    Order,
    OutcomeUnknown,
    Stopped,
    TooLate,
    Unavailable,
    Undecidable,
    Upstream,
    WrongAccount,
)
from worker.upstreams.exchange import Exchange, exchanges
from worker.upstreams.http import may_send

log = logging.getLogger(__name__)

LONGEST_WAIT = timedelta(seconds=1)
"""For room at an upstream; then the lane looks whether it is still wanted."""

PAUSED_BEFORE = "The upstream was paused before it was sent."

COULD_NOT_SEND = "The lease was nearly over, so it was not sent."


@dataclass(frozen=True, slots=True)
class Result:
    """What came of asking about one claim."""

    claim: Claim
    outcome: Outcome
    latency: timedelta
    at: datetime
    heard: Sequence[Exchange] = ()  # what was said on the wire


def advance(runtime: Runtime, name: str, priorities: Sequence[int] = PRIORITIES) -> bool:
    """Bring forward what is due at one upstream, one chunk of it. Says whether there may be more."""
    settings, clock = runtime.settings.upstreams[name], runtime.clock
    pace = runtime.pace(name)
    is_bulk, wanted = Priority.BULK in priorities, pace.room
    if not is_bulk:  # places in the rate that turn out not to be wanted are lost to all others
        due = read(runtime.engine, lambda session: count_due_requests(session, name, clock.now(), priorities))
        wanted = min(wanted, due)
        if not wanted:
            return False
    permits = runtime.limits.acquire(
        name, wanted, settings.max_in_flight, settings.rate, settings.call_limit, is_bulk=is_bulk
    )
    granted = permits.count
    if not granted:
        return _wait_for_room(runtime, permits)
    # Counted from before the claim, since the lease is: the database may have kept us waiting.
    sent_until = clock.monotonic() + (settings.lease - settings.answer_within - settings.settles_within).total_seconds()
    try:
        claims = write(runtime.engine, lambda session: _claim(runtime, session, name, granted, priorities))
        runtime.limits.give_back(permits, granted - len(claims), unused=True)
        client, loop = runtime.client(name), runtime.loop
        if claims and claims[0].request.priority == Priority.SINGLE:  # and so all of them
            client, loop = runtime.hurried_client(name)
        with (
            runtime.switches.sending(),
            logs.about(upstream=name, requests=len(claims)),
            tracing.span("set", links=[one.request.id for one in claims], upstream=name, requests=len(claims)),
        ):
            too_late = _ask_and_record(runtime, client, loop, claims, permits, sent_until)
        pace.heard(len(claims), too_late)
    finally:
        runtime.limits.give_back(permits, permits.count)
    return len(claims) == granted or any(_hides_others(claim) for claim in claims)


def _claim(runtime: Runtime, session: Session, name: str, granted: int, priorities: Sequence[int]) -> Sequence[Claim]:
    settings, now = runtime.settings, runtime.clock.now()
    if lineage.check_connection(session, now, may_go_on=not settings.environment.pause_after_failover):
        log.error("the database is not the one that it was: restored, or a standby took over. %s", lineage.DETAIL)
    lease, ceilings = settings.upstreams[name].lease, settings.ceilings
    return claim_requests(session, name, granted, now, lease, priorities, ceilings)


def _wait_for_room(runtime: Runtime, permits: Permits) -> bool:
    """Whether there may be room after the wait, and so work. What is due is not claimed before there is."""
    if permits.again_in is None:
        return False
    runtime.loop.run(asyncio.sleep(min(permits.again_in, LONGEST_WAIT.total_seconds())))
    return True


def _hides_others(claim: Claim) -> bool:
    """Whether it was claimed although more, of another kind, may be due."""
    return claim.is_alone or claim.request.priority == Priority.SINGLE


def _ask_and_record(
    runtime: Runtime, client: Upstream, loop: Loop, claims: Sequence[Claim], permits: Permits, sent_until: float
) -> int:
    """How many of them it was too late for. Each answer frees its permit as it comes: one call that hangs keeps no
    other from being made."""
    within = runtime.settings.upstreams[client.name].answer_within

    picker = Picker(runtime.engine, runtime.clock, client.name, sent_until)
    references = _number_references(runtime, claims)

    async def one(item: tuple[int, Claim]) -> Result:
        place, claim = item
        if wait := permits.wait_of(place, runtime.limits.monotonic()):
            await asyncio.sleep(wait)
        order = _order(runtime, claim, picker, references)
        with _traced(runtime, claim) as span:
            result = await _ask(runtime, client, claim, order, within, sent_until)
            span.tell(answer=name_of(result.outcome))
        return result

    too_late = 0
    for group in loop.stream(list(enumerate(claims)), one):
        too_late += sum(isinstance(result.outcome, TooLate) for result in group)
        runtime.limits.give_back(permits, len(group))
        _record(runtime, client.name, group)
        _adapt(runtime, client.name, group)
    return too_late


def _adapt(runtime: Runtime, name: str, results: Sequence[Result]) -> None:
    """Ask less of an upstream that refuses calls for their number or grows slow. One request that is asked to wait
    speaks for all: to send the others now would be to go on as before."""
    refusals = [result.outcome for result in results if isinstance(result.outcome, Unavailable)]
    refusals = [one for one in refusals if one.reason is Reason.OVER_LIMIT]
    if waits := [one.retry_after for one in refusals if one.retry_after is not None]:
        runtime.limits.hold_off(name, max(waits))
    sent = [one for one in results if one.claim.step is Step.SUBMIT and not isinstance(one.outcome, TooLate | Stopped)]
    latencies = [one.latency for one in sent if not isinstance(one.outcome, Unavailable)]
    runtime.limits.heard(name, latencies, runtime.clock.now(), is_refused=bool(refusals))


def _record(runtime: Runtime, name: str, results: Sequence[Result]) -> None:
    policy = runtime.policy(name)
    try:
        write(runtime.engine, lambda session: record(session, name, results, policy, runtime.clock.now()))
    except REFUSED_VALUE:
        # One answer holds what the database refuses. It must not cost us the others, each of them a purchase.
        if len(results) > 1:
            for one in results:
                _record(runtime, name, [one])
            return
        with logs.about(requests=None, **_ids(results[0].claim)):
            log.exception("the database refuses what %s answered about %s", name, results[0].claim.request.id)
        held = replace(results[0], outcome=Undecidable("The upstream's answer cannot be stored; see the log."))
        write(runtime.engine, lambda session: record(session, name, [held], policy, runtime.clock.now()))


def _number_references(runtime: Runtime, claims: Sequence[Claim]) -> dict[number.Key, str | None]:
    """The upstream's own ids of the numbers that are to be changed or given up."""
    rows = [claim.request for claim in claims if claim.request.kind is not Kind.PROVISION]
    keys = [(row.upstream, row.number) for row in rows if row.number is not None]
    if not keys:
        return {}
    held = read(runtime.engine, lambda session: number.held(session, keys))
    return {key: one.upstream_reference for key, one in held.items()}


def _order(runtime: Runtime, claim: Claim, picker: Picker, references: dict[number.Key, str | None]) -> Order:
    row = claim.request
    return Order(
        request_id=row.id,
        kind=row.kind,
        spec=row.spec,
        number=row.number,
        upstream_reference=row.upstream_reference,
        custom_id=row.custom_id,
        custom_group=row.custom_group,
        callback_uri=runtime.uris.callback(row.upstream, row.id),
        call_uri=runtime.uris.call(row.upstream, row.id),
        sms_uri=runtime.uris.sms(row.upstream, row.id),
        pick=partial(picker.pick, claim),
        number_reference=references.get((row.upstream, row.number or "")),
        repeated=row.repeated,
    )


async def _ask(
    runtime: Runtime, client: Upstream, claim: Claim, order: Order, within: timedelta, sent_until: float
) -> Result:
    clock, switches = runtime.clock, runtime.switches
    logs.say(requests=None, **_ids(claim))
    began = clock.monotonic()
    outcome: Outcome
    heard: list[Exchange] = []
    exchanges.set(heard)
    try:
        if claim.step is Step.LOOK_UP:
            outcome = await client.look_up(order, within)
        elif began > sent_until:
            # Sent now, the answer could come when the row is already somebody else's.
            outcome = TooLate(COULD_NOT_SEND)
        elif switches.is_paused(client.name):
            outcome = Stopped(PAUSED_BEFORE)
        else:
            may_send.set(lambda: not switches.is_paused(client.name))
            outcome = await client.submit(order, within)
    except (Unavailable, OutcomeUnknown, WrongAccount) as failure:
        outcome = failure
    except Exception as error:
        # A fault of ours in one client must not take the other requests of the set with it. What it did upstream
        # nobody knows: looking is right, ordering again is not.
        log.exception("the client of %s failed on request %s", client.name, order.request_id)
        outcome = _our_fault(claim, error)
    return Result(claim, outcome, timedelta(seconds=clock.monotonic() - began), clock.now(), heard)


def _traced(runtime: Runtime, claim: Claim) -> AbstractContextManager[tracing.Span]:
    row = claim.request
    if claim.step is Step.SUBMIT and row.attempts == 1:
        # All else that happens to the request is in this one, whoever took it in, alone or with a million.
        times = row.created_at, runtime.clock.now()
        tracing.wrote("request", row.id, Side.INTERNAL, times, root=True, kind=row.kind.value, **_ids(claim))
    return tracing.span(claim.step.value, row.id, **_ids(claim))


def _ids(claim: Claim) -> dict[str, Any]:
    row = claim.request
    return {"request_id": row.id, "batch_id": row.batch_id, "upstream": row.upstream, "attempt": row.attempts}


def _our_fault(claim: Claim, error: Exception) -> Outcome:
    detail = f"Trunkline's own client failed: {type(error).__name__}"
    return OutcomeUnknown(detail) if claim.step is Step.SUBMIT else Unavailable(detail)


def record(session: Session, name: str, results: Sequence[Result], policy: Policy, now: datetime) -> None:
    """Write answers down: the attempts as history, then the moves, and a pause where an answer calls for one."""
    moves = [decide(result.claim, result.outcome, policy, result.at) for result in results]
    moves = _wait_for_stock(session, name, results, moves, policy, now)
    event.append(session, [_attempt(result) for result in results])
    landings = transition(session, moves, now)
    late = [result for result, landing in zip(results, landings, strict=True) if landing is Landing.STALE]
    if late:
        _record_late(session, late, now)
    for result in results:
        pause_where_needed(session, name, result.outcome, now)
    tally.add(session, [_observation(name, result) for result in results if not _was_kept_back(result.outcome)])


def _was_kept_back(outcome: Outcome) -> bool:
    """By us: the upstream has nothing to do with it."""
    return isinstance(outcome, TooLate | Stopped)


def _observation(name: str, result: Result) -> tally.Observation:
    return tally.Observation(
        tally.What.CALL, name, result.claim.step.value, answer_class(result.outcome), result.latency
    )


def _wait_for_stock(
    session: Session, name: str, results: Sequence[Result], moves: Sequence[Move], policy: Policy, now: datetime
) -> list[Move]:
    """The moves; those that wait for stock wait for a look that serves all who wait for the same."""
    parked, wishes = list(moves), []
    for place, (result, move) in enumerate(zip(results, moves, strict=True)):
        row = result.claim.request
        if (move.to, move.reason) != (State.QUEUED, Reason.OUT_OF_STOCK):
            continue
        if (wish := stock.wish(name, row.spec)) is not None:
            parked[place] = stock.parked(move, wish, row.deadline, policy.stock_interval, now)
            wishes.append(wish)
    stock_watch.watch(session, name, wishes, now, policy.stock_interval)
    return parked


def _attempt(result: Result) -> Entry:
    data: dict[str, Any] = {
        "call": result.claim.step.value,
        "attempt": result.claim.request.attempts,
        "answer": name_of(result.outcome),
        "latency_ms": round(result.latency.total_seconds() * 1000, 1),
    }
    if result.heard and not isinstance(result.outcome, Accepted | Completed):  # of what went well there is too much
        data["exchanges"] = exchange.view(result.heard)
    said = str(result.outcome) if isinstance(result.outcome, Exception) else getattr(result.outcome, "detail", None)
    return Entry(result.claim.request.id, result.at, EventKind.ATTEMPT, "worker", detail=said, data=data)


def _record_late(session: Session, results: Sequence[Result], now: datetime) -> None:
    """Answers that came when the request was another worker's. One thing in them counts: that an order is out."""
    event.append(session, [_late(result, now) for result in results])
    out = [result.claim.request.id for result in results if is_unsettled(result.claim, result.outcome)]
    locked = lock(session, out)
    doubts = [doubt(row, now) for row in locked.values()]
    apply(session, locked, [move for move in doubts if move is not None], now)


def _late(result: Result, now: datetime) -> Entry:
    is_out = is_unsettled(result.claim, result.outcome)
    meaning = "that order may stand" if is_out else "it changed nothing"
    detail = f"The answer {name_of(result.outcome)} came after another worker had taken over: {meaning}."
    return Entry(result.claim.request.id, now, EventKind.NOTE, "worker", reason="stale_answer", detail=detail)
