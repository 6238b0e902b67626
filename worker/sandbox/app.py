"""The sandbox as one process: all simulated vendors, the requester and the controls on one port."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from worker.sandbox.avanser.vendor import Avanser, Login
from worker.sandbox.control import Control
from worker.sandbox.faults import FaultBook
from worker.sandbox.ledger import Ledger
from worker.sandbox.messagemedia.access import Access as MessageMediaAccess
from worker.sandbox.messagemedia.vendor import MessageMedia
from worker.sandbox.outbound import Outbound
from worker.sandbox.requester import Requesters
from worker.sandbox.script import Script
from worker.sandbox.telmetrics.vendor import Access, Telmetrics
from worker.sandbox.world import Traffic, Vendor, World

_BACKLOG = 1_024  # a client that opens hundreds of connections at once must not be refused
_FAREWELL = 1.0  # seconds that calls in flight, such as held ones, get at the end


@dataclass(frozen=True, slots=True)
class Accounts:
    """The customer's credentials at each vendor."""

    avanser: Login = field(default_factory=Login)
    telmetrics: Access = field(default_factory=Access)
    messagemedia: MessageMediaAccess = field(default_factory=MessageMediaAccess)


def create_app(
    *,
    seed: int = 1,
    ledger_path: Path | None = None,
    script: Script | None = None,
    accounts: Accounts | None = None,
) -> web.Application:
    """The sandbox as an application; `seed` stands when no `script` is given.

    With `ledger_path` the orders outlive the process: a restart on the same file knows its services, goes on with
    pending orders, and sends again the callbacks that nobody acknowledged.
    """
    first = script or Script(seed=seed)
    world = World(Ledger(ledger_path), Outbound(), first, FaultBook(first), Traffic())
    vendors = _vendors(world, accounts or Accounts())
    requesters = Requesters()
    app = web.Application()
    app.router.add_routes(Control(world, vendors, requesters.forget).routes())
    app.router.add_routes(requesters.routes())
    for vendor in vendors.values():
        app.router.add_routes(vendor.routes())
    app.cleanup_ctx.append(_running(world, vendors))
    return app


def _vendors(world: World, accounts: Accounts) -> dict[str, Vendor]:
    all_of_them: tuple[Vendor, ...] = (
        Avanser(world, accounts.avanser),
        Telmetrics(world, accounts.telmetrics),
        MessageMedia(world, accounts.messagemedia),
    )
    return {vendor.name: vendor for vendor in all_of_them}


def serve(
    host: str = "127.0.0.1",
    port: int = 8090,
    *,
    seed: int = 1,
    ledger_path: Path | None = None,
    script: Script | None = None,
    accounts: Accounts | None = None,
) -> None:
    """Runs until SIGTERM or SIGINT; prints `sandbox ready http://H:N` when it listens. Port 0 picks a free one."""
    asyncio.run(_serve(create_app(seed=seed, ledger_path=ledger_path, script=script, accounts=accounts), host, port))


def _running(world: World, vendors: dict[str, Vendor]) -> Callable[[web.Application], AsyncIterator[None]]:
    async def run(_: web.Application) -> AsyncIterator[None]:
        await world.outbound.open()
        for entry, details in world.ledger.open():
            vendors[entry.upstream].restore(entry, details)
        yield
        await world.outbound.close()
        world.ledger.close()

    return run


async def _serve(app: web.Application, host: str, port: int) -> None:
    stop = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_FAREWELL)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=_BACKLOG).start()
        sys.stdout.write(f"sandbox ready http://{host}:{runner.addresses[0][1]}\n")
        sys.stdout.flush()
        await stop.wait()
    finally:
        await runner.cleanup()
