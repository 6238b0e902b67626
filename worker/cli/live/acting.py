"""Acting from the live screen: one request, all behind a figure, or an upstream's switch; each asked for first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy.exc import InterfaceError, OperationalError
from textual.screen import Screen

from models.listing import Filters
from worker import previewing
from worker.cli.live.asking import Asking
from worker.cli.live.desk import Desk, told
from worker.cli.output import plain
from worker.explain.explanation import Risk
from worker.overview import UpstreamNow
from worker.steering import Act, NotNow

T = TypeVar("T")

VERBS = {Act.RETRY: "Look at it now", Act.CANCEL: "Cancel"}

UNTIL_DUE = 0.2
"""Seconds between two looks at whether a sweep's next portion is due."""


async def asked(screen: Screen[Any], work: Callable[..., T], *arguments: object, **named: object) -> T | None:
    """What this comes to, in a thread. None where it is not allowed now, or the database is away: it shows that."""
    try:
        return await asyncio.to_thread(work, *arguments, **named)
    except NotNow as error:
        screen.notify(plain(str(error)), severity="warning", markup=False)
    except (OperationalError, InterfaceError) as error:
        reason = str(error.orig).strip().partition("\n")[0]
        screen.notify(f"the database does not answer: {plain(reason)}", severity="error", markup=False)
    return None


async def act_on_one(screen: Screen[Any], desk: Desk, request_id: UUID, act: Act) -> bool:
    """Whether it was done."""
    found = await asked(screen, desk.meaning, request_id, act)
    if found is None:
        return False
    risk, effect = found
    word = None if risk is Risk.SAFE else "1"
    asking = Asking(
        f"{VERBS[act]}: request {request_id}", [f"{risk.words.capitalize()}. {effect}"], word, needs_note=False
    )
    note = await screen.app.push_screen_wait(asking)
    if note is None or (done := await asked(screen, desk.steer, request_id, act, note)) is None:
        return False
    screen.notify(plain(done), markup=False)
    return True


async def act_on_all(screen: Screen[Any], desk: Desk, filters: Filters, act: Act) -> None:
    """A sweep, followed to its end; where the screen is left before that, the workers go on with it."""
    seen = await asked(screen, desk.preview, filters, act)
    if seen is None:
        return
    if not seen.matching:
        screen.notify("No request matches.")
        return
    word = None if seen.risk is Risk.SAFE else str(seen.matching)
    asking = Asking(f"{VERBS[act]}: {told(filters)}", list(previewing.told(seen)), word, needs_note=True)
    note = await screen.app.push_screen_wait(asking)
    if note is None or (sweep_id := await asked(screen, desk.order, seen, note)) is None:
        return
    screen.notify(f"It goes on. To stop it: trunkline sweep pause {sweep_id}", markup=False)
    # A worker elsewhere may end it too: the row alone tells.
    while (ended := await asyncio.to_thread(desk.portion, sweep_id)) is None:  # noqa: ASYNC110
        await asyncio.sleep(UNTIL_DUE)
    screen.notify(plain(ended), markup=False)


async def switch(screen: Screen[Any], desk: Desk, one: UpstreamNow) -> None:
    """Pause an upstream, which is safe, or resume it, which buys what waits."""
    if one.pause is None:
        title, effect = f"Pause {one.name}", "Safe. Nothing more is ordered there; what was ordered goes on to its end."
        word = None
    else:
        title = f"Resume {one.name}"
        effect = f"Spends money. It was paused: {one.pause.detail} Everything that waits for {one.name} goes out."
        word = one.name
    note = await screen.app.push_screen_wait(Asking(title, [effect], word, needs_note=one.pause is None))
    if note is None:
        return
    if (done := await asked(screen, desk.switch, one.name, note, is_paused=one.pause is not None)) is not None:
        screen.notify(done, markup=False)
