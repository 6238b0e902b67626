"""The product under simulation: its settings, its application, and its process-wide objects."""

from __future__ import annotations

import os
from functools import cache
from tempfile import TemporaryDirectory
from unittest import mock

from flask import Flask

from tests.working import ENVIRONMENT
from webhook_receiver import create_app
from worker import runtime
from worker.runtime import Runtime
from worker.settings import Settings, load

MORE_SETTINGS = {
    "TRUNKLINE_MAX_ATTEMPTS": "6",
    "TRUNKLINE_RECONCILE_INTERVAL": "0",
    "TRUNKLINE_DELIVERY_BACKOFF": "5,10,20,40,60,60,60,60",
}


@cache
def settings() -> Settings:
    with TemporaryDirectory() as home, mock.patch.dict(os.environ, ENVIRONMENT | MORE_SETTINGS):
        os.environ |= {"TRUNKLINE_HOME": home, "TRUNKLINE_DATABASE_URL": "sqlite://"}
        return load()


@cache
def application() -> Flask:
    return create_app(settings())


def act_as(process: Runtime) -> None:
    """Celery's tasks ask for the runtime of their process: it is this one, until the next is named."""
    runtime._made[os.getpid()] = process
