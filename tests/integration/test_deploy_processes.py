"""The processes of `deploy`, run with the command lines and environments that stand in its files.

Only host names, ports and paths are this machine's. Started by root they have a read-only root, no capability and the
user of the files, who has neither a name nor a home.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests import services
from tests.conftest import or_skip
from tests.deployed import PROCESSES, PRUNE, WAYS, Process
from tests.factory import SECRET_KEY
from tests.receiver import BODY
from tests.sandbox import ACCOUNT as ACCOUNT_ID
from tests.sandbox import MESSAGEMEDIA_KEY, MESSAGEMEDIA_SECRET, PASSWORD, TELMETRICS_TOKEN, USERNAME, eventually
from tests.services.server import free_port

ROOT = Path(__file__).resolve().parents[2]

PATIENCE = 90.0
"""Seconds. Six processes of Python start at once, where other tests run."""

CONTAINED = """mount -o remount,ro,bind / && mount -t tmpfs -o size=64m,mode=1777 tmpfs "$0" &&
exec unshare --user --map-user=10001 --map-group=10001 \\
setpriv --bounding-set=-all --inh-caps=-all --no-new-privs "$@"
"""
"""As a container with a read-only root, no capability, 64 MiB of /tmp and the user of deploy/Dockerfile. Who runs the
tests stands behind that user, so that it may enter wherever they are installed."""


@dataclass
class Machine:
    """Where this test's servers are, in place of the files' hosts, ports and paths."""

    folder: Path
    secrets: Mapping[str, str]
    ports: dict[str, int] = field(
        default_factory=lambda: {name: free_port() for name in ("receiver", "console", "sandbox")}
    )

    @property
    def tmp(self) -> Path:
        return self.folder / "tmp"

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def words(self, process: Process) -> list[str]:
        places = {"0.0.0.0": "127.0.0.1"}  # noqa: S104 -- what is replaced
        places |= dict.fromkeys(("8080", "8081", "8090"), str(self.ports.get(process.name)))
        return [places.get(word, word.replace("/tmp/", f"{self.tmp}/")) for word in process.words]  # noqa: S108

    def environment(self, process: Process) -> dict[str, str]:
        """Nothing of the tests' own environment but the PATH: a container has no HOME that is of use."""
        found = {"PATH": os.environ["PATH"], "TMPDIR": str(self.tmp), "TRUNKLINE_HOME": str(self.tmp / "home")}
        for name, value in process.environment.items():
            if value in process.secrets or value.startswith("/run/upstreams/"):
                found[name] = str(self._file(process.secrets.get(value) or Path(value).name))
            elif name != "TRUNKLINE_HOME":
                found[name] = self._here(value)
        return found

    def _here(self, value: str) -> str:
        value = value.replace("http://sandbox:8090", self.url("sandbox"))
        for name in ("http://receiver:8080", "https://trunkline.example"):
            value = value.replace(name, self.url("receiver"))
        return value

    def _file(self, secret: str) -> Path:
        path = self.folder / "secrets" / secret
        path.parent.mkdir(exist_ok=True)
        path.write_text(self.secrets[secret] + "\n")
        return path


@dataclass
class Running:
    process: Process
    popen: subprocess.Popen[bytes]
    log: Path


SANDBOX = {
    "TRUNKLINE_AVANSER_URL": "http://sandbox:8090/avanser/v1",
    "TRUNKLINE_AVANSER_USERNAME": USERNAME,
    "TRUNKLINE_AVANSER_ACCOUNT_ID": ACCOUNT_ID,
    "TRUNKLINE_TELMETRICS_URL": "http://sandbox:8090/telmetrics/v3/api",
    "TRUNKLINE_MESSAGEMEDIA_URL": "http://sandbox:8090/messagemedia/v1/messaging/numbers/dedicated",
    "TRUNKLINE_MESSAGEMEDIA_KEY": MESSAGEMEDIA_KEY,
}
"""What whoever fills in /etc/trunkline/env adds, here for the sandbox."""


def processes_of(way: str) -> dict[str, Process]:
    with or_skip():
        found = {process.name: process for process in WAYS[way]()}
    if way == "systemd":
        for process in found.values():
            process.environment.update(SANDBOX)
        found["sandbox"] = Process("sandbox", ["sandbox", "--port", "8090"], {}, {}, 15)
    return found


@pytest.fixture
def machine(tmp_path: Path, postgres_server: services.Postgres, redis_url: str) -> Iterator[Machine]:
    """With a database that nobody has migrated."""
    name = f"deployed_{os.getpid()}_{time.monotonic_ns()}"
    postgres_server.execute(f"CREATE DATABASE {name}")
    secrets = {
        "database-url": postgres_server.database_url(name),
        "broker-url": redis_url,
        "secret-key": SECRET_KEY,
        "avanser-password": PASSWORD,
        "telmetrics-token": TELMETRICS_TOKEN,
        "messagemedia-secret": MESSAGEMEDIA_SECRET,
    }
    (tmp_path / "tmp").mkdir()
    yield Machine(tmp_path, secrets)
    postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def command(machine: Machine, words: list[str]) -> list[str]:
    plain = [sys.executable, "-m", "worker.cli", *words]
    if os.geteuid() != 0:
        return plain
    return ["unshare", "--mount", "sh", "-c", CONTAINED, str(machine.tmp), *plain]


