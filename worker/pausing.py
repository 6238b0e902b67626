"""Pausing an upstream by itself, where going on would cost money or get us locked out: until a person resumes it."""

from __future__ import annotations

import logging
from datetime import datetime

from sqlalchemy.orm import Session

from models import upstream
from models.state import Reason
from worker.upstreams.base import Misconfigured, WrongAccount

log = logging.getLogger(__name__)


def pause_where_needed(session: Session, name: str, outcome: object, now: datetime) -> None:
    """Pause the upstream after an outcome that says credentials or account are not right. Does not commit."""
    if not isinstance(outcome, Misconfigured | WrongAccount):
        return
    reason = Reason.WRONG_ACCOUNT if isinstance(outcome, WrongAccount) else "credentials_refused"
    if upstream.pause(session, name, reason, str(outcome), "worker", now):
        log.error("upstream %s is paused: %s", name, outcome)
