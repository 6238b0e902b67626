"""What a person may do to an upstream's switch, and to that of all: order nothing more there, or order there again."""

from __future__ import annotations

from sqlalchemy.orm import Session

from models import act
from models import upstream as switches
from models.clock import time_of

BY_PERSON = "by_person"


def pause(session: Session, name: str, why: str, actor: str) -> bool:
    """Order nothing more there (`models.upstream.ALL`: anywhere); False where it was paused already: then the first
    reason stays."""
    now = time_of(session)
    is_new = switches.pause(session, name, BY_PERSON, why, actor, now)
    if is_new:
        act.record(session, actor, "upstream.pause", name, now, why)
    return is_new


def resume(session: Session, name: str, actor: str, why: str | None = None) -> bool:
    """Order there again, which spends money; False where it was not paused."""
    pause_ = switches.own_pause(session, name)
    was_paused = switches.resume(session, name)
    if was_paused:
        told = {} if pause_ is None else {"paused_by": pause_.actor, "paused_for": pause_.reason}
        act.record(session, actor, "upstream.resume", name, time_of(session), why, told)
    return was_paused
