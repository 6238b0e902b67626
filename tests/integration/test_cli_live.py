"""The live screen, driven by its keys as a person does."""

import asyncio
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Awaitable, Callable
from time import monotonic

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Static

from models import upstream
from models.base import read, write
from models.request import Request
from models.state import Reason, State
from models.transition import Move, transition
from tests.factory import NOW, make_requests
from tests.integration.cli import Cli, cli, environment
from tests.integration.test_cli_sweeps import let_an_hour_pass
from worker.cli.live.app import Help, Live
from worker.cli.live.asking import Asking
from worker.cli.live.board import BoardScreen
from worker.cli.live.desk import Desk
from worker.cli.live.request import RequestScreen
from worker.cli.live.requests import RequestsScreen
from worker.settings import load

__all__ = ["cli", "environment"]

Drive = Callable[[Pilot[None]], Awaitable[None]]


def drive(cli: Cli, steps: Drive) -> None:
    """Open the live screen, and do this with it."""

    async def run() -> None:
        app = Live(Desk(cli.engine, load()))
        async with app.run_test(size=(160, 40)) as pilot:
            await until(pilot, lambda: bool(figures(pilot).row_count))
            await steps(pilot)

    asyncio.run(run())


async def until(pilot: Pilot[None], is_so: Callable[[], bool]) -> None:
    deadline = monotonic() + 30
    while not is_so():
        assert monotonic() < deadline, "it did not come to that"
        await pilot.pause(0.05)


def figures(pilot: Pilot[None]) -> DataTable[object]:
    for screen in pilot.app.screen_stack:
        if isinstance(screen, BoardScreen):
            return screen.query_one("#figures", DataTable)
    return DataTable()


async def go_to(pilot: Pilot[None], upstream_name: str, column: str) -> None:
    table = figures(pilot)
    table.move_cursor(row=table.get_row_index(upstream_name), column=table.get_column_index(column))
    await pilot.pause()


async def arrive(pilot: Pilot[None], screen: type[object]) -> None:
    await until(pilot, lambda: isinstance(pilot.app.screen, screen))
    await pilot.pause()


def shown(pilot: Pilot[None], selector: str) -> str:
    return str(pilot.app.screen.query_one(selector, Static).render())


def states(cli: Cli) -> set[State]:
    return {row.state for row in read(cli.engine, lambda session: session.query(Request).all())}


@pytest.fixture
def held(cli: Cli) -> Cli:
    ids = make_requests(cli.engine, 3)
    moves = [Move(id_, State.HELD, "worker", Reason.OUTCOME_UNKNOWN) for id_ in ids]
    write(cli.engine, lambda session: transition(session, moves, NOW))
    let_an_hour_pass(cli)
    return cli


def test_a_figure_leads_to_its_requests_and_one_of_them_to_its_story(held: Cli) -> None:
    async def steps(pilot: Pilot[None]) -> None:
        assert str(figures(pilot).get_cell("avanser", "held")) == "3"
        await go_to(pilot, "avanser", "held")
        await pilot.press("enter")
        await arrive(pilot, RequestsScreen)
        await until(pilot, lambda: "3 shown" in shown(pilot, "#head"))
        await pilot.press("enter")
        await arrive(pilot, RequestScreen)
        await until(pilot, lambda: "What you may do" in shown(pilot, "#story"))
        await pilot.press("escape", "escape")
        await arrive(pilot, BoardScreen)

    drive(held, steps)


def test_what_is_new_is_shown_by_itself(held: Cli) -> None:
    async def steps(pilot: Pilot[None]) -> None:
        make_requests(held.engine, 2)
        await until(pilot, lambda: str(figures(pilot).get_cell("avanser", "queued")) == "2")

    drive(held, steps)


def test_what_wants_a_person_leads_to_the_list_behind_it(held: Cli) -> None:
    async def steps(pilot: Pilot[None]) -> None:
        wants = pilot.app.screen.query_one("#wants", DataTable)
        await until(pilot, lambda: wants.row_count >= 2)
        wants.focus()
        rows = [str(wants.get_row_at(number)[1]) for number in range(wants.row_count)]
        wants.move_cursor(row=next(number for number, text in enumerate(rows) if "held for a person" in text))
        await pilot.press("enter")
        await arrive(pilot, RequestsScreen)
        await until(pilot, lambda: "held at avanser, outcome_unknown: 3 shown" in shown(pilot, "#head"))

    drive(held, steps)


