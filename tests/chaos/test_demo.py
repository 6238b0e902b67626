"""`trunkline demo` and `trunkline up` as their users meet them."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.stack import ROOT, dealers, up
from tests.sandbox import eventually

pytestmark = pytest.mark.xdist_group("chaos")


@pytest.mark.timeout(240)
def test_the_demo_ends_with_books_that_balance(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRUNKLINE_")}
    done = subprocess.run(
        [sys.executable, "-m", "worker.cli", "demo", "--count", "100", "--json"],
        cwd=tmp_path, env=environment | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=200,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout, done.stderr)
    books = json.loads(done.stdout)
    assert books["balanced"]
    assert (books["bought_twice"], books["lost"], books["results_verified"]) == (0, 0, 100)
    assert books["counts"]["failed"] == 2  # where there is no number; barred
    assert len(Path(books["results_file"]).read_text().splitlines()) == 101
    assert "SIGKILL to worker" in done.stderr


@pytest.mark.timeout(180)
def test_a_second_up_on_one_home_says_so_and_leaves_the_first_alone(tmp_path: Path) -> None:
    with up(tmp_path / "home") as stack:
        second = stack.run("up", "--port", "1", check=False)
        assert second.status != 0
        assert "in use" in second.stderr
        assert stack.client.get("/readyz").status_code == 200


@pytest.mark.timeout(180)
def test_what_was_under_way_when_up_was_stopped_or_killed_goes_on_at_the_next_start(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with up(home) as stack:
        stack.deliver_to_sandbox()
        batch = stack.submit(dealers(300))
        eventually(lambda: stack.ended(batch) > 20, within=60)
        stack.process.send_signal(signal.SIGINT)
        assert stack.process.wait(20) == 0
        children = [stack.pid(name) for name in ("worker-1", "receiver", "broker", "sandbox")]
        assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
    with up(home) as stack:
        stack.process.kill()
        stack.process.wait()
    with up(home) as stack:
        eventually(lambda: stack.ended(batch) == 300, within=120)
        summary = stack.summary()
        assert (summary["numbers_taken"], summary["bought_twice"]) == (300, 0)
