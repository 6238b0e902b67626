"""A real worker and relay show that their loops turn, and are judged by nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from tests.conftest import or_skip
from tests.receiver import environment
from tests.sandbox import eventually
from tests.services import Server, redis_server
from worker.alive import why_not

NOW = timedelta(seconds=2)
"""Nothing turns so often: in its place the tests wait, not the two minutes of production."""


@pytest.fixture
def own_broker() -> Iterator[Server]:
    """One that may be killed."""
    with or_skip(), redis_server() as server:
        yield server


@contextmanager
def process(
    folder: Path, database_url: str, broker: Server, *words: str
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    file = folder / "its.alive"
    settings = environment(database_url, str(folder)) | {"TRUNKLINE_BROKER_URL": broker.url}
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen(
            [sys.executable, "-m", "worker.cli", *words, "--alive-file", str(file)],
            env=os.environ | settings,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        eventually(file.exists, 30)
        yield running, file
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()


def wait_for_a_touch(file: Path) -> None:
    since = file.stat().st_mtime
    eventually(lambda: file.stat().st_mtime > since, 60)


@pytest.mark.parametrize("words", [["worker", "--concurrency", "1"], ["relay"]], ids=["worker", "relay"])
def test_one_that_hangs_is_not_alive_and_one_without_a_broker_is(
    words: list[str], sqlite_url: str, tmp_path: Path, own_broker: Server
) -> None:
    with process(tmp_path, sqlite_url, own_broker, *words) as (running, file):
        for _ in range(3):  # written, the loop begins, the loop turns
            wait_for_a_touch(file)

        running.send_signal(signal.SIGSTOP)
        eventually(lambda: why_not(file, NOW) is not None, 10)
        running.send_signal(signal.SIGCONT)

        own_broker.kill()
        assert why_not(file, timedelta()) is None
        own_broker.start()
        wait_for_a_touch(file)
