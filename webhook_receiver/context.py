"""What every view stands on: settings, database, clock and the check of tokens, one set for each application."""

from __future__ import annotations

from dataclasses import dataclass, field

import flask
from sqlalchemy.engine import Engine

from models.clock import Clock
from webhook_receiver.keeping import Keeper
from worker.intake import Intake
from worker.settings import Settings
from worker.signing import Tokens

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
    tokens: Tokens
    intake: Intake
    keeper: Keeper
    limits: BodyLimits = field(default_factory=BodyLimits)


def attach(app: flask.Flask, receiver: Receiver) -> None:
    app.extensions[_NAME] = receiver


def here() -> Receiver:
    """That of the application which answers now."""
    found = flask.current_app.extensions[_NAME]
    assert isinstance(found, Receiver)
    return found
