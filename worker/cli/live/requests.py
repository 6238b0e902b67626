"""The requests behind a figure of the live screen, newest first; the next page comes when the end is reached."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen
from textual.widgets import DataTable, Footer, Static

from models.listing import Filters
from models.request import Request
from worker.cli.listing import COLUMNS, cells
from worker.cli.live.acting import act_on_all, act_on_one, asked
from worker.cli.live.desk import Desk, told
from worker.cli.live.request import RequestScreen
from worker.cli.output import STATE_STYLES, plain
from worker.steering import Act


class RequestsScreen(Screen[None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape", "app.pop_screen", "Back"),
        ("r", "act_on_one('retry')", "Look at it now"),
        ("c", "act_on_one('cancel')", "Cancel it"),
        ("R", "act_on_all('retry')", "Look at all now"),
        ("C", "act_on_all('cancel')", "Cancel all"),
        ("f5", "look", "Read anew"),
    ]

    def __init__(self, desk: Desk, filters: Filters) -> None:
        super().__init__()
        self._desk, self._filters = desk, filters
        self._next: str | None = None

    def compose(self) -> ComposeResult:
        yield Static("", id="head", markup=False)
        yield DataTable[Text](id="requests", cursor_type="row")
        yield Footer()

    def on_mount(self) -> None:
        self._table.add_columns(*COLUMNS)
        self.action_look()

    @property
    def _table(self) -> DataTable[Text]:
        return self.query_one("#requests", DataTable)

    @work(exclusive=True, group="page")
    async def action_look(self) -> None:
        found = await asked(self, self._desk.page, self._filters, None)
        if found is not None:
            self._table.clear()
            self._add(*found)

    @work(exclusive=True, group="page")
    async def more(self) -> None:
        if self._next is not None and (found := await asked(self, self._desk.page, self._filters, self._next)):
            self._add(*found)

    def _add(self, rows: list[Request], cursor: str | None) -> None:
        for row in rows:
            values = ("" if value is None else plain(str(value)) for value in cells(row))
            self._table.add_row(*(Text(value, STATE_STYLES.get(value, "")) for value in values), key=str(row.id))
        self._next = cursor
        shown = f"{self._table.row_count:,} shown" + (", more below" if cursor else "")
        self.query_one("#head", Static).update(f"{told(self._filters)}: {shown}")

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        if event.cursor_row >= self._table.row_count - 1:
            self.more()

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        self.app.push_screen(RequestScreen(self._desk, UUID(event.row_key.value)))

    @work
    async def action_act_on_one(self, act: str) -> None:
        if not self._table.row_count:
            return
        key = self._table.coordinate_to_cell_key(self._table.cursor_coordinate).row_key
        if await act_on_one(self, self._desk, UUID(key.value), Act(act)):
            self.action_look()

    @work
    async def action_act_on_all(self, act: str) -> None:
        await act_on_all(self, self._desk, self._filters, Act(act))
        self.action_look()
