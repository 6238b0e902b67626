"""The steps of deploy/README.md for machines without containers, word for word: from a clone to a content `doctor`.

Only paths and addresses are this test's, and in place of systemd it is the test who starts what the units start.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import services
from tests.deployed import DEPLOY, ROOT, of_systemd
from tests.sandbox import ACCOUNT, PASSWORD, USERNAME, SandboxServer, eventually
from tests.services.server import free_port

LIMIT = 600
"""Seconds from an empty machine to the end: what the project promises."""


def blocks() -> list[str]:
    section = (DEPLOY / "README.md").read_text().partition("\n## systemd\n")[2].partition("\n## ")[0]
    return re.findall(r"^```\n(.+?)^```", section, re.DOTALL | re.MULTILINE)


@dataclass
class Empty:
    """A machine on which nothing is installed. `asked` is what was asked of programs that it does not have."""

    folder: Path

    @property
    def program(self) -> str:
        return str(self.folder / "usr/local/bin/trunkline")

    @property
    def asked(self) -> Path:
        return self.folder / "asked"

    def here(self, text: str) -> str:
        text = re.sub(r"(?<![\w.])/(?=(?:opt|etc|usr/local|run)/)", f"{self.folder}/", text)
        return re.sub(r"^trunkline(?= )", self.program, text, flags=re.MULTILINE)

    def do(self, script: str) -> subprocess.CompletedProcess[str]:
        path = f"{self.folder / 'missing'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TRUNKLINE_")}
        environment |= {"PATH": path, "PIP_NO_COMPILE": "1", "PIP_QUIET": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        words = ["/bin/sh", "-eu", "-c", self.here(script)]
        return subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    def write(self, path: str, text: str) -> None:
        Path(self.here(path)).write_text(text)


@pytest.fixture
def empty(tmp_path: Path) -> Empty:
    machine = Empty(tmp_path)
    for name in ("missing", "opt", "etc/systemd/system", "usr/local/bin"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("useradd", "systemctl"):
        program = tmp_path / "missing" / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >> {machine.asked}\n')
        program.chmod(0o755)
    return machine


@pytest.fixture
def database(postgres_server: services.Postgres) -> Iterator[str]:
    name = f"steps_{os.getpid()}_{time.monotonic_ns()}"
    postgres_server.execute(f"CREATE DATABASE {name}")
    yield postgres_server.database_url(name)
    postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextlib.contextmanager
def as_systemd(machine: Empty) -> Iterator[None]:
    """What the target starts, with the settings that the units get."""
    processes = {process.name: process for process in of_systemd()}
    migrated = machine.do(" ".join(["trunkline", *processes["migrate"].words]))
    assert migrated.returncode == 0, migrated.stderr
    port = str(free_port())
    with contextlib.ExitStack() as stack:
        for name in ("worker", "relay", "receiver"):
            words = [port if word == "8080" else word for word in processes[name].words]
            log = stack.enter_context((machine.folder / f"{name}.log").open("wb"))
            running = subprocess.Popen(
                [machine.program, *words], cwd=machine.folder, stdout=log, stderr=log, start_new_session=True
            )
            stack.callback(stop, running)
        yield


def stop(running: subprocess.Popen[bytes]) -> None:
    running.terminate()
    try:
        assert running.wait(60) == 0
    finally:
        if running.poll() is None:
            os.killpg(running.pid, 9)


@pytest.mark.timeout(LIMIT)
def test_from_a_clone_to_a_doctor_that_is_content(empty: Empty, database: str, redis_url: str) -> None:
    installing, starting = blocks()
    script = installing.replace("postgresql+psycopg://USER:PASSWORD@HOST:5432/trunkline", database)
    script = script.replace("redis://:PASSWORD@HOST:6379/0", redis_url)
    assert script.count(database) == script.count(redis_url) == 1

    installed = empty.do(script)
    assert installed.returncode == 0, installed.stderr
    empty.write(empty.program, empty.here(Path(empty.program).read_text()))

    with SandboxServer() as sandbox:
        settings = empty.here("/etc/trunkline/env")
        filled_in = f"""\
TRUNKLINE_AVANSER_URL={sandbox.url}/avanser/v1
TRUNKLINE_AVANSER_USERNAME={USERNAME}
TRUNKLINE_AVANSER_ACCOUNT_ID={ACCOUNT}
"""
        empty.write(settings, Path(settings).read_text() + filled_in)
        empty.write("/etc/trunkline/secrets/avanser-password", PASSWORD + "\n")

        with as_systemd(empty):
            eventually(lambda: "heard of within" in empty.do("trunkline doctor").stdout, 90)
            done = empty.do(starting)

    assert done.returncode == 0, done.stdout + done.stderr
    assert empty.asked.read_text().splitlines() == [
        "useradd --system --no-create-home --shell /usr/sbin/nologin trunkline",
        "systemctl daemon-reload",
        "systemctl enable --now trunkline.target",
    ]
    there = {path.name for path in Path(empty.here("/etc/systemd/system")).iterdir()}
    assert {"trunkline.target", "trunkline-.service.d", "trunkline-worker@.service"} <= there
    for secret in Path(empty.here("/etc/trunkline/secrets")).glob("*-*"):
        if secret.name != "avanser-password":
            assert secret.stat().st_mode & 0o077 == 0, secret
