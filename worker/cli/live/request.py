"""One request on the live screen: its explanation, and acting on it."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Footer, Static

from worker.cli.live.acting import act_on_one, asked
from worker.cli.live.desk import Desk
from worker.cli.output import plain
from worker.steering import Act

AGAIN = 5.0
"""Seconds after which it is read anew."""


class RequestScreen(Screen[None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape", "app.pop_screen", "Back"),
        ("r", "retry", "Look at it now"),
        ("c", "cancel", "Cancel it"),
    ]
    CSS = "RequestScreen VerticalScroll { padding: 1 2; }"

    def __init__(self, desk: Desk, request_id: UUID) -> None:
        super().__init__()
        self._desk, self._request_id = desk, request_id

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield Static("…", id="story", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        self.look()
        self.set_interval(AGAIN, self.look)

    @work(exclusive=True, group="look")
    async def look(self) -> None:
        lines = await asked(self, self._desk.explanation, self._request_id)
        if lines is not None:
            self.query_one("#story", Static).update("\n".join(map(plain, lines)))

    @work
    async def action_retry(self) -> None:
        if await act_on_one(self, self._desk, self._request_id, Act.RETRY):
            self.look()

    @work
    async def action_cancel(self) -> None:
        if await act_on_one(self, self._desk, self._request_id, Act.CANCEL):
            self.look()
