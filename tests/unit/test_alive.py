"""Who is alive: whoever turned of late, and whoever waits for a broker that is away."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from worker.alive import SILENT_AFTER, Sign, why_not
from worker.cli import main

AWAY = "redis://:a-password@127.0.0.1:1/0"
"""Nobody listens there."""


@pytest.fixture
def broker() -> Iterator[str]:
    """Somebody who says something to each who greets."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer_each, args=(listener,), daemon=True).start()
        yield f"amqp://trunkline:a-password@127.0.0.1:{listener.getsockname()[1]}//"
        listener.shutdown(socket.SHUT_RDWR)


def answer_each(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.recv(8)
            connection.sendall(b"\x01")


def shown(path: Path, broker_url: str, ago: timedelta) -> Path:
    Sign(path).begin(broker_url)
    at = time.time() - ago.total_seconds()
    os.utime(path, (at, at))
    return path


LONG_AGO = SILENT_AFTER + timedelta(seconds=5)


def test_a_loop_that_turned_of_late_is_alive(tmp_path: Path, broker: str) -> None:
    assert why_not(shown(tmp_path / "worker.alive", broker, timedelta(seconds=30))) is None


def test_a_loop_that_stands_still_is_not(tmp_path: Path, broker: str) -> None:
    reason = why_not(shown(tmp_path / "worker.alive", broker, LONG_AGO))
    assert reason is not None
    assert "has not turned for 12" in reason


def test_a_loop_that_waits_for_a_broker_that_is_away_is_alive(tmp_path: Path) -> None:
    assert why_not(shown(tmp_path / "worker.alive", AWAY, LONG_AGO)) is None


def test_so_is_one_whose_broker_takes_connections_and_says_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        url = f"redis://127.0.0.1:{frozen.getsockname()[1]}/0"
        assert why_not(shown(tmp_path / "worker.alive", url, LONG_AGO)) is None


def test_of_several_sentinels_one_that_answers_is_enough(tmp_path: Path, broker: str) -> None:
    sentinels = f"sentinel://127.0.0.1:1;{broker.replace('amqp', 'sentinel')}"
    assert why_not(shown(tmp_path / "worker.alive", sentinels, LONG_AGO)) is not None


def test_to_show_it_again_makes_it_alive(tmp_path: Path, broker: str) -> None:
    path = shown(tmp_path / "worker.alive", broker, LONG_AGO)
    Sign(path).show()
    assert why_not(path) is None


def test_the_file_holds_no_password(tmp_path: Path) -> None:
    assert "a-password" not in shown(tmp_path / "worker.alive", AWAY, timedelta()).read_text()


def test_the_command_says_why_not_and_ends_with_1(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["alive", str(tmp_path / "worker.alive")])
    assert done.exit_code == 1
    assert "was started with --alive-file" in done.stderr


def test_the_command_ends_with_0_where_the_process_is_alive(tmp_path: Path) -> None:
    path = shown(tmp_path / "worker.alive", AWAY, timedelta())
    assert CliRunner().invoke(main, ["alive", str(path)]).exit_code == 0


def test_the_probe_loads_neither_celery_nor_a_database(tmp_path: Path) -> None:
    path = shown(tmp_path / "worker.alive", AWAY, timedelta())
    code = (
        "import sys; from worker.cli import main; main(['alive', sys.argv[1]], standalone_mode=False);"
        " print({'celery', 'sqlalchemy', 'pydantic', 'flask'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["alive", "set()"]
