"""Two of everything: whatever is killed or cut off, orders are taken and end meanwhile, and go on when it is back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from tests.chaos.asking import asking
from tests.chaos.case import Case
from tests.chaos.conftest import Begin, Size
from tests.chaos.judge import FINAL, GOES_ON_WITHIN
from tests.chaos.zones import KINDS, Zones, running
from tests.conftest import or_skip
from tests.sandbox import eventually

pytestmark = pytest.mark.timeout(900)

BEFORE = 5
"""How many orders have ended when it strikes."""

ENOUGH = 10
"""How many of those that came after it struck must have ended before what it hurt is brought back."""

NAMES = {"zone": "a whole zone", "redis": "the Redis master", "postgres": "the PostgreSQL primary"}

IN_CI = [("receiver", "cut off"), ("redis", "cut off"), ("postgres", "killed"), ("zone", "killed")]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "how" in metafunc.fixturenames:
        every = [(kind, how) for kind in (*KINDS, "zone") for how in ("killed", "cut off")]
        wanted = every if metafunc.config.getoption("--chaos") == "full" else IN_CI
        metafunc.parametrize(("kind", "how"), wanted, ids=[f"{kind} {how}" for kind, how in wanted])


@pytest.fixture(scope="module")
def zones(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zones]:
    with or_skip(), running(tmp_path_factory.mktemp("zones")) as made:
        yield made


def ended(case: Case) -> set[str]:
    """The custom_ids of what the requester has heard the end of."""
    return {result.custom_id for result in case.told().values() if result.type in FINAL}


def test_the_other_zone_goes_on(
    kind: str, how: str, zones: Zones, begin: Begin, size: Size, conclude: Callable[..., None]
) -> None:
    case = begin(f"{NAMES.get(kind, 'a ' + kind)} {how}", zones.cluster)
    zone, kinds = zones.main_zone(kind), KINDS if kind == "zone" else (kind,)
    if kind == "zone":
        zones.gather(zone)
    with asking(case) as asker:
        eventually(lambda: len(ended(case)) >= BEFORE, within=60)
        if how == "killed":
            zones.kill(zone, kinds)
        else:
            zones.cut_off(zone, kinds)
        struck_at, before = time.time(), set(case.submitted_at)
        case.struck()
        zones.manage(zone, kinds)
        eventually(lambda: ended(case) - before, within=GOES_ON_WITHIN)
        next_after = min(one.at for one in case.told().values() if one.custom_id not in before) - struck_at
        eventually(lambda: len(ended(case) - before) >= size(ENOUGH, 10 * ENOUGH), within=GOES_ON_WITHIN)
        zones.bring_back(zone, kinds)
        case.over()
        back = set(case.submitted_at)
        eventually(lambda: len(ended(case) - back) >= size(ENOUGH, 10 * ENOUGH), within=GOES_ON_WITHIN)
    saw = asker.summary()
    assert not saw["not_taken"], saw
    conclude(case, **saw, next_after=round(next_after, 1))
