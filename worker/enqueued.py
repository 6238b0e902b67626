"""Requests that backends put straight on the queue, as the Celery task `trunkline.submit`.

Unlike a hint such a message is the data itself. It is acknowledged when its request, or the reason why there is none,
has been committed. It may come twice, which its idempotency key makes harmless; so one without a key is not taken.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from time import sleep
from typing import Any

from sqlalchemy.engine import Engine
from sqlalchemy.exc import InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.orm import Session

from models import dead_letter
from models.base import REFUSED_VALUE, read, write
from models.clock import Clock
from models.intake import Taken
from models.requester import find
from worker import hints, logs, strict_json
from worker.intake import LONGEST_KEY, Conflict, Intake, Invalid
from worker.settings import Settings
from worker.strict_json import Unreadable

log = logging.getLogger(__name__)

ACTOR = "queue"
"""Who asked, as history says."""

LARGEST = 65_536
"""Bytes of a request as JSON: as much as `POST /v1/requests` takes."""

_KEY = re.compile(rf"[ -~]{{1,{LONGEST_KEY}}}")

_AWAY = (OperationalError, InterfaceError, ProgrammingError)
"""The database does not answer, or its schema is not yet ours."""

WAIT = 1.0
"""Seconds between two tries while the database is away. Nobody else gets the message meanwhile."""


class NotTaken(Exception):
    """Why there is no request: a stable code, and a sentence."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True, slots=True)
class Message:
    """What was sent. `body` is the request, as JSON."""

    body: str
    requester: str | None
    idempotency_key: str | None

    @classmethod
    def of(cls, args: Sequence[Any], given: Mapping[str, Any]) -> Message:
        """Of a task's arguments, whatever they are: the request, and by name `idempotency_key` and `requester`."""
        request = args[0] if len(args) == 1 else given.get("request", list(args) or None)
        key, requester = given.get("idempotency_key"), given.get("requester", "default")
        return cls(
            json.dumps(request, ensure_ascii=True),
            None if requester is None else str(requester),
            None if key is None else str(key),
        )


def take(
    engine: Engine,
    settings: Settings,
    clock: Clock,
    message: Message,
    actor: str = ACTOR,
    note: Callable[[Session, Taken], None] | None = None,
    hint: Callable[[str], None] = lambda _: None,
) -> Taken:
    """Take the request of a message, by the same rules as `POST /v1/requests`, and `hint` at its upstream.

    Commits. `note` writes down beside it, in the same transaction, that it was taken. Raises NotTaken.
    """
    body = _body(message.body)
    if message.idempotency_key is None:
        raise NotTaken("no_idempotency_key", "A message may come twice, so it needs an idempotency_key.")
    if not _KEY.fullmatch(message.idempotency_key):
        raise NotTaken("invalid", f"idempotency_key: must be 1 to {LONGEST_KEY} printable ASCII characters")
    name = message.requester or ""
    if name not in settings.environment.queue_requesters:
        known = ", ".join(settings.environment.queue_requesters) or "none"
        raise NotTaken("requester_not_allowed", f"TRUNKLINE_QUEUE_REQUESTERS does not name {name!r}, but: {known}")
    requester = read(engine, lambda session: find(session, name))
    if requester is None:
        raise NotTaken("unknown_requester", f"There is no requester {name!r}: it is made with its first key.")
    intake = Intake(engine, settings)
    try:
        taken = intake.take_one(requester.id, body, message.idempotency_key, clock.now(), actor, note=note)
    except Invalid as error:
        raise NotTaken("invalid", str(error)) from None
    except Conflict:
        raise NotTaken("idempotency_key_reused", "This key was used before, with another body.") from None
    logs.say(request_id=taken.id, upstream=body["upstream"])
    hint(str(body["upstream"]))
    return taken


def take_or_bury(engine: Engine, settings: Settings, clock: Clock, message: Message) -> bool:
    """Take it, or keep it as a dead letter; False for the latter. Returns when one of the two is committed: while the
    database is away, it waits."""
    while True:
        try:
            return _take_or_bury(engine, settings, clock, message)
        except _AWAY as error:
            log.warning("a request on the queue waits for the database (%s)", type(error.orig).__name__)
            sleep(WAIT)


def _take_or_bury(engine: Engine, settings: Settings, clock: Clock, message: Message) -> bool:
    try:
        take(engine, settings, clock, message, hint=hints.upstream)
    except NotTaken as why:
        reason, detail = why.reason, why.detail
    except REFUSED_VALUE:
        reason, detail = "invalid", "The database cannot hold one of its values."
    except _AWAY:
        raise
    except Exception as error:
        # A fault of ours must not cost us the request: who replays it gets it, when that is mended.
        log.exception("a request on the queue could not be judged")
        reason, detail = "failed", f"Trunkline itself failed: {type(error).__name__}; see the log, and replay it."
    else:
        return True
    bury = partial(
        dead_letter.bury,
        body=message.body,
        requester=message.requester,
        idempotency_key=message.idempotency_key,
        reason=reason,
        detail=detail,
        now=clock.now(),
    )
    write(engine, bury, repeatable=True)
    log.warning("a request on the queue was not taken (%s): see trunkline dead-letters", reason)
    return False


def _body(text: str) -> dict[str, Any]:
    if len(text) > LARGEST:
        raise NotTaken("too_large", f"The request has more than {LARGEST:,} bytes.")
    try:
        value, faults = strict_json.parse(text.encode())
    except Unreadable as error:
        raise NotTaken("invalid", f"The request is {error}.") from None
    if faults:
        raise NotTaken("invalid", str(Invalid(faults)))
    if not isinstance(value, dict):
        raise NotTaken("invalid", "The request must be an object: send it as the only argument.")
    return value
