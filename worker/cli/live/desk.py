"""What the live screen asks and does: each a short blocking call, for a thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models import act as audit
from models import upstream as switches
from models.base import read, write
from models.clock import time_of
from models.listing import Filters, list_requests
from models.request import Request
from models.state import State
from models.sweep import Sweep
from worker import steering
from worker.cli.actor import actor
from worker.cli.explain import lines
from worker.cli.liveness import hint
from worker.cli.status import look
from worker.cli.sweeping import summary
from worker.explain import explain, gather
from worker.explain.actions import meaning
from worker.explain.explanation import Risk
from worker.overview import Overview
from worker.previewing import Preview, preview
from worker.settings import Settings
from worker.steering import Act
from worker.sweeping import do_portion, order

PAGE = 100
"""Requests of a list that are read at once."""

ONE: Mapping[Act, Callable[..., Request]] = {Act.RETRY: steering.retry, Act.CANCEL: steering.cancel}


@dataclass(slots=True)
class Desk:
    engine: Engine
    settings: Settings

    def overview(self) -> Overview:
        return look(self.engine, self.settings)

    def page(self, filters: Filters, cursor: str | None) -> tuple[list[Request], str | None]:
        return read(self.engine, lambda session: list_requests(session, None, filters, PAGE, cursor))

    def explanation(self, request_id: UUID) -> list[str]:
        """What `trunkline explain` says of it, a line each."""

        def work(session: Session) -> list[str]:
            now = time_of(session)
            row = session.get_one(Request, request_id)
            return list(lines(explain(gather(session, row, self.settings, now), now)))

        return read(self.engine, work)

    def meaning(self, request_id: UUID, act: Act) -> tuple[Risk, str]:
        """What doing this to one request may cost, and what it brings about. Raises NotNow."""

        def work(session: Session) -> tuple[Risk, str]:
            now = time_of(session)
            row = session.get_one(Request, request_id)
            steering.decide(act, row, None, actor(), now)
            return meaning(act, gather(session, row, self.settings, now))

        return read(self.engine, work)

    def steer(self, request_id: UUID, act: Act, note: str) -> str:
        """Do this to one request; what became of it, as a sentence. Raises NotNow."""
        row = write(
            self.engine, lambda session: ONE[act](session, request_id, actor(), time_of(session), note.strip() or None)
        )
        hint(self.settings, [row.upstream])
        return f"Request {row.id} is {row.state}. {row.detail or ''}".strip()

    def preview(self, filters: Filters, act: Act) -> Preview:
        return read(self.engine, lambda session: preview(session, None, filters, act, time_of(session)))

    def order(self, seen: Preview, note: str) -> UUID:
        return write(self.engine, lambda session: order(session, seen, note, actor(), time_of(session))).id

    def portion(self, sweep_id: UUID) -> str | None:
        """Do the next portion of a sweep, if it is due; how it ended, as a sentence, once it has."""
        progress = do_portion(self.engine, read(self.engine, time_of), sweep_id)
        if progress is not None and progress.touched:
            hint(self.settings, progress.touched)
        found = read(self.engine, lambda session: session.get_one(Sweep, sweep_id))
        return None if found.due_at is not None else summary(found)

    def switch(self, name: str, note: str, *, is_paused: bool) -> str:
        """Pause an upstream, or resume it where it is paused; the sentence that says so."""

        def work(session: Session) -> None:
            now = time_of(session)
            if is_paused:
                switches.resume(session, name)
            else:
                switches.pause(session, name, "by_person", note, actor(), now)
            audit.record(session, actor(), f"upstream.{'resume' if is_paused else 'pause'}", name, now, note or None)

        write(self.engine, work)
        if is_paused:
            hint(self.settings, [name])
        return f"{name} is {'resumed' if is_paused else 'paused'}."


def told(filters: Filters) -> str:
    """`held at avanser, outcome_unknown`."""
    words = [str(filters.state or "requests")]
    if filters.upstream:
        words.append(f"at {filters.upstream}")
    named = " ".join(words) + (f", {filters.reason}" if filters.reason else "")
    return named + (", contradicted" if filters.contradicted else "")


def meant(said: Mapping[str, str]) -> Filters:
    """The filters that a want names."""
    return Filters(
        state=State(said["state"]) if "state" in said else None,
        upstream=said.get("upstream"),
        reason=said.get("reason"),
        contradicted=True if said.get("contradicted") == "true" else None,
    )
