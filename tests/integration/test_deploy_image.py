"""The image: what is copied into it is all that it needs, and it runs as nobody in particular."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.conftest import or_skip
from tests.deployed import DEPLOY, PROCESSES, ROOT
from tests.integration.test_receiver_process import serving
from tests.services import tools
from worker.cli import COMMANDS

DOCKERFILE = DEPLOY / "Dockerfile"
PACKAGES = ("models", "webhook_receiver", "worker")


def instructions(word: str) -> list[str]:
    joined = DOCKERFILE.read_text().replace("\\\n", " ")
    return [line.removeprefix(f"{word} ").strip() for line in joined.splitlines() if line.startswith(f"{word} ")]


def copied() -> list[str]:
    return [source for line in instructions("COPY") if "--from" not in line for source in line.split()[:-1]]


def test_hadolint_finds_nothing() -> None:
    with or_skip():
        done = tools.run("hadolint", DOCKERFILE)
    assert done.returncode == 0, done.stdout


def test_both_stages_stand_on_the_same_pinned_python_that_is_one_of_ours() -> None:
    (base,) = {line.split()[0] for line in instructions("FROM")}
    found = re.fullmatch(r"python:(3\.\d+)-slim-\w+", base)
    assert found, base
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"Programming Language :: Python :: {found[1]}" in project["classifiers"]


def test_what_is_copied_is_what_the_context_holds() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    assert {line.removeprefix("!") for line in lines if line.startswith("!")} == {name.rstrip("/") for name in copied()}


def test_what_is_copied_makes_the_whole_package(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in copied():
        here = ROOT / name
        if here.is_dir():
            shutil.copytree(here, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(here, source / name)
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(tmp_path), str(source)], check=True
    )
    (wheel,) = tmp_path.glob("*.whl")
    tracked = tools.run("git", "-C", ROOT, "ls-files", *PACKAGES).stdout.split()
    assert tracked
    assert set(tracked) - set(zipfile.ZipFile(wheel).namelist()) == set()


def test_every_package_comes_by_its_hash_from_the_lock() -> None:
    installs = [part for line in instructions("RUN") for part in line.split("&&") if "pip install" in part]
    (locked,) = [line for line in installs if "requirements.lock" in line]
    assert "--require-hashes" in locked
    assert all("--no-deps" in line for line in installs)


def test_it_is_a_user_by_number_who_runs_trunkline() -> None:
    ((user, _),) = [line.split(":") for line in instructions("USER")]
    assert int(user) > 0
    assert instructions("ENTRYPOINT") == ['["trunkline"]']
    assert set(PROCESSES) <= set(COMMANDS)


def test_its_health_is_whether_the_receiver_answers(sqlite_url: str, tmp_path: Path) -> None:
    (check,) = instructions("HEALTHCHECK")
    found = re.search(r'CMD \["python", "-c", "(.+)"\]', check)
    assert found
    with serving(sqlite_url, tmp_path) as server:
        code = found[1].replace("8080", str(server.port))
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert done.returncode == 1


@pytest.mark.parametrize("process", PROCESSES)
def test_the_readable_list_of_commands_names_each(process: str) -> None:
    assert process in DOCKERFILE.read_text().splitlines()[0]
