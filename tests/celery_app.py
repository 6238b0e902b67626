"""The one Celery application of this process, which tests point at brokers of their own."""

from __future__ import annotations

from typing import Any

from kombu import pools

from worker.app import app


def forget_connections() -> None:
    """Those to the broker of another test."""
    pools.reset()
    celery: Any = app
    celery._after_fork()
