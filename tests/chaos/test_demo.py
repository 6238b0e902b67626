"""`trunkline demo` and `trunkline up` as their users meet them."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.stack import ROOT, dealers, up
from tests.sandbox import eventually


@pytest.mark.timeout(400)
def test_the_demo_ends_with_books_that_balance(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRUNKLINE_")}
    done = subprocess.run(
        [sys.executable, "-m", "worker.cli", "demo", "--count", "100", "--json"],
        cwd=tmp_path, env=environment | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout, done.stderr)
    books = json.loads(done.stdout)
    assert books["balanced"]
    assert (books["bought_twice"], books["lost"], books["results_verified"]) == (0, 0, 100)
    assert books["counts"]["failed"] == 2  # where there is no number; barred
    assert len(Path(books["results_file"]).read_text().splitlines()) == 101
    assert "SIGKILL to worker" in done.stderr


@pytest.mark.timeout(400)
def test_a_second_up_on_one_home_says_so_and_leaves_the_first_alone(tmp_path: Path) -> None:
    with up(tmp_path / "home") as stack:
        second = stack.run("up", "--port", "1", check=False)
        assert second.status != 0
        assert "in use" in second.stderr
        assert stack.client.get("/readyz").status_code == 200


@pytest.mark.timeout(400)
def test_what_was_under_way_when_up_was_stopped_or_killed_goes_on_at_the_next_start(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with up(home) as stack:
        stack.deliver_to_sandbox()
        batch = stack.submit(dealers(300))
        eventually(lambda: stack.ended(batch) > 20, within=60)
        stack.process.send_signal(signal.SIGINT)
        assert stack.process.wait(60) == 0
        children = [stack.pid(name) for name in ("worker-1", "receiver", "broker", "sandbox")]
        assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
    with up(home) as stack:
        stack.process.kill()
        stack.process.wait()
    with up(home) as stack:
        eventually(lambda: stack.ended(batch) == 300, within=120)
        summary = stack.summary()
        assert (summary["numbers_taken"], summary["bought_twice"]) == (300, 0)


@pytest.mark.timeout(400)
def test_up_refuses_a_port_that_is_taken_before_it_starts_anything(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # as the receiver's own server does
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        environment = os.environ | {"TRUNKLINE_HOME": str(tmp_path / "home")}
        done = subprocess.run(
            [sys.executable, "-m", "worker.cli", "up", "--sandbox", "--port", str(port)],
            cwd=ROOT, env=environment, capture_output=True, text=True, timeout=90, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert f"port {port}" in done.stderr
    assert "pid" not in done.stdout


@pytest.mark.timeout(400)
def test_an_interrupted_demo_gives_no_verdict(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRUNKLINE_")}
    demo = subprocess.Popen(
        [sys.executable, "-m", "worker.cli", "demo", "--count", "500"],
        cwd=tmp_path, env=environment | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with demo:
        assert demo.stdout is not None
        while "took dealers.csv" not in (line := demo.stdout.readline()):
            assert line, "it ended before it began"
        demo.send_signal(signal.SIGINT)
        rest = demo.stdout.read()
    assert demo.returncode == 130
    assert "interrupted" in rest
    assert "balance" not in rest
