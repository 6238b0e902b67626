"""Who may tell us something: the token, the address it comes from, and whether there is anything left to tell.

For a request of the last days the token and its id settle that alone. For an older one the database is asked, and
what it says of an open address is good for some minutes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy.engine import Engine

from models import closing
from models.base import read
from models.clock import Clock
from models.inbox import Purpose
from webhook_receiver.addresses import is_among
from worker.settings import Settings
from worker.signing import PORTAL, BadToken, Tokens
from worker.upstream_settings import Network

KNOWN_FOR = 300.0
"""Seconds in which an old address that was open is taken to be open still: it closes days after the end."""

MOST_KNOWN = 10_000


class Gate:
    """Lets in what comes with a good token, from an upstream's own address where these are set."""

    def __init__(self, settings: Settings, engine: Engine, clock: Clock) -> None:
        self._tokens = Tokens(settings.secret_keys)
        self._engine, self._clock = engine, clock
        self._open_for = timedelta(days=settings.environment.callbacks_open_for)
        self._allowed = {name: upstream.callbacks_from for name, upstream in settings.upstreams.items()}
        self._known_until: dict[tuple[Purpose, UUID], float] = {}  # monotonic seconds

    def admit(self, upstream: str, purpose: Purpose, token: str, address: str | None) -> UUID:
        """The request that is spoken of. Raises BadToken, for the address as for the token."""
        is_allowed = _may_come_from(address, self._allowed, upstream)
        request_id = self._tokens.check(upstream, purpose, token)
        if not is_allowed or (request_id != PORTAL and self._is_closed(purpose, request_id)):
            raise BadToken
        return request_id

    def _is_closed(self, purpose: Purpose, request_id: UUID) -> bool:
        since = self._clock.now() - self._open_for
        key = (purpose, request_id)
        if closing.is_young(request_id, since) or self._known_until.get(key, 0.0) > time.monotonic():
            return False
        if read(self._engine, lambda session: closing.is_closed(session, purpose, request_id, since)):
            return True
        if len(self._known_until) >= MOST_KNOWN:
            self._known_until.clear()
        self._known_until[key] = time.monotonic() + KNOWN_FOR
        return False


def _may_come_from(address: str | None, allowed: Mapping[str, Sequence[Network]], upstream: str) -> bool:
    """Whether this upstream may send from this address. From everywhere, where nothing is set for it."""
    networks = allowed.get(upstream, ())
    if not networks:
        return True
    return is_among(address, networks)
