"""The systemd units: systemd understands them, and finds little that they could do beside their work."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.conftest import or_skip
from tests.deployed import PROGRAM, UNITS, of_systemd
from tests.services import tools
from worker.upstream_settings import UPSTREAMS

EXPOSED = 20
"""A tenth of it is systemd's own measure, of which everything up to 2.5 counts as low. Ours are at 1.4; a unit without
hardening is at 9.6."""

NAMES = [
    "trunkline-worker@1",
    "trunkline-relay",
    "trunkline-receiver",
    "trunkline-console",
    "trunkline-migrate",
    "trunkline-prune",
]


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """As they are installed, but with a program that is there."""
    folder = tmp_path / "system"
    shutil.copytree(UNITS, folder)
    program = tmp_path / "trunkline"
    program.symlink_to(sys.executable)
    for path in folder.glob("*.service"):
        path.write_text(path.read_text().replace(PROGRAM, str(program)))
    (folder / "trunkline-worker@1.service").symlink_to(folder / "trunkline-worker@.service")
    return folder


def test_systemd_understands_every_line(units: Path) -> None:
    files = [units / f"{name}.service" for name in NAMES]
    with or_skip():
        others = [units / "trunkline.target", units / "trunkline-prune.timer"]
        done = tools.run("systemd-analyze", "verify", "--man=no", *others, *files)
    assert done.returncode == 0, done.stderr
    assert str(units) not in done.stderr  # a line that it ignores is told with its file, and status 0


@pytest.mark.parametrize("name", NAMES)
def test_a_unit_is_as_little_exposed_as_can_be(name: str, units: Path) -> None:
    options = ["security", "--offline=true", f"--threshold={EXPOSED}", "--no-pager"]
    with or_skip():
        done = tools.run("systemd-analyze", *options, units / f"{name}.service", SYSTEMD_UNIT_PATH=f"{units}:")
    assert done.returncode == 0, done.stdout
    assert "Overall exposure level" in done.stdout


def test_the_target_brings_each_of_them() -> None:
    lines = (UNITS / "trunkline.target").read_text().splitlines()
    wanted = {word for line in lines if line.startswith("Wants=") for word in line.removeprefix("Wants=").split()}
    assert {name + ".service" for name in NAMES} - wanted == {"trunkline-prune.service"}  # which has a timer
    assert {word.replace("@1.", "@.").replace("@2.", "@.") for word in wanted} == {
        path.name for path in UNITS.glob("*.service") if "prune" not in path.name
    }


def test_a_worker_gets_more_time_to_stop_than_a_task_may_take() -> None:
    (worker,) = [process for process in of_systemd() if process.name == "worker"]
    assert worker.grace > max(kind().task_limit.total_seconds() for kind in UPSTREAMS.values())


def test_whatever_runs_for_long_comes_back_and_the_schema_is_tried_again() -> None:
    for path in set(UNITS.glob("*.service")) - {UNITS / "trunkline-prune.service"}:
        assert f"Restart={'on-failure' if 'migrate' in path.name else 'always'}\n" in path.read_text(), path.name
