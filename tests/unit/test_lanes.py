"""Lanes: work that waits holds up nothing but its own kind."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from functools import partial

import pytest

from worker.lanes import WIDTH, Lanes

SOON = timedelta(seconds=10)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Work that waits for it ends with the test."""
    gate = threading.Event()
    yield gate
    gate.set()


def wait_for(gate: threading.Event) -> bool:
    """Work that leaves nothing behind."""
    gate.wait()
    return False


def tell(done: threading.Event) -> bool:
    done.set()
    return False


def test_a_lane_that_is_full_takes_nothing_and_leaves_the_others_free(gate: threading.Event) -> None:
    lanes, done = Lanes(), threading.Event()
    assert all(lanes.run("slow", partial(wait_for, gate)) for _ in range(WIDTH))
    assert not lanes.run("slow", partial(tell, done))
    assert lanes.run("quick", partial(tell, done))
    assert done.wait(SOON.total_seconds())


def test_draining_waits_for_what_is_under_way(gate: threading.Event) -> None:
    lanes = Lanes()
    lanes.run("slow", partial(wait_for, gate))
    assert not lanes.drain(timedelta(milliseconds=20))
    gate.set()
    assert lanes.drain(SOON)


def test_what_is_left_to_a_thread_of_its_own_fills_no_lane_and_is_drained(gate: threading.Event) -> None:
    lanes, done = Lanes(), threading.Event()
    for _ in range(3 * WIDTH):
        lanes.leave("slow", gate.wait)
    assert lanes.run("quick", partial(tell, done))
    assert done.wait(SOON.total_seconds())
    assert not lanes.drain(timedelta(milliseconds=20))
    gate.set()
    assert lanes.drain(SOON)


def test_work_that_breaks_off_gives_its_place_back(caplog: pytest.LogCaptureFixture) -> None:
    def break_off() -> bool:
        raise RuntimeError("the database is away")

    lanes = Lanes()
    for _ in range(WIDTH + 1):
        assert lanes.run("any", break_off)
        assert lanes.drain(SOON)
    assert "the database is away" in caplog.text


def test_work_is_done_again_while_it_leaves_more_and_others_are_called_once() -> None:
    left = [True, True, True, False]
    lanes, calls, done = Lanes(), list[int](), threading.Event()

    def work() -> bool:
        more = left.pop(0)
        if not left:
            done.set()
        return more

    assert lanes.run("any", work, lambda: calls.append(len(left)))
    assert done.wait(SOON.total_seconds())
    assert lanes.drain(SOON)
    assert calls == [3]


def test_what_is_left_when_a_process_ends_is_left_to_others(gate: threading.Event) -> None:
    lanes, rounds, calls = Lanes(), list[int](), list[int]()

    def work() -> bool:
        rounds.append(1)
        gate.wait()
        return True

    assert lanes.run("any", work, lambda: calls.append(len(rounds)))
    threading.Timer(0.1, gate.set).start()
    assert lanes.drain(SOON)
    assert calls == [1]
    assert rounds == [1]
