"""What every view stands on: settings, database, clock and the gate for upstreams, one set for each application."""

from __future__ import annotations

from dataclasses import dataclass, field

import flask
from sqlalchemy.engine import Engine

from models.clock import Clock
from webhook_receiver.gate import Gate
from webhook_receiver.keeping import Keeper
from webhook_receiver.key_uses import KeyUses
from webhook_receiver.rate_limit import RateLimit
from worker.intake import Intake
from worker.limits import Limits
from worker.settings import Settings

_NAME = "trunkline"


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """The largest body, in bytes, that is read. A larger one gets 413 before it is read to its end."""

    callback: int = 64 * 1024
    single: int = 1024 * 1024
    batch: int = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Receiver:
    settings: Settings
    engine: Engine
    clock: Clock
    gate: Gate
    intake: Intake
    keeper: Keeper
    key_uses: KeyUses
    rate_limit: RateLimit
    shares: Limits
    limits: BodyLimits = field(default_factory=BodyLimits)


def attach(app: flask.Flask, receiver: Receiver) -> None:
    app.extensions[_NAME] = receiver


def here() -> Receiver:
    """That of the application which answers now."""
    found = flask.current_app.extensions[_NAME]
    assert isinstance(found, Receiver)
    return found
