"""Every setting that a file of `deploy` names is one, and what is meant for production is without a fault."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from tests.conftest import or_skip
from tests.deployed import DEPLOY, ROOT, env_file, of_compose, of_kubernetes, of_systemd
from tests.factory import SECRET_KEY
from worker import settings as worker_settings
from worker.secret_files import SUFFIX
from worker.upstream_settings import UPSTREAMS

FILES = sorted(
    path
    for path in DEPLOY.rglob("*")
    if path.is_file() and path.suffix not in (".png", ".json") and "secrets" not in path.parts
)

KEPT = {
    "database-url": "postgresql+psycopg://trunkline:secret@postgres/trunkline",
    "broker-url": "redis://valkey:6379/0",
}


def known() -> set[str]:
    kinds: list[type[BaseSettings]] = [worker_settings._Environment, *UPSTREAMS.values()]
    plain = {
        f"{kind.model_config.get('env_prefix', '')}{field}".upper() for kind in kinds for field in kind.model_fields
    }
    return plain | {name + SUFFIX for name in plain}


def unknown(text: str) -> set[str]:
    return {name for name in re.findall(r"\bTRUNKLINE_[A-Z_]*[A-Z]\b(?!_|\*|<)", text) if name not in known()}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_setting_that_a_file_names_is_one(path: Path) -> None:
    assert unknown(path.read_text()) == set()


def test_a_name_that_is_none_would_be_found() -> None:
    assert unknown("TRUNKLINE_SECRET_KEY_FILE: x\nTRUNKLINE_SECRET_KEYS=y") == {"TRUNKLINE_SECRET_KEYS"}


def faults(environment: dict[str, str], folder: Path) -> str:
    """What a process says of its settings at its start, each secret a file of this folder."""
    for name, value in list(environment.items()):
        if name.endswith(SUFFIX):
            path = folder / Path(value).name
            path.write_text(KEPT.get(path.name, SECRET_KEY))
            environment[name] = str(path)
        elif not value:
            environment[name] = "filled-in"
    done = subprocess.run(
        [sys.executable, "-c", "from worker.settings import load; load()"],
        env=environment | {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "TRUNKLINE_HOME": str(folder)},
        cwd=folder, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return done.stderr


def test_the_example_of_an_environment_is_without_a_fault_when_it_is_filled_in(tmp_path: Path) -> None:
    offered = env_file(DEPLOY / "trunkline.env.example", uncommented=True)
    for process in (*of_compose("trunkline.env.example"), *of_systemd()):
        if process.secrets:
            assert faults(offered | process.environment, tmp_path) == "", process.name


def test_the_production_overlay_is_without_a_fault(tmp_path: Path) -> None:
    with or_skip():
        processes = list(of_kubernetes("production"))
    for process in processes:
        assert faults(dict(process.environment), tmp_path) == "", process.name
