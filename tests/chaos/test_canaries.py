"""Numbers of callers, planted in calls good and broken while processes die, stand in no log."""

from __future__ import annotations

import random
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx
import pytest

from tests.chaos.case import Case
from tests.chaos.conftest import Begin, Size
from tests.sandbox import eventually

pytestmark = pytest.mark.timeout(600)


def break_in(case: Case, address: str, caller: str) -> None:
    """Reports of a call that no reader understands, and one at an address that is not right."""
    parts = urlsplit(address)
    wrong = f"{parts.scheme}://{parts.netloc}{parts.path[:-4]}AAAA"
    broken = ("{" + f'"ani": "{caller}", "callid": ', "application/json"), (f"ani={caller}&callid=%00", "text/plain")
    for body, kind in broken:
        httpx.post(address, content=body, headers={"Content-Type": kind}).raise_for_status()
        assert httpx.post(wrong, content=body, headers={"Content-Type": kind}).status_code == 404


def test_the_numbers_of_callers_stand_in_no_log(begin: Begin, size: Size, conclude: Callable[..., None]) -> None:
    case = begin("callers' numbers in calls good and broken, processes killed")
    chance = random.Random(case.seed)
    count = size(10, 500)
    case.submit(count)
    case.drain()
    orders = case.cluster.sandbox.ledger()
    callers = [f"4155{chance.randrange(10**5):05}" for _ in orders]
    case.cluster.canaries += callers
    for n, (order, caller) in enumerate(zip(orders, callers, strict=True)):
        if n == count // 2:
            for member in (*case.cluster.workers, *case.cluster.receivers):
                member.kill()
                member.start()
                case.struck()
            case.over()
            case.cluster.heal()
        said = case.cluster.sandbox.call(order["number"], ani=f"+61-0{caller}", target=f"+61-0{caller}")
        assert said["status"] == 200
        break_in(case, said["uri"], f"+61{caller}")
    told = eventually(lambda: _calls(case) >= count and _calls(case), within=60)
    assert told == count
    conclude(case)


def _calls(case: Case) -> int:
    return int(case.cluster.requester.counts()["by_type"].get("call.finished", 0))
