"""SIGKILL in turn to each process while requests run: nothing is lost, nothing bought twice, every result arrives."""

from pathlib import Path

import pytest

from tests import services
from tests.chaos.conftest import Size
from tests.chaos.stack import Up, dealers, up
from tests.sandbox import eventually

WEATHER = {
    "latency_ms": {"min": 20, "max": 200},
    "callback": {"delay": 0.5, "jitter": 0.5},
    "faults": [
        {"fault": "timeout_after_effect", "share": 0.005, "seconds": 8, "times_per_order": 1},
        {"fault": "reset_after_effect", "share": 0.005, "times_per_order": 1},
        {"fault": "callback_never", "share": 0.01},
        {"fault": "callback_twice", "share": 0.02},
    ],
}


def run_with_kills(stack: Up, requests: int, victims: list[str]) -> None:
    """Submit so many requests, kill each victim at its share of the way, and check the books."""
    stack.sandbox.put("/_sandbox", json=WEATHER).raise_for_status()
    stack.deliver_to_sandbox()
    batch = stack.submit(dealers(requests))
    for number, victim in enumerate(victims, 1):
        eventually(lambda number=number: stack.ended(batch) >= requests * number / (len(victims) + 2), within=120)  # type: ignore[misc]
        stack.kill(victim)
    eventually(lambda: stack.ended(batch) == requests, within=180)
    eventually(lambda: len(stack.told()) == requests, within=60)
    summary = stack.summary()
    assert stack.counts(batch)["completed"] == requests
    assert (summary["numbers_taken"], summary["bought_twice"], summary["by_custom_id"]) == (requests, 0, {})
    assert eventually(lambda: stack.client.get(f"/v1/batches/{batch}").json()["state"] == "finished")


@pytest.mark.timeout(900)
def test_every_request_ends_once_on_the_embedded_default(tmp_path: Path, size: Size) -> None:
    with up(tmp_path / "home") as stack:
        run_with_kills(stack, size(400, 2_000), ["worker-1", "receiver", "broker", "worker-2", "relay"])


@pytest.mark.timeout(900)
def test_every_request_ends_once_on_postgresql_and_redis(
    tmp_path: Path, postgresql_url: str, redis_url: str, redis_server: services.Server, size: Size
) -> None:
    settings = {
        "TRUNKLINE_DATABASE_URL": postgresql_url,
        "TRUNKLINE_BROKER_URL": redis_url,
        "TRUNKLINE_SECRET_KEY": "chaos-" * 8,
    }
    with up(tmp_path / "home", **settings) as stack:
        run_with_kills(stack, size(400, 2_000), ["worker-1", "receiver", "worker-2", "relay"])
