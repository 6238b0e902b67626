"""What a request and a call cost is still counted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bench.costs import OneByOne, costs, costs_of_calls
from tests.bench.filling import Filled
from tests.bench.stage import Stage, stage
from tests.conftest import or_skip

pytestmark = pytest.mark.timeout(600)

TINY = 20


@pytest.fixture(scope="module")
def on() -> Iterator[Stage]:
    with or_skip(), stage() as running:
        yield running


@pytest.mark.parametrize("kind", [Filled, OneByOne])
def test_a_request_is_counted_in_every_table_that_it_is_written_to(on: Stage, kind: type[Filled]) -> None:
    found = costs(on, TINY, kind=kind)
    assert found.run is not None
    assert found.run.is_right, str(found)
    written = {"requests", "inbox", "numbers"}
    assert {name for name in written if found.tables[name]["inserts"] == 1} == written
    assert 1 <= found.tables["deliveries"]["inserts"] <= 1 + 1 / TINY, "and one that tells of the batch"
    assert found.tables["requests"]["updates"] >= 3
    assert found.server["WAL bytes"] > 0
    assert found.connections["worker-0"] > 0


def test_a_call_is_counted_without_the_order_that_went_before_it(on: Stage) -> None:
    found = costs_of_calls(on, TINY)
    assert found.tables["calls"]["inserts"] == 1
    assert "requests" not in found.tables
