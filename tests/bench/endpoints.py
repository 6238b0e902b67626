"""Results to ten endpoints, four of which are bad: one hangs, one is a tarpit, one fails, one points elsewhere.

What counts is how long results to the other six take, from when they were filed until they arrived, beside a run in
which the four are not there. The six get as many in both, at the same pace: the upstream takes orders at a rate that
this machine easily keeps.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from queue import Queue

import psycopg
from aiohttp import web

from tests.bench.alone import alone
from tests.bench.row import Aim, Row, percentile
from tests.bench.stage import Stage
from tests.bench.trunkline import Trunkline, order, send_batch
from tests.sandbox import eventually

GOOD = [f"good-{number}" for number in range(6)]
BAD = ["hangs", "tarpit", "fails", "redirects"]

EACH, TINY_EACH = 100, 5
"""Requests for each endpoint: of all ten, 1,000."""

PACE = 4.0
"""Orders a second for each endpoint: with all ten a third of what this machine does."""

WARM_UP = 60
"""Results to the six that do not count: until every process has its connections."""

ENDS_WITHIN = 180.0
SHARE = 0.99

_ARRIVED = """
    SELECT extract(epoch FROM delivered_at - d.created_at)::float FROM deliveries d
    JOIN endpoints e ON e.id = endpoint_id
    WHERE e.name LIKE 'good-%%' AND d.type = 'request.completed' AND d.state = 'delivered' ORDER BY d.id OFFSET %s
"""

_TRIED = "SELECT count(*) FROM delivery_attempts a JOIN deliveries d ON d.id = delivery_id WHERE d.state <> 'delivered'"


async def _take(request: web.Request) -> web.StreamResponse:
    await request.read()
    match request.match_info["name"]:
        case "hangs":
            await asyncio.sleep(3_600)
        case "tarpit":
            return await _trickle(request)
        case "fails":
            return web.Response(status=500)
        case "redirects":
            return web.Response(status=302, headers={"Location": "/good-0"})
    return web.Response(status=204)


async def _trickle(request: web.Request) -> web.StreamResponse:
    """A byte a second, until nobody listens."""
    response = web.StreamResponse()
    await response.prepare(request)
    with suppress(ConnectionError):
        while True:
            await response.write(b" ")
            await asyncio.sleep(1)
    return response


@contextmanager
def receivers() -> Iterator[str]:
    """All ten, on one address; each has its path."""
    loop, address = asyncio.new_event_loop(), Queue[str]()
    is_over = asyncio.Event()

    async def serve() -> None:
        application = web.Application()
        application.add_routes([web.post("/{name}", _take)])
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        address.put(f"http://127.0.0.1:{runner.addresses[0][1]}")
        await is_over.wait()
        await runner.cleanup()

    def work() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as running:  # ends what hangs as well
            running.run(serve())

    thread = threading.Thread(target=work, name="receivers", daemon=True)
    thread.start()
    yield address.get(timeout=10)
    loop.call_soon_threadsafe(is_over.set)
    thread.join()


def rows(on: Stage, *, is_full: bool, rounds: int) -> list[Row]:
    """Raises AssertionError where a result to the six did not arrive."""
    each = EACH if is_full else TINY_EACH
    beside, alone_ = [], []
    for _ in range(rounds):
        alone_.append(run(on, GOOD, each))
        beside.append(run(on, GOOD + BAD, each))
    name = f"{each * len(GOOD):,} results to six endpoints beside four bad ones: p99 from filed to arrived"
    return [Row(name, beside, "ms", "without the four", alone_, Aim("≤", 1.1))]


def run(on: Stage, names: Sequence[str], each: int) -> float:
    """The 99th percentile of the six, in milliseconds."""
    with receivers() as url, on.play(Trunkline, rate=PACE * len(names)) as peer:
        with peer.client() as client:
            for name in names:
                client.post("/v1/endpoints", json={"url": f"{url}/{name}", "name": name}).raise_for_status()
            send_batch(client, [order(f"warm-{n}") | {"endpoint": GOOD[n % len(GOOD)]} for n in range(WARM_UP)])
            eventually(lambda: len(_times(peer)) == WARM_UP, within=ENDS_WITHIN)
            wanted = [order(f"order-{n}") | {"endpoint": names[n % len(names)]} for n in range(each * len(names))]
            send_batch(client, wanted)
        took = eventually(lambda: _all(peer, WARM_UP, each * len(GOOD)), within=ENDS_WITHIN)
        with psycopg.connect(peer.conninfo) as connection:
            tried = connection.execute(_TRIED).fetchone()
    assert tried is not None
    found = percentile(took, SHARE) * 1000
    middle = percentile(took, 0.5) * 1000
    sys.stderr.write(
        f"endpoints, {len(names)}: p99 {found:.0f} ms, median {middle:.0f} ms, longest {max(took) * 1000:.0f} ms;"
        f" {tried[0]} tries at those that did not take it\n"
    )
    return found


def _all(peer: Trunkline, but: int, count: int) -> list[float]:
    """Empty until all have arrived."""
    times = _times(peer, but)
    return times if len(times) == count else []


def _times(peer: Trunkline, but: int = 0) -> list[float]:
    with psycopg.connect(peer.conninfo) as connection:
        return [seconds for (seconds,) in connection.execute(_ARRIVED, [but])]


if __name__ == "__main__":
    sys.exit(alone(rows, __doc__))
