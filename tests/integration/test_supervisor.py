"""The supervisor, with real child processes: brings back what dies, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.sandbox import eventually
from worker.cli.stack import AlreadyRunning, home_lock
from worker.cli.up import up
from worker.supervisor import Program, StartFailed, Supervisor

ROOT = Path(__file__).resolve().parents[2]

SLEEPS = "import time; time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); {SLEEPS}"
POLITE = """
import signal, sys, time
from pathlib import Path

def end(*_):
    with Path({ends!r}).open("a") as file:
        file.write({name!r} + "\\n")
    sys.exit()

signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
time.sleep(60)
"""
PARENT = (
    "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
    "print(child.pid, flush=True); child.wait()"
)


def program(name: str, code: str = SLEEPS, grace: float = 5) -> Program:
    return Program(name, [sys.executable, "-c", code], grace=timedelta(seconds=grace))


def is_alive(pid: int) -> bool:
    """Whether it runs; a zombie does not, as far as the system tells."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return not Path("/proc/self").exists()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, said: list[str]) -> Iterator[Supervisor]:
    made = Supervisor(tmp_path / "logs", said.append)
    yield made
    made.stop()


def the_pid(supervisor: Supervisor, name: str) -> int:
    (pid,) = supervisor.pids(name)
    return pid


def bring_back(supervisor: Supervisor, name: str, old: int) -> int:
    def again() -> int:
        supervisor.look_after()
        now = the_pid(supervisor, name)
        return now if now != old else 0

    return eventually(again)


def test_what_is_killed_is_brought_back_and_nothing_else(supervisor: Supervisor, said: list[str]) -> None:
    supervisor.start(program("worker"))
    supervisor.start(program("receiver"))
    worker, receiver = the_pid(supervisor, "worker"), the_pid(supervisor, "receiver")
    os.kill(worker, signal.SIGKILL)
    new = bring_back(supervisor, "worker", worker)
    assert is_alive(new)
    assert the_pid(supervisor, "receiver") == receiver
    assert f"worker (pid {worker}) ended: SIGKILL; it is brought back now" in said
    assert supervisor.names() == ["worker", "receiver"]


def test_children_of_what_died_do_not_live_on_beside_its_successor(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(program("worker", PARENT))
    log = tmp_path / "logs" / "worker.log"
    grandchild = int(eventually(log.read_text))
    assert is_alive(grandchild)
    os.kill(the_pid(supervisor, "worker"), signal.SIGKILL)
    bring_back(supervisor, "worker", the_pid(supervisor, "worker"))
    eventually(lambda: not is_alive(grandchild))


def test_what_dies_at_its_start_again_and_again_is_brought_back_ever_more_slowly(
    supervisor: Supervisor, said: list[str]
) -> None:
    supervisor.start(program("worker"))
    os.kill(the_pid(supervisor, "worker"), signal.SIGKILL)
    second = bring_back(supervisor, "worker", the_pid(supervisor, "worker"))
    os.kill(second, signal.SIGKILL)

    def is_said() -> bool:
        supervisor.look_after()
        return f"worker (pid {second}) ended: SIGKILL; it is brought back in 2 s" in said

    eventually(is_said)
    assert the_pid(supervisor, "worker") == second, "not yet"


def test_stopping_ends_all_the_last_first_and_their_children_too(
    supervisor: Supervisor, tmp_path: Path, said: list[str]
) -> None:
    ends = tmp_path / "ends"
    for name in ("first", "second"):
        code = POLITE.format(ends=str(ends), name=name)
        supervisor.start(program(name, code))
        eventually((tmp_path / "logs" / f"{name}.log").read_text)
    supervisor.start(program("worker", PARENT))
    grandchild = int(eventually((tmp_path / "logs" / "worker.log").read_text))
    pids = [the_pid(supervisor, name) for name in supervisor.names()]
    supervisor.stop()
    assert ends.read_text().split() == ["second", "first"]
    eventually(lambda: not any(is_alive(pid) for pid in [*pids, grandchild]))
    assert supervisor.names() == []


def test_what_does_not_end_in_its_grace_is_killed(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(program("worker", STUBBORN, grace=0.1))
    eventually((tmp_path / "logs" / "worker.log").read_text)
    pid = the_pid(supervisor, "worker")
    supervisor.stop()
    assert not is_alive(pid)


def test_what_ends_at_its_start_says_where_to_read_why(supervisor: Supervisor, tmp_path: Path) -> None:
    def wait_ready(is_alive: object) -> None:
        assert callable(is_alive)
        eventually(lambda: not is_alive())

    broken = Program("worker", [sys.executable, "-c", "raise SystemExit('no port')"], wait_ready=wait_ready)
    with pytest.raises(StartFailed, match=r"worker ended at its start \(exit status 1\): see .*worker.log"):
        supervisor.start(broken)
    assert (tmp_path / "logs" / "worker.log").read_text() == "no port\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_watch(supervisor: Supervisor, number: signal.Signals) -> None:
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        supervisor.stop_on_signals()
        supervisor.start(program("worker"))
        threading.Timer(0.05, os.kill, (os.getpid(), number)).start()
        supervisor.watch()
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    assert supervisor.is_stopping
    assert is_alive(the_pid(supervisor, "worker"))


@pytest.mark.skipif(sys.platform != "linux", reason="a parent's death is told to its children by Linux alone")
def test_children_of_a_supervisor_that_is_killed_end_too(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from worker.supervisor import Program, Supervisor;"
        f"supervisor = Supervisor(Path({str(tmp_path)!r}), print);"
        f"supervisor.start(Program('worker', [sys.executable, '-c', {SLEEPS!r}]));"
        "print(supervisor.pids('worker')[0], flush=True); supervisor.watch()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline().startswith("worker")
        child = int(parent.stdout.readline())
        assert is_alive(child)
        parent.kill()
    eventually(lambda: not is_alive(child))


def test_a_home_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with home_lock(home):
        with pytest.raises(AlreadyRunning, match=rf"{home} is in use .*pid {os.getpid()}"), home_lock(home):
            pass
        with pytest.raises(AlreadyRunning), home_lock(home):
            pass
    with home_lock(home):
        assert home.stat().st_mode & 0o777 == 0o700


def test_the_lock_goes_with_its_process_however_that_ends(tmp_path: Path) -> None:
    code = (
        "import time; from pathlib import Path; from worker.cli.stack import home_lock;"
        f"lock = home_lock(Path({str(tmp_path)!r})); lock.__enter__(); print('.', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline()
        with pytest.raises(AlreadyRunning, match=f"pid {holder.pid}"), home_lock(tmp_path):
            pass
        holder.kill()
    with home_lock(tmp_path):
        pass


def test_a_second_up_on_one_home_says_so_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_HOME", str(tmp_path))
    with home_lock(tmp_path):
        outcome = CliRunner().invoke(up, ["--port", "1"])
    assert outcome.exit_code != 0
    assert f"in use by a running `trunkline up` (pid {os.getpid()})" in outcome.output