def do(machine: Machine, process: Process, *words: str) -> subprocess.CompletedProcess[str]:
    """A command to its end, with the settings of this process."""
    return subprocess.run(
        command(machine, [*words]),
        env=machine.environment(process),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextlib.contextmanager
def started(machine: Machine, process: Process) -> Iterator[Running]:
    log = machine.folder / f"{process.name}.log"
    with log.open("wb") as output:
        popen = subprocess.Popen(
            command(machine, machine.words(process)),
            env=machine.environment(process),
            cwd=ROOT,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield Running(process, popen, log)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(popen.pid, 9)
        popen.wait()


def is_ready(machine: Machine, running: Running, path: str = "/readyz") -> bool:
    assert running.popen.poll() is None, running.log.read_text()
    try:
        answer = httpx.get(machine.url(running.process.name) + path, timeout=5)
    except httpx.TransportError:
        return False
    return answer.status_code == 200 and (path != "/readyz" or answer.json()["checks"]["broker"]["ok"])


def order(machine: Machine, receiver: Process) -> str:
    """Take a request with a key of its own, as a requester would, and return its state when it has ended."""
    made = do(machine, receiver, "keys", "create", "--name", "portal", "--scopes", "submit,read", "--json")
    assert made.returncode == 0, made.stderr
    headers = {"Authorization": f"Bearer {json.loads(made.stdout)['key']}"}
    with httpx.Client(base_url=machine.url("receiver"), headers=headers, timeout=10) as client:
        taken = client.post("/v1/requests", json=BODY, headers={"Idempotency-Key": "one"})
        assert taken.status_code == 202, taken.text

        def state() -> str:
            return str(client.get(taken.headers["Location"]).json()["state"])

        eventually(lambda: state() in ("completed", "failed", "held"), PATIENCE)
        return state()


def is_alive(machine: Machine, running: Running) -> subprocess.CompletedProcess[str]:
    """The probe of the files, where the process is."""
    words = machine.words(running.process)
    file = words[words.index("--alive-file") + 1]
    inside = ["nsenter", "--mount", f"--target={running.popen.pid}"] if os.geteuid() == 0 else []
    return subprocess.run(
        [*inside, sys.executable, "-m", "worker.cli", "alive", file],
        cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


@pytest.mark.timeout(600)
@pytest.mark.parametrize("way", WAYS)
def test_processes_run_as_the_files_say_take_an_order_and_end_in_time(way: str, machine: Machine) -> None:
    processes = processes_of(way)
    assert set(processes) - {PRUNE} == {*PROCESSES, "sandbox"}
    migrated = do(machine, processes["migrate"], *machine.words(processes["migrate"]))
    assert migrated.returncode == 0, migrated.stderr

    with contextlib.ExitStack() as stack:
        sandbox = stack.enter_context(started(machine, processes["sandbox"]))
        names = ("worker", "relay", "receiver", "console")
        running = {name: stack.enter_context(started(machine, processes[name])) for name in names}
        eventually(lambda: is_ready(machine, sandbox, "/_sandbox"), PATIENCE)
        eventually(lambda: is_ready(machine, running["receiver"]), PATIENCE)
        eventually(lambda: is_ready(machine, running["console"]), PATIENCE)

        assert order(machine, processes["receiver"]) == "completed"
        doctor = do(machine, processes["worker"], "doctor")
        assert doctor.returncode == 0, doctor.stdout
        assert "heard of within the last seconds" in doctor.stdout
        for one in running.values():
            if "--alive-file" in one.process.words:
                assert is_alive(machine, one).stdout == "alive\n"

        for one in [*running.values(), sandbox]:
            one.popen.terminate()
        for one in [*running.values(), sandbox]:
            assert one.popen.wait(one.process.grace) == 0, (one.process.name, one.log.read_text())


@pytest.mark.parametrize("way", ["kubernetes", "systemd"])
def test_old_history_goes_only_where_it_is_said_how_old(way: str, machine: Machine) -> None:
    processes = processes_of(way)
    migrated = do(machine, processes["migrate"], *machine.words(processes["migrate"]))
    assert migrated.returncode == 0, migrated.stderr
    prune = processes[PRUNE]

    untold = do(machine, prune, *machine.words(prune))
    assert untold.returncode == 2
    assert "TRUNKLINE_HISTORY_KEPT_FOR" in untold.stderr

    prune.environment["TRUNKLINE_HISTORY_KEPT_FOR"] = "400"
    told = do(machine, prune, *machine.words(prune))
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("Deleted, from before ")
