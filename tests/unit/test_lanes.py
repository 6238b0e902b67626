"""Lanes: work that waits holds up nothing but its own kind."""

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest

from worker.lanes import WIDTH, Lanes

SOON = timedelta(seconds=10)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Work that waits for it ends with the test."""
    gate = threading.Event()
    yield gate
    gate.set()


def test_a_lane_that_is_full_takes_nothing_and_leaves_the_others_free(gate: threading.Event) -> None:
    lanes, done = Lanes(), threading.Event()
    assert all(lanes.run("slow", gate.wait) for _ in range(WIDTH))  # type: ignore[arg-type]
    assert not lanes.run("slow", done.set)
    assert lanes.run("quick", done.set)
    assert done.wait(SOON.total_seconds())


def test_draining_waits_for_what_is_under_way(gate: threading.Event) -> None:
    lanes = Lanes()
    lanes.run("slow", gate.wait)  # type: ignore[arg-type]
    assert not lanes.drain(timedelta(milliseconds=20))
    gate.set()
    assert lanes.drain(SOON)


def test_work_that_breaks_off_gives_its_place_back(caplog: pytest.LogCaptureFixture) -> None:
    def break_off() -> None:
        raise RuntimeError("the database is away")

    lanes = Lanes()
    for _ in range(WIDTH + 1):
        assert lanes.run("any", break_off)
        assert lanes.drain(SOON)
    assert "the database is away" in caplog.text
