"""Why a request stands where it stands, and what comes next: a chapter for each state that is not the end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from models.due import HELD_AFTER
from models.request import Kind, Request
from models.state import Reason, State
from models.upstream import ALL
from worker.decision import LONGEST_UNKNOWN, MOST_LOOKS
from worker.explain.explanation import Next, NextStep, at, clock, ended
from worker.explain.facts import Facts


@dataclass(frozen=True, slots=True)
class Story:
    known: tuple[str, ...]
    next: Next


def tell(facts: Facts, now: datetime) -> Story:
    match facts.request.state:
        case State.QUEUED:
            return _waiting(facts, now)
        case State.SUBMITTING if facts.request.reason != Reason.OUTCOME_UNKNOWN:
            return _being_ordered(facts, now)
        case State.SUBMITTING:
            return _perhaps_ordered(facts, now)
        case State.ACCEPTED:
            return _acknowledged(facts, now)
        case State.HELD:
            return _held(facts)
        case _:
            return _ended(facts)


def _waiting(facts: Facts, now: datetime) -> Story:
    row = facts.request
    known = [_why_it_waits(facts, now)]
    if row.repeated and row.reason not in (None, Reason.BY_PERSON):
        known.append("It was ordered before; that order was not to be seen.")
    if facts.pause is not None:
        pause = facts.pause
        which = "Every upstream" if pause.upstream == ALL else row.upstream
        known.append(
            f"{which} is paused since {clock(pause.paused_at)} by {pause.actor} ({pause.reason}): "
            + ended(pause.detail or "no reason given")
        )
    return Story(tuple(known), _what_ends_the_waiting(facts, now))


def _why_it_waits(facts: Facts, now: datetime) -> str:
    row = facts.request
    match row.reason:
        case Reason.OUT_OF_STOCK | Reason.UPSTREAM_UNAVAILABLE | Reason.OVER_LIMIT:
            return _what_the_upstream_said(facts, now)
        case Reason.UPSTREAM_PAUSED if facts.pause is None:
            return f"{row.upstream} was paused, and is no longer."
        case Reason.UPSTREAM_PAUSED:
            return "It is not ordered while its upstream is paused."
        case Reason.EARLIER_CHANGE if facts.earlier is None:
            return "It waited for another change of the same number, which has ended."
        case Reason.RELEASE_DELAY:
            return "It gives a number up, and can still be cancelled."
        case Reason.SPENDING_LIMIT:
            return f"A spending limit is reached, and nothing was ordered: {_detail(row)}"
        case Reason.BATCH_PAUSED:
            return "Its batch is paused."
        case Reason.BY_PERSON:
            return f"A person asked for it to be ordered again: {_detail(row)}"
        case None if row.repeated:
            return "The first order was not to be seen, also after the settling time: it is ordered again."
    return _not_ordered_yet(facts)


def _what_the_upstream_said(facts: Facts, now: datetime) -> str:
    row = facts.request
    match row.reason:
        case Reason.OUT_OF_STOCK:
            looked_at = None if facts.watch is None else facts.watch.looked_at
            looked = "" if looked_at is None else f" The last look at the stock was {at(looked_at, now)}."
            return f"It waits for stock: {_detail(row)}{looked}"
        case Reason.OVER_LIMIT:
            slower = f"{row.upstream} asked us to slow down; nothing was ordered, and it does not count as a try"
            return f"{slower}: {_detail(row)}"
        case _:
            tries = f"{row.retries} of {facts.rules.max_attempts} tries in a row came to nothing"
            return f"{tries}, and provably ordered nothing. The last: {_detail(row)}"


def _detail(row: Request) -> str:
    return ended(row.detail or "no more was said")


def _not_ordered_yet(facts: Facts) -> str:
    row = facts.request
    said = "" if row.detail is None or facts.earlier is not None else f" {ended(row.detail)}"
    if facts.earlier is not None:
        said = f" Changes of one number are made one after the other, and {_named(facts, facts.earlier)} goes first."
    return f"Nothing was ordered yet.{said}"


def _named(facts: Facts, earlier: Request) -> str:
    """The other request; another requester's is nobody else's business."""
    if earlier.requester_id != facts.request.requester_id:
        return "another request"
    return f"request {earlier.id} ({earlier.kind}, {earlier.state})"


def _what_ends_the_waiting(facts: Facts, now: datetime) -> Next:
    """In the order in which a claim asks (`models.due`)."""
    row = facts.request
    if facts.pause is not None:
        late = f" Its deadline is {at(row.deadline, now)}: if it is resumed after that, it fails."
        which = "all upstreams" if facts.pause.upstream == ALL else row.upstream
        return Next(NextStep.PERSON, None, f"It goes out when a person resumes {which}.{late}")
    if row.due_at is None and row.reason == Reason.BATCH_PAUSED:
        return Next(NextStep.PERSON, None, "It goes out when a person resumes its batch.")
    due_at = max(row.due_at or now, now)
    watch = facts.watch if row.reason == Reason.OUT_OF_STOCK and due_at > now else None
    if watch is not None and watch.due_at < due_at:
        look_at = max(watch.due_at, now)
        back = f"The next look at the stock is {at(look_at, now)}: who waits longest is served first."
        return Next(NextStep.LOOK_AT_STOCK, look_at, f"{back}{_until(row)}")
    if row.deadline <= due_at:
        return Next(NextStep.FAIL, due_at, f"It fails (deadline_passed) {at(due_at, now)}: it waited long enough.")
    if facts.is_gone:
        gone = "the number was given up, or became another requester's, since this was asked for"
        return Next(NextStep.FAIL, due_at, f"It fails (not_held) {at(due_at, now)}: {gone}.")
    if facts.earlier is not None:
        turn = f"It is asked again {at(due_at, now)} whether {_named(facts, facts.earlier)} has ended."
        return Next(NextStep.CHECK_TURN, due_at, f"{turn}{_until(row)}")
    return Next(NextStep.ORDER, due_at, f"It is {_done(row)} {_soon(due_at, now)}.{_last_try(facts)}{_until(row)}")


def _until(row: Request) -> str:
    return f" Not ordered by {clock(row.deadline)}, it fails."


def _last_try(facts: Facts) -> str:
    is_last = facts.request.retries + 1 >= facts.rules.max_attempts
    return " If that comes to nothing again, it is given up and fails." if is_last else ""


def _done(row: Request) -> str:
    return {Kind.PROVISION: "ordered", Kind.UPDATE: "sent", Kind.RELEASE: "sent"}[row.kind]


def _soon(moment: datetime, now: datetime) -> str:
    return at(moment, now) if moment > now else "as soon as a worker takes it, which is now"


def _being_ordered(facts: Facts, now: datetime) -> Story:
    row = facts.request
    assert row.due_at is not None
    if row.due_at <= now:
        known = f"Whoever was asking {row.upstream} has not come back: whether it was ordered, nobody knows."
        return Story((known,), _look(facts, now, now))
    known = f"{row.upstream} is being asked, since {clock(facts.since)}."
    late = f"Without one {at(row.due_at, now)}, it is looked up before anything is ordered again."
    return Story((known,), Next(NextStep.ANSWER, row.due_at, f"Its answer, any moment. {late}"))


def _perhaps_ordered(facts: Facts, now: datetime) -> Story:
    row = facts.request
    since = facts.since if row.unknown_since is None else row.unknown_since
    known = [f"An order may or may not have reached {row.upstream}: unknown since {clock(since)}."]
    if row.absent_at is not None:
        known.append(f"A look {at(row.absent_at, now)} showed no trace of it. Lists lag: once is no proof.")
    elif row.looks:
        known.append(f"Looked up {_times(row.looks)}, without learning what became of it.")
    else:
        known.append("It has not been looked up yet.")
    if row.detail is not None:
        known.append(ended(row.detail))
    if (in_hand := _in_hand(facts, now)) is not None:
        return Story(tuple(known), in_hand)
    return Story(tuple(known), _look(facts, max(row.due_at or now, now), now))


def _look(facts: Facts, when: datetime, now: datetime) -> Next:
    """A look at what became of an order, and what each thing that it may show will lead to."""
    row = facts.request
    if row.unanswered >= HELD_AFTER:
        return _held_next(when, now)
    since = when if row.unknown_since is None else row.unknown_since
    absent = f"if it is absent, once more when the settling time ({facts.rules.settling.total_seconds():g} s) is over"
    if row.absent_at is not None and when >= since + facts.rules.settling:
        resumed = "" if facts.pause is None else f", as soon as a person has resumed {row.upstream}"
        absent = f"if it is absent again, it is ordered again{resumed}"
        if row.retries + 1 >= facts.rules.max_attempts:
            absent = f"if it is absent again, it fails: it was tried {_times(row.retries + 1)}"
    cannot = f"If {row.upstream} cannot be asked until {clock(since + LONGEST_UNKNOWN)}, a person is."
    detail = f"It is looked up {_soon(when, now)}: what {row.upstream} shows counts; {absent}. {cannot}"
    return Next(NextStep.LOOK_UP, when, detail)


def _held_next(when: datetime, now: datetime) -> Next:
    return Next(NextStep.HOLD, when, f"It is held {_soon(when, now)}: the workers that took it up did not come back.")


def _in_hand(facts: Facts, now: datetime) -> Next | None:
    """What is said while somebody is looking it up; None where nobody is."""
    row = facts.request
    if row.due_at is None or row.due_at <= now or not row.unanswered:
        return None
    late = f"If whoever looks does not come back, it is looked up again {at(row.due_at, now)}."
    return Next(NextStep.ANSWER, row.due_at, f"It is being looked up right now. {late}")


def _acknowledged(facts: Facts, now: datetime) -> Story:
    row = facts.request
    when = row.updated_at if row.accepted_at is None else row.accepted_at
    about = f" Its number will be {row.number}." if row.number is not None and row.kind is Kind.PROVISION else ""
    known = [f"{row.upstream} has the order, since {clock(when)}, and has not said yet that it is done.{about}"]
    if row.looks:
        known.append(f"Its callback has not come. It was looked up {_times(row.looks)}; {MOST_LOOKS} is the most.")
    if row.detail is not None:
        known.append(ended(row.detail))
    if (in_hand := _in_hand(facts, now)) is not None:
        return Story(tuple(known), in_hand)
    due_at = max(row.due_at or now, now)
    if row.unanswered >= HELD_AFTER:
        return Story(tuple(known), _held_next(due_at, now))
    last = " If that settles nothing, a person is asked." if row.looks + 1 >= MOST_LOOKS else ""
    detail = f"The callback, any time; without one it is looked up {_soon(due_at, now)}.{last} It is not ordered again."
    return Story(tuple(known), Next(NextStep.LOOK_UP, due_at, detail))


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _held(facts: Facts) -> Story:
    row = facts.request
    match row.reason:
        case Reason.WRONG_ACCOUNT:
            why = f"{row.upstream} answered for an account that is not ours: if it was ordered, it was ordered there."
        case Reason.WORKERS_LOST:
            why = "Worker after worker took it up and did not come back."
        case Reason.CALLBACK_MISSING:
            why = f"{row.upstream} acknowledged it and never completed it; {MOST_LOOKS} looks showed no end."
        case _:
            why = "Whether it was ordered, no evidence settles."
    known = (why, ended(row.detail)) if row.detail is not None else (why,)
    detail = f"Nothing, until a person decides. Should {row.upstream} call back after all, that settles it."
    return Story(known, Next(NextStep.PERSON, None, detail))


def _ended(facts: Facts) -> Story:
    row = facts.request
    how = {
        State.COMPLETED: "It is done." if row.number is None else f"It is done; it was about {row.number}.",
        State.FAILED: "It failed; as far as is known, nothing was bought.",
        State.CANCELLED: "It was cancelled.",
    }[row.state]
    if row.kind is not Kind.PROVISION and row.state is State.FAILED:
        how = "It failed; as far as is known, nothing was changed."
    known = [how] if row.detail is None else [how, ended(row.detail)]
    if row.contradicted_at is not None:
        told = None if facts.contradiction is None else facts.contradiction.detail
        known.append(f"Since {clock(row.contradicted_at)} that is contradicted: {ended(told or 'see its timeline')}")
    return Story(tuple(known), Next(NextStep.NOTHING, None, "Nothing: it has ended."))
