"""`make release`: the same commit gives the same bytes, and its bill of materials is the lock."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PINNED = re.compile(r"^([A-Za-z0-9_.-]+)==([^ ;\\]+)", re.MULTILINE)
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return released(tmp_path_factory.mktemp("first"))


def released(folder: Path, *, umask: int = 0o022) -> Path:
    """What `make release` makes in a new clone in this folder. The packages that it needs are those of this test."""
    clone = folder / "clone"
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True, umask=umask)  # noqa: S607
    (clone / "models" / "left_by_somebody.py").write_text("# not of the commit\n")
    installed = f"{sys.prefix}/.installed-dev"
    making = ["make", f"VENV={sys.prefix}", f"--old-file={installed}", "release"]
    subprocess.run(making, cwd=clone, check=True, umask=umask, env={**os.environ, "TZ": "Pacific/Auckland"})
    return clone / "dist"


def test_the_same_commit_gives_the_same_bytes(dist: Path, tmp_path: Path) -> None:
    again = released(tmp_path, umask=0o077)
    names = {file.name for file in dist.iterdir()}
    assert {Path(name).suffix for name in names} == {".whl", ".gz", ".json", ""}
    assert {file.name: digest(file) for file in again.iterdir()} == {file.name: digest(file) for file in dist.iterdir()}


def test_the_checksums_are_those_of_the_files(dist: Path) -> None:
    said = [line.split() for line in (dist / "SHA256SUMS").read_text().splitlines()]
    files = [file for file in dist.iterdir() if file.name != "SHA256SUMS"]
    assert {name: sum_ for sum_, name in said} == {file.name: digest(file) for file in files}


def test_nothing_is_in_it_that_is_not_in_the_commit(dist: Path) -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True)  # noqa: S607
    tracked = set(listed.stdout.split())
    (wheel,), (archive,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as opened:
        packed = {name for name in opened.namelist() if ".dist-info/" not in name}
    assert "worker/cli/__init__.py" in packed
    assert packed <= tracked
    with tarfile.open(archive) as tar:
        sources = {member.name.partition("/")[2] for member in tar.getmembers() if member.isfile()}
    assert sources - {"PKG-INFO"} <= tracked
    assert {"requirements.lock", "Makefile", "tests/conftest.py"} <= sources


def test_the_bill_of_materials_is_the_lock(dist: Path) -> None:
    lock = (ROOT / "requirements.lock").read_text()
    bill = json.loads((dist / "sbom.cdx.json").read_text())
    components = {(one["name"], one["version"]): one for one in bill["components"]}
    assert set(components) == set(PINNED.findall(lock))
    said = {hash_["content"] for one in components.values() for hash_ in one["externalReferences"][0]["hashes"]}
    assert said == set(HASH.findall(lock))


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