@pytest.mark.parametrize(("typed", "left"), [("3", State.CANCELLED), ("2", State.HELD)])
def test_all_behind_a_figure_are_cancelled_when_why_and_how_many_is_typed(held: Cli, typed: str, left: State) -> None:
    async def steps(pilot: Pilot[None]) -> None:
        await go_to(pilot, "avanser", "held")
        await pilot.press("c")
        await arrive(pilot, Asking)
        await pilot.press(*"none", "enter", typed, "enter")
        if typed == "3":
            await arrive(pilot, BoardScreen)
            await until(pilot, lambda: str(figures(pilot).get_cell("avanser", "cancelled")) == "3")
        else:
            await until(pilot, lambda: "Type 3 to go on" in shown(pilot, "#fault"))
            await pilot.press("escape")
            await arrive(pilot, BoardScreen)

    drive(held, steps)
    assert states(held) == {left}


def test_nothing_is_done_to_many_without_a_why(held: Cli) -> None:
    async def steps(pilot: Pilot[None]) -> None:
        await go_to(pilot, "avanser", "held")
        await pilot.press("r")
        await arrive(pilot, Asking)
        await pilot.press("enter")
        await until(pilot, lambda: "Say why" in shown(pilot, "#fault"))

    drive(held, steps)
    assert states(held) == {State.HELD}


def test_one_request_is_looked_at_again_from_its_story(cli: Cli) -> None:
    (id_,) = make_requests(cli.engine)
    write(
        cli.engine,
        lambda session: transition(session, [Move(id_, State.HELD, "worker", Reason.OUTCOME_UNKNOWN)], NOW),
    )

    async def steps(pilot: Pilot[None]) -> None:
        await go_to(pilot, "avanser", "held")
        await pilot.press("enter")
        await arrive(pilot, RequestsScreen)
        await until(pilot, lambda: "1 shown" in shown(pilot, "#head"))
        await pilot.press("enter")
        await arrive(pilot, RequestScreen)
        await pilot.press("r")
        await arrive(pilot, Asking)
        await pilot.press("enter")
        await arrive(pilot, RequestScreen)
        await until(pilot, lambda: "submitting" in shown(pilot, "#story"))

    drive(cli, steps)
    assert states(cli) == {State.SUBMITTING}


def test_an_upstream_is_paused_with_a_why_and_resumed_by_typing_its_name(held: Cli) -> None:
    def pause() -> upstream.Pause | None:
        return read(held.engine, lambda session: upstream.find_pause(session, "avanser"))

    async def steps(pilot: Pilot[None]) -> None:
        await go_to(pilot, "avanser", "orders")
        await pilot.press("p")
        await arrive(pilot, Asking)
        await pilot.press(*"invoice", "enter")
        await until(pilot, lambda: str(figures(pilot).get_cell("avanser", "orders")) == "paused")
        assert (found := pause()) is not None
        assert found.detail == "invoice"
        await pilot.press("p")
        await arrive(pilot, Asking)
        await pilot.press("enter", *"avanser", "enter")
        await until(pilot, lambda: str(figures(pilot).get_cell("avanser", "orders")) == "yes")

    drive(held, steps)
    assert pause() is None


def test_help_opens_and_closes_and_q_quits(held: Cli) -> None:
    async def steps(pilot: Pilot[None]) -> None:
        await pilot.press("question_mark")
        await arrive(pilot, Help)
        await pilot.press("escape")
        await arrive(pilot, BoardScreen)
        await pilot.press("q")
        await until(pilot, lambda: not pilot.app.is_running)

    drive(held, steps)


def test_off_a_terminal_it_follows_to_the_end_as_ever(held: Cli) -> None:
    assert "3 requests: 3 held. Those held wait for a person" in held.run("watch").stdout
    assert held.json("watch")["counts"]["held"] == 3


def test_on_a_terminal_it_opens_shows_the_figures_and_quits(held: Cli) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))
    seen = bytearray()
    command = [sys.executable, "-m", "worker.cli", "watch"]
    given = os.environ | {"TERM": "xterm-256color"}
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=given) as running:
        os.close(theirs)
        try:
            while chunk := os.read(ours, 65_536):
                if b"avanser" in seen and b"telmetrics" in seen and running.poll() is None:
                    os.write(ours, b"q")
                seen += chunk
        except OSError:  # its end of the terminal is closed
            pass
        assert running.wait(60) == 0
    os.close(ours)
    assert b"What wants a person" in seen
