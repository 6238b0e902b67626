"""Sweeps at work: ordering one, doing it a portion at a time, and pausing, resuming or cancelling it.

A portion is one transaction, which does it and writes down what came of it: whoever dies in the middle has done
nothing of that portion, and nobody does anything twice. The command that ordered a sweep and every worker may do the
next portion; the sweep's row is locked for it.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from models import act as audit
from models import sweep
from models.base import new_id, read, write
from models.request import Request
from models.sweep import OutcomeKind, Sweep, SweepState, locked
from worker import hints
from worker.previewing import Preview
from worker.runtime import Runtime
from worker.steering import Act, NotNow, steer_set

log = logging.getLogger(__name__)

RATE = 50
"""Requests a second, where nobody says otherwise: a mistake is seen before it is done."""

MOST_A_SECOND = 1_000

PORTION = timedelta(seconds=1)
"""So much of a sweep is one transaction."""

AFTER_FAULT = timedelta(minutes=1)
"""Before a portion that broke off is tried again; meanwhile the other sweeps go on."""

LANE = "sweeps"


class NothingMatches(Exception):
    """No request was there to be acted on when it was previewed."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a sweep is after a portion; `touched` are the upstreams of what the portion did."""

    sweep: Sweep
    touched: frozenset[str]


def order(session: Session, seen: Preview, reason: str, actor: str, now: datetime, rate: int = RATE) -> Sweep:
    """Order what was previewed, at so many requests a second. Raises NothingMatches; ValueError for an empty reason and
    a rate that is not 1 to MOST_A_SECOND.

    What came since, or has moved, is left alone. The clock that tells what came since is that of each id's maker: a
    request that was taken in between by a host whose clock is behind may be acted on, if it matches.
    """
    if not reason.strip():
        raise ValueError("say why: the reason is kept with each request")
    if not 1 <= rate <= MOST_A_SECOND:
        raise ValueError(f"the rate is 1 to {MOST_A_SECOND} a second")
    if not seen.matching or seen.newest is None:
        raise NothingMatches
    ordered = Sweep(
        id=new_id(),
        requester_id=seen.requester_id,
        act=seen.act.value,
        filters=sweep.stored(seen.filters),
        reason=reason.strip(),
        actor=actor,
        previewed=seen.matching,
        rate=rate,
        state=SweepState.RUNNING,
        newest=seen.newest,
        seen_at=seen.at,
        cursor=UUID(int=0),
        gathered=0,
        done=0,
        refused=0,
        gone=0,
        due_at=now,
        made_at=now,
    )
    session.add(ordered)
    session.flush()
    sweep.gather(session, ordered)
    _record(session, ordered, "order", actor, now)
    return ordered


def portion(session: Session, now: datetime, sweep_id: UUID | None = None) -> Progress | None:
    """Do the next portion of the sweep that has been due the longest, or of this one. None where none is due, or
    somebody else is at it."""
    which = () if sweep_id is None else (Sweep.id == sweep_id,)
    found = locked(session, sweep.is_due(now), *which, skip=True)
    if found is None:
        return None
    if found.cursor is not None:
        sweep.gather(session, found)
        touched: frozenset[str] = frozenset()
    else:
        touched = _act(session, found, now)
        found.due_at = now + PORTION
        if not sweep.counts(found)["waiting"]:
            found.state, found.finished_at, found.due_at = SweepState.FINISHED, now, None
    session.flush()
    return Progress(found, touched)


def _act(session: Session, found: Sweep, now: datetime) -> frozenset[str]:
    ids = sweep.waiting(session, found.id, found.rate)
    outcomes = steer_set(session, ids, Act(found.act), found.reason, found.actor, now, sweep.of_sweep(found))
    settled: dict[UUID, tuple[OutcomeKind, str | None]] = {}
    for id_, outcome in outcomes.items():
        if isinstance(outcome, Request):
            settled[id_] = OutcomeKind.DONE, None
        else:
            settled[id_] = (OutcomeKind.GONE if outcome.is_gone else OutcomeKind.REFUSED), outcome.why
    sweep.settle(session, found, settled)
    return frozenset(row.upstream for row in outcomes.values() if isinstance(row, Request))


def pause(session: Session, sweep_id: UUID, actor: str, now: datetime) -> Sweep:
    """Stop it after the portion that is under way. Raises NotNow where it has ended, LookupError."""
    return _steer(session, sweep_id, SweepState.PAUSED, actor, now)


def resume(session: Session, sweep_id: UUID, actor: str, now: datetime) -> Sweep:
    """Let it go on. Raises NotNow where it has ended, LookupError."""
    return _steer(session, sweep_id, SweepState.RUNNING, actor, now)


def cancel(session: Session, sweep_id: UUID, actor: str, now: datetime) -> Sweep:
    """End it here: what it has done stays done. Raises NotNow where it has ended, LookupError."""
    return _steer(session, sweep_id, SweepState.CANCELLED, actor, now)


ACTS = {"pause": pause, "resume": resume, "cancel": cancel}


def _steer(session: Session, sweep_id: UUID, wanted: SweepState, actor: str, now: datetime) -> Sweep:
    """To ask for what it is already changes nothing."""
    found = locked(session, Sweep.id == sweep_id)
    if found is None:
        raise LookupError(str(sweep_id))
    if found.state is wanted:
        return found
    if found.finished_at is not None:
        raise NotNow(f"it has ended: it is {found.state}")
    found.state = wanted
    found.due_at = now if wanted is SweepState.RUNNING else None
    found.finished_at = now if wanted is SweepState.CANCELLED else None
    session.flush()
    verb = {SweepState.PAUSED: "pause", SweepState.RUNNING: "resume", SweepState.CANCELLED: "cancel"}[wanted]
    _record(session, found, verb, actor, now)
    return found


def _record(session: Session, found: Sweep, verb: str, actor: str, now: datetime) -> None:
    reason = found.reason if verb == "order" else None
    data = {"act": found.act, "filters": found.filters, "previewed": found.previewed} if verb == "order" else {}
    audit.record(session, actor, f"sweep.{verb}", found.id, now, reason, data)


def begin_due(runtime: Runtime) -> None:
    """Have the sweeps that are due gone on with, in a thread: the caller, the relay, does not wait for it."""
    now = runtime.clock.now()
    if read(runtime.engine, lambda session: session.scalar(sa.select(sa.exists().where(sweep.is_due(now))))):
        runtime.lanes.run(LANE, lambda: work(runtime))


def work(runtime: Runtime) -> bool:
    """Do a portion of what is due, and wait for the next; says whether there was anything to do."""
    now = runtime.clock.now()
    sweep_id = read(runtime.engine, lambda session: sweep.due_longest(session, now))
    if sweep_id is None:
        return False
    try:
        progress = do_portion(runtime.engine, now, sweep_id)
    except OperationalError:
        raise  # the database is away: for all of them
    except Exception:
        log.exception("sweep %s cannot go on; it is tried again in %s", sweep_id, AFTER_FAULT)
        write(runtime.engine, lambda session: sweep.postpone(session, sweep_id, now + AFTER_FAULT))
        return True
    if progress is None:
        return False
    for name in progress.touched:
        hints.upstream(name)
    if progress.touched:
        hints.deliveries()
    if progress.sweep.due_at is not None and progress.sweep.due_at > now:
        time.sleep(PORTION.total_seconds())
    return True


def do_portion(engine: Engine, now: datetime, sweep_id: UUID | None = None) -> Progress | None:
    """As `portion`, in a transaction of its own."""
    return write(engine, lambda session: portion(session, now, sweep_id))
