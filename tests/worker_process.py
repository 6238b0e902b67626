"""A worker of one child as in production, started for a test, whose process sends to the same broker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.celery_app import forget_connections
from tests.chaos.member import Member
from tests.receiver import environment
from tests.sandbox import eventually
from worker.app import configure
from worker.settings import load


@contextmanager
def a_worker(
    monkeypatch: pytest.MonkeyPatch, database_url: str, broker_url: str, folder: Path, **settings: str
) -> Iterator[Member]:
    """Ready; killed at the end. Its log is in the folder."""
    mine = environment(database_url, str(folder)) | {"TRUNKLINE_BROKER_URL": broker_url} | settings
    for name, value in mine.items():
        monkeypatch.setenv(name, value)
    configure(load())
    forget_connections()
    running = Member("worker", ["worker", "--concurrency", "1"], dict(os.environ), folder)
    running.start()
    try:
        eventually(lambda: running.is_ready, within=60)
        yield running
    finally:
        running.stop()
        forget_connections()
