"""One host's clock is ten minutes off: all go by the database's, so that nobody takes over what others have in hand."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from tests.chaos.case import Case
from tests.chaos.cluster import Cluster
from tests.chaos.conftest import Begin, Size
from tests.chaos.load import ends_in_time
from tests.chaos.member import Member
from tests.conftest import or_skip
from tests.sandbox import eventually
from tests.services import ServiceMissing

pytestmark = pytest.mark.timeout(1_200)

NEARLY = timedelta(minutes=9)
"""What a clock that is ten minutes off shows at the least, however slow this machine is."""

WEATHER = {
    "latency_ms": {"min": 100, "max": 900},
    "callback": {"delay": 1.0, "jitter": 0.9},
    "faults": [
        # Each of these waits for a time to come: a lease's end, a backoff, a look at a callback that stays away.
        {"fault": "timeout_after_effect", "share": 0.1, "seconds": 5, "times_per_order": 1},
        {"fault": "error_before_effect", "share": 0.1, "times_per_order": 1},
        {"fault": "callback_never", "share": 0.1},
    ],
}


SLEEP = """import select, time
time.sleep = lambda seconds: select.select([], [], [], seconds) and None
"""
"""For the interpreter's `sitecustomize`. Told to leave the monotonic clock alone, faketime 0.9.10 still shifts what
clock_nanosleep(2) is given by it, and Python's sleep fails; not told so, every wait with a time-out lasts for ever."""


@contextmanager
def off_by(offset: str, among: list[Member], sleeps: Path) -> Iterator[Member]:
    """While this is open the first of these members lives ten minutes from everybody else (`+10m`, `-10m`)."""
    right = among[0]
    right.stop()
    (sleeps / "sitecustomize.py").write_text(SLEEP)
    command = ["env", f"PYTHONPATH={sleeps}", "faketime", "-m", "--exclude-monotonic", "-f", offset]
    wrong = among[0] = right.wrapped_in(*command, name=f"{right.name} at {offset}")
    wrong.start()
    try:
        yield wrong
    finally:
        among[0] = right
        # Through the process itself, since `faketime` passes no signal on, and then tidies up.
        for pid in wrong.children():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        with suppress(AssertionError):  # one that does not end is killed, as a platform does it and `Member.stop`
            eventually(lambda: not wrong.is_alive, within=60)
        wrong.kill()
        right.start()


def clock_of(member: Member) -> datetime:
    """What a process thinks the time is: the newest time in its log, as soon as there is one."""
    return eventually(lambda: _times(member), within=60)[-1]


def _times(member: Member) -> list[datetime]:
    times = []
    for line in member.log.read_text(errors="replace").splitlines():
        with suppress(ValueError, KeyError, TypeError):
            times.append(datetime.fromisoformat(json.loads(line)["time"]))
    return times


def is_off(seen: datetime, offset: str) -> bool:
    ahead = seen - datetime.now(UTC)
    return ahead > NEARLY if offset.startswith("+") else ahead < -NEARLY


@pytest.fixture(autouse=True)
def faketime() -> None:
    with or_skip():
        if shutil.which("faketime") is None:
            raise ServiceMissing("no faketime: install Debian's faketime")


@pytest.mark.parametrize("offset", ["+10m", "-10m"])
def test_the_clock_of_one_host_is_off(
    offset: str, cluster: Cluster, tmp_path: Path, begin: Begin, size: Size, conclude: Callable[..., None]
) -> None:
    case = begin(f"clock of one host off by {offset}", **WEATHER)
    # One host has a worker; another what workers of other hosts must understand.
    for kinds in ([cluster.workers], [cluster.receivers, cluster.relays]):
        with ExitStack() as stack:
            wrong = [stack.enter_context(off_by(offset, kind, tmp_path)) for kind in kinds]
            cluster.heal()
            case.submit(size(20, 100))
            ends_in_time(case)
            case.struck(len(wrong))
            assert_off(case, wrong, offset)
    conclude(case)
    assert cluster.requester.counts()["bad_signature"] == 0, "the requester's tolerance is five minutes"


def assert_off(case: Case, wrong: list[Member], offset: str) -> None:
    """Those members did live at another time, by their logs; the receiver, which logs no success, by its answers."""
    for member in wrong:
        if member.name.startswith("receiver"):
            said = case.cluster.api.get("/healthz").headers["date"]
            assert is_off(parsedate_to_datetime(said), offset)
        else:
            assert is_off(clock_of(member), offset)
