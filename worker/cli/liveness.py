"""Whether anything works on what was taken, and telling it that there is something new."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sqlalchemy.engine import Engine

from models.base import read
from models.clock import make_clock
from models.heartbeat import last_beat
from worker import hints
from worker.app import configure
from worker.embedded import EmbeddedBroker
from worker.explain.stuck import silence
from worker.relay import HEARTBEAT
from worker.settings import Settings


def why_idle(engine: Engine, settings: Settings) -> str | None:
    """Why nothing works on requests just now, and what to do; None where something does."""
    if settings.is_embedded_broker and not EmbeddedBroker(Path(settings.home) / "broker").is_ready():
        return "Nothing runs yet: the work begins when `trunkline up` runs."
    beat = read(engine, lambda session: last_beat(session, HEARTBEAT))
    return silence(beat, make_clock(engine).now())


def hint(settings: Settings, upstreams: Iterable[str]) -> None:
    """Tell the workers that something is due. Where the broker is away the relay finds it a moment later."""
    if settings.is_embedded_broker and not EmbeddedBroker(Path(settings.home) / "broker").is_ready():
        return
    configure(settings)
    for name in upstreams:
        hints.upstream(name, hints.MOST_AT_ONCE)
    hints.flush()
