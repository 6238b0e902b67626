"""What `trunkline reconcile` does about one number: adopt it, give it up, forget it, or ask for it once more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.engine import Engine

from models import number
from models.base import read, write
from models.reconciliation import FindingKind
from worker.changes import Asking, NotHeld, change
from worker.cli.database import requester_named
from worker.intake import Conflict, Intake, Invalid
from worker.reconciling import acts
from worker.reconciling.acts import NotDone, Who
from worker.reconciling.compare import Report
from worker.reconciling.finding import Act, Finding
from worker.settings import Settings
from worker.upstreams import DIALECTS


@dataclass(frozen=True, slots=True)
class Here:
    """What the acts need."""

    configured: Settings
    engine: Engine
    who: Who
    requester: str


@dataclass(frozen=True, slots=True)
class Done:
    number: str
    upstream: str
    request_id: UUID | None
    detail: str

    @property
    def is_done(self) -> bool:
        return self.request_id is not None


def do(here: Here, act: Act, report: Report, of: str) -> Done:
    """Do it, in a transaction of its own, or say why not."""
    try:
        request_id, detail = _ACTS[act](here, report, of)
    except NotDone as error:
        return Done(of, report.upstream, None, str(error))
    return Done(of, report.upstream, request_id, detail)


def _adopt(here: Here, report: Report, of: str) -> tuple[UUID, str]:
    extra, owner = report.extras.get(of), requester_named(here.engine, here.requester)
    if extra is None:
        raise NotDone("we hold it already" if of in report.books.held else f"{report.upstream} does not list it")
    made = write(here.engine, lambda session: acts.adopt(session, report.upstream, extra, owner.id, here.who))
    whose = "that waited for it has completed" if extra.request and made == extra.request.id else "says so"
    return made, f"adopted: request {made} {whose}"


def _release(here: Here, report: Report, of: str) -> tuple[UUID, str]:
    extra, owner = report.extras.get(of), requester_named(here.engine, here.requester)
    if extra is None:
        raise NotDone(f"somebody holds it: trunkline numbers release {of}")
    intake = Intake(here.engine, here.configured)
    made = write(here.engine, lambda session: acts.release(session, report.upstream, extra, owner.id, intake, here.who))
    return made, f"given up by request {made}; until it is sent: trunkline cancel {made}"


def _forget(here: Here, report: Report, of: str) -> tuple[UUID, str]:
    found = _finding(report, of, FindingKind.GHOST)
    if found is None:
        is_there = of in report.listed.numbers
        raise NotDone(
            f"{report.upstream} lists it" if is_there else "it is too new to tell, or its release is under way"
        )
    made = write(here.engine, lambda session: acts.forget(session, report.upstream, found, here.who))
    return made, f"held no longer; the history of request {made} says so"


def _apply(here: Here, report: Report, of: str) -> tuple[UUID, str]:
    found, upstream = _finding(report, of, FindingKind.DRIFT), report.upstream
    key = (upstream, of)
    ours = read(here.engine, lambda session: number.held(session, [key])).get(key)
    if found is None or ours is None:
        raise NotDone("it is configured as our books say, or a change of it is under way")
    body = acts.wishes(ours, found, DIALECTS[upstream].repeated_by_updates)
    intake = Intake(here.engine, here.configured)
    try:
        taken = change(Asking(intake, here.engine, None, here.who.actor, here.who.now, here.who.note), ours, body)
    except (NotHeld, Invalid, Conflict) as error:
        raise NotDone(str(error)) from None
    return taken.id, f"asked for once more by request {taken.id}"


_ACTS: dict[Act, Callable[[Here, Report, str], tuple[UUID, str]]] = {
    Act.ADOPT: _adopt,
    Act.RELEASE: _release,
    Act.FORGET: _forget,
    Act.APPLY: _apply,
}


def _finding(report: Report, of: str, kind: FindingKind) -> Finding | None:
    return next((one for one in report.findings if (one.number, one.kind) == (of, kind)), None)
