"""The receivers in the README, word for word: each verifies what comes, over retries, rotation and replay."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models import endpoint, replaying
from models.base import utc_now, write
from models.delivery import Delivery, DeliveryState
from models.endpoint import Endpoint
from models.replaying import Range
from models.state import State
from models.transition import Move, transition
from tests import services
from tests.conftest import or_skip
from tests.factory import make_endpoint, make_requester, make_requests
from tests.working import every, let_pass, until_due
from worker.deliver import deliver
from worker.replaying import replay
from worker.runtime import Runtime

README = (Path(__file__).parents[2] / "README.md").read_text()
RECEIVING = README.partition("\n## Receiving results\n")[2].partition("\n## ")[0]
NUMBER = "+61280740801"
LANGUAGES = ("python", "js")


def block(language: str) -> str:
    """The one example in this language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", RECEIVING, re.DOTALL | re.MULTILINE)
    return str(found)


def program(name: str) -> str:
    """Its path. Where it is missing: in CI the test fails, elsewhere it is skipped."""
    with or_skip():
        if (found := shutil.which(name)) is None:
            raise services.ServiceMissing(f"{name} is not installed")
        return found
    raise AssertionError("unreachable")


class Receiver:
    """One of the examples, running; `said` is what it printed."""

    def __init__(self, words: Sequence[str], folder: Path, secret: str, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/hooks/numbers"
        self._log = folder / "said"
        variables = {"SECRET": secret, "PORT": str(port), "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(folder)}
        with self._log.open("w") as log:
            self._process = subprocess.Popen(words, cwd=folder, env=variables, stdout=log, stderr=subprocess.DEVNULL)
        _await_port(port)

    def said(self) -> list[str]:
        return [line for line in self._log.read_text().splitlines() if line.startswith("request.")]

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


def _await_port(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < deadline, "it does not listen"
            time.sleep(0.05)
        else:
            return


@contextmanager
def running(language: str, folder: Path, secret: str, port: int) -> Iterator[Receiver]:
    if language == "python":
        (folder / "receiver.py").write_text(block("python"))
        words = [sys.executable, "-m", "flask", "--app", "receiver", "run", "--port", str(port)]
    else:
        (folder / "receiver.mjs").write_text(block("js"))
        words = [program("node"), "receiver.mjs"]
    receiver = Receiver(words, folder, secret, port)
    try:
        yield receiver
    finally:
        receiver.stop()


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def finish(engine: Engine) -> None:
    (id_,) = make_requests(engine)
    moves = [Move(id_, State.COMPLETED, "test", changes={"number": NUMBER})]
    write(engine, lambda session: transition(session, moves, utc_now()))


def rotate(engine: Engine, place: Endpoint) -> str:
    def work(session: Session) -> str:
        return endpoint.rotate(session, session.get_one(Endpoint, place.id), utc_now() + timedelta(hours=1))

    return write(engine, work)


def states(engine: Engine) -> list[tuple[str, int | None]]:
    return [(row.state, row.last_status) for row in every(engine, Delivery)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_receiver_from_the_readme_verifies_retries_rotation_and_replay(
    runtime: Runtime, engine: Engine, tmp_path: Path, port: int, language: str
) -> None:
    arrived, told = (DeliveryState.DELIVERED, 204), f"request.completed {NUMBER}"
    place = make_endpoint(engine, make_requester(engine), f"http://127.0.0.1:{port}/hooks/numbers")
    finish(engine)
    deliver(runtime)
    assert states(engine) == [(DeliveryState.PENDING, None)], "nobody listens yet"
    until_due(engine)
    assert place.secret is not None
    with running(language, tmp_path, place.secret, port) as receiver:
        deliver(runtime)
        assert states(engine) == [arrived]
        new = rotate(engine, place)
        finish(engine)
        deliver(runtime)
        assert states(engine) == [arrived] * 2, "the old secret signs too"
        now = utc_now() + timedelta(seconds=1)
        assert replay(engine, Range(place, now - timedelta(days=1), now, also_delivered=True), utc_now(), "test") == 2
        let_pass(engine, timedelta(seconds=2 / replaying.PER_SECOND))
        deliver(runtime)
        assert states(engine) == [arrived] * 2
        assert receiver.said() == [told] * 2, "a repeat is known by its id"
    with running(language, tmp_path, new, port) as receiver:
        finish(engine)
        deliver(runtime)
        assert states(engine) == [arrived] * 3
        assert receiver.said() == [told]
    with running(language, tmp_path, "whsec_" + "A" * 32, port) as receiver:
        finish(engine)
        deliver(runtime)
        assert states(engine)[-1] == (DeliveryState.PENDING, 400)
        assert receiver.said() == []


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("change", "answer"), [("", "204"), ("TIME=1", "400"), ("SIGNATURE=v1,AAAA", "400")])
def test_the_check_by_hand_is_what_the_receivers_verify(
    tmp_path: Path, port: int, language: str, change: str, answer: str
) -> None:
    """Each kind of forgery is made between the signing and the sending."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    for name in ("curl", "openssl", "od"):
        program(name)
    signing, sending = block("sh").replace("8081", str(port)).split("curl -s", 1)
    script = f"{signing}\n{change}\ncurl -s{sending}"
    with running(language, tmp_path, secret, port):
        run = subprocess.run(
            [program("sh"), "-euc", script],
            env={"SECRET": secret, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert (run.stdout.strip(), run.stderr) == (answer, "")
