"""How far it is, how fast, and how long it takes yet."""

import pytest

from worker.cli.progress import WINDOW, Meter, Snapshot, line


def test_a_line_tells_how_far_how_fast_how_long_and_where_the_rest_is() -> None:
    meter = Meter()
    meter.add(0, 0)
    meter.add(4, 1_200)
    snapshot = Snapshot(1_200, 2_000, {"queued": 700, "accepted": 100, "held": 0})
    assert line("ended", snapshot, meter) == "ended: 1,200 of 2,000, 300/s, 3 s left, 700 queued, 100 accepted"


def test_where_nothing_moves_no_time_is_promised() -> None:
    meter = Meter()
    meter.add(0, 5)
    meter.add(9, 5)
    assert line("ended", Snapshot(5, 9), meter) == "ended: 5 of 9, 0/s"


def test_where_the_end_is_not_known_no_time_is_promised() -> None:
    meter = Meter()
    meter.add(0, 0)
    meter.add(2, 10)
    assert line("checked", Snapshot(10, None), meter) == "checked: 10, 5/s"


def test_the_rate_follows_the_last_while() -> None:
    meter = Meter()
    for second in range(100):
        meter.add(second, 10 * second)
    for second in range(100, 100 + int(WINDOW) + 2):
        meter.add(second, 990)
    assert meter.rate == 0


@pytest.mark.parametrize(("left", "said"), [(119, "119 s left"), (600, "10 min left"), (9_000, "2.5 h left")])
def test_time_left_is_told_in_a_unit_that_fits(left: int, said: str) -> None:
    meter = Meter()
    meter.add(0, 0)
    meter.add(1, 1)
    assert said in line("ended", Snapshot(1, 1 + left), meter)
