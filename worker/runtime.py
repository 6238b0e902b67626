"""What a working process holds on to: settings, database, clock, limits, the event loop and the upstreams' clients."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy.engine import Engine

from models.base import make_engine, read
from models.clock import Clock, make_clock
from models.upstream import paused_names
from worker.decision import Policy
from worker.destinations import Destinations
from worker.lanes import Lanes
from worker.limits import Limits
from worker.loop import Loop
from worker.pace import Pace
from worker.places import Proven
from worker.settings import Settings, load
from worker.signing import Tokens, Uris
from worker.switches import Switches
from worker.upstreams import make_client
from worker.upstreams.base import Upstream


@dataclass(slots=True)
class Runtime:
    settings: Settings
    engine: Engine
    clock: Clock
    limits: Limits
    loop: Loop
    lanes: Lanes
    uris: Uris
    destinations: Destinations
    switches: Switches
    proven: Proven = field(default_factory=Proven)
    hurried: Loop | None = None  # for single requests, which else wait at each step for hundreds of a bulk job
    _clients: dict[str, Upstream] = field(default_factory=dict)
    _hurried_clients: dict[str, Upstream] = field(default_factory=dict)
    _paces: dict[str, Pace] = field(default_factory=dict)

    def client(self, name: str) -> Upstream:
        """The client of an upstream, made at its first use and kept. Raises SettingsError where it is not set up."""
        return self._kept(self._clients, name)

    def hurried_client(self, name: str) -> tuple[Upstream, Loop]:
        """A client for single requests, and the loop that it lives on."""
        if self.hurried is None:
            return self.client(name), self.loop
        return self._kept(self._hurried_clients, name), self.hurried

    def _kept(self, clients: dict[str, Upstream], name: str) -> Upstream:
        if name not in clients:
            clients.setdefault(name, make_client(name, self.settings))  # two lanes may come here at once
        return clients[name]

    def pace(self, name: str) -> Pace:
        """How many requests at once this process asks of an upstream."""
        return self._paces.setdefault(name, Pace())

    def policy(self, name: str) -> Policy:
        upstream, environment = self.settings.upstreams[name], self.settings.environment
        return Policy(
            settling=upstream.settles_within,
            callback_deadline=upstream.called_back_within,
            stock_interval=timedelta(seconds=environment.stock_interval),
            max_attempts=environment.max_attempts,
            backoff_base=timedelta(seconds=environment.backoff_base),
            backoff_cap=timedelta(seconds=environment.backoff_cap),
            verify_callbacks=upstream.verify_callbacks,
        )


def make(settings: Settings) -> Runtime:
    engine = make_engine(settings.database_url, keyring=settings.keyring)
    return Runtime(
        settings=settings,
        engine=engine,
        clock=make_clock(engine),
        limits=Limits(settings.redis_url),
        loop=Loop(),
        hurried=Loop(),
        lanes=Lanes(),
        destinations=Destinations(
            allow_private=settings.environment.allow_private_destinations, proxy=settings.egress_proxy
        ),
        uris=Uris(settings.public_url, Tokens(settings.secret_keys)),
        switches=Switches(lambda: read(engine, paused_names)),
    )


_made: dict[int, Runtime] = {}


SWITCH = timedelta(milliseconds=0.5)
"""How long a thread may keep others of its process from running. With Python's own 5 ms the event loop waits as long
for the thread that writes down a set, each time it has sent something: 0.3 s for fifty orders."""


def current() -> Runtime:
    """This process's runtime, made at its first task: threads and connections do not survive a fork."""
    pid = os.getpid()
    if pid not in _made:
        sys.setswitchinterval(SWITCH.total_seconds())
        _made[pid] = make(load())
    return _made[pid]


def finish() -> None:
    """Before this process ends: wait, as long as an upstream may take to answer, for what it has under way."""
    here = _made.get(os.getpid())
    if here is not None:
        here.lanes.drain(max(upstream.call_limit for upstream in here.settings.upstreams.values()))
