"""The live screen itself: what wants a person, the figures by upstream and state, what is held, how fast it goes."""

from __future__ import annotations

from collections import deque
from datetime import datetime
from typing import ClassVar

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen
from textual.widgets import DataTable, Footer, Sparkline, Static

from models.listing import Filters
from models.state import FINAL, Reason, State
from worker.cli.live.acting import act_on_all, asked, switch
from worker.cli.live.desk import Desk, meant
from worker.cli.live.requests import RequestsScreen
from worker.cli.output import STATE_STYLES, plain
from worker.cli.status import GRAVITY, ORDER, orders
from worker.explain.explanation import clock, span
from worker.overview import Overview, UpstreamNow
from worker.steering import Act
from worker.wants import Gravity, Want, find

AGAIN = 1.0
"""Seconds between two looks. One takes some twenty short questions."""

SHOWN = 120
"""Looks in the little chart."""

UNKNOWN, STOCK = "unknown", "no stock"
COLUMNS = ("upstream", "orders", *ORDER, UNKNOWN, STOCK, "due", "oldest")
ALL = "all"

STYLES = {Gravity.STANDS: "bold red", Gravity.WAITS: "bold yellow", Gravity.LOOK: ""}


class BoardScreen(Screen[None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        ("enter", "open", "What is behind it"),
        ("r", "act('retry')", "Look at these now"),
        ("c", "act('cancel')", "Cancel these"),
        ("p", "switch", "Pause or resume"),
    ]
    CSS = """
    BoardScreen #pace { height: 2; margin: 0 0 1 0; }
    BoardScreen DataTable { height: auto; max-height: 40%; margin: 0 0 1 0; }
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk
        self._overview: Overview | None = None
        self._wants: tuple[Want, ...] = ()
        self._pace: deque[float] = deque([0.0], maxlen=SHOWN)
        self._before: tuple[datetime, int] | None = None

    def compose(self) -> ComposeResult:
        yield Static("…", id="head", markup=False)
        yield Sparkline([0.0], id="pace")
        yield DataTable[Text](id="figures", cursor_type="cell")
        yield Static("What wants a person", markup=False)
        yield DataTable[Text](id="wants", cursor_type="row", show_header=False)
        yield Footer()

    def on_mount(self) -> None:
        self._figures.add_columns(*((column, column) for column in COLUMNS))
        self.query_one("#wants", DataTable).add_columns("when", "what")
        self._figures.focus()
        self.look()
        self.set_interval(AGAIN, self.look)

    @property
    def _figures(self) -> DataTable[Text]:
        return self.query_one("#figures", DataTable)

    @work(group="look")
    async def look(self) -> None:
        if len([one for one in self.workers if one.group == "look" and one.node is self and not one.is_finished]) > 1:
            return  # the look before is still under way: the database is slow, and is not to be asked the more
        overview = await asked(self, self._desk.overview)
        if overview is not None:
            self._overview = overview
            self._show(overview)

    def _show(self, overview: Overview) -> None:
        ended = sum(overview.counts[state] for state in FINAL)
        if self._before is not None and (seconds := (overview.at - self._before[0]).total_seconds()) > 0:
            self._pace.append(max(0.0, (ended - self._before[1]) / seconds))
        self._before = (overview.at, ended)
        self.query_one("#pace", Sparkline).data = list(self._pace)
        works = "Workers, relay and broker live." if overview.silence is None else "NOBODY WORKS: see below."
        told = f"{clock(overview.at)}  {works}  {self._pace[-1]:,.1f} requests end a second."
        self.query_one("#head", Static).update(plain(told))
        for one in overview.upstreams:
            self._fill(one.name, _cells(overview, one))
        all_of_them = (
            ALL,
            "",
            *(f"{overview.counts[state]:,}" for state in ORDER),
            f"{overview.unknown:,}",
            "",
            "",
            "",
        )
        self._fill(ALL, all_of_them)
        if (wants := find(overview)) != self._wants:
            self._show_wants(wants)

    def _fill(self, key: str, values: tuple[str, ...]) -> None:
        """Write a row where it stands, so that the cursor stays on its figure."""
        texts = [_text(column, value) for column, value in zip(COLUMNS, values, strict=True)]
        if key not in self._figures.rows:
            self._figures.add_row(*texts, key=key)
            return
        for column, text in zip(COLUMNS, texts, strict=True):
            self._figures.update_cell(key, column, text, update_width=True)

    def _show_wants(self, wants: tuple[Want, ...]) -> None:
        table: DataTable[Text] = self.query_one("#wants", DataTable)
        self._wants = wants
        table.clear()
        for want in wants:
            table.add_row(Text(GRAVITY[want.gravity], STYLES[want.gravity]), Text(plain(want.what)))

    def _meant(self) -> Filters | None:
        """What the figure under the cursor counts; None where it counts no requests."""
        where = self._figures.coordinate_to_cell_key(self._figures.cursor_coordinate)
        name, column = str(where.row_key.value), str(where.column_key.value)
        upstream = None if name == ALL else name
        if column in set(State):
            return Filters(state=State(column), upstream=upstream)
        reasons = {UNKNOWN: (State.SUBMITTING, Reason.OUTCOME_UNKNOWN), STOCK: (State.QUEUED, Reason.OUT_OF_STOCK)}
        if column in reasons:
            state, reason = reasons[column]
            return Filters(state=state, upstream=upstream, reason=reason.value)
        return None if upstream is None else Filters(upstream=upstream)

    def on_data_table_cell_selected(self, _: DataTable.CellSelected) -> None:
        self.action_open()

    def action_open(self) -> None:
        if (filters := self._meant()) is not None:
            self.app.push_screen(RequestsScreen(self._desk, filters))

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        want = self._wants[event.cursor_row]
        if want.page == "requests":
            self.app.push_screen(RequestsScreen(self._desk, meant(want.filters)))
        else:
            self.notify(f"Type: {want.look}", markup=False)

    @work
    async def action_act(self, act: str) -> None:
        if (filters := self._meant()) is not None:
            await act_on_all(self, self._desk, filters, Act(act))

    @work
    async def action_switch(self) -> None:
        name = self._figures.coordinate_to_cell_key(self._figures.cursor_coordinate).row_key.value
        for one in self._overview.upstreams if self._overview is not None else ():
            if one.name == name:
                await switch(self, self._desk, one)


def _cells(overview: Overview, one: UpstreamNow) -> tuple[str, ...]:
    is_late = one.oldest_due is not None and one.oldest_due <= overview.at
    return (
        one.name,
        orders(one),
        *(f"{one.counts[state]:,}" for state in ORDER),
        f"{one.unknown:,}",
        f"{one.out_of_stock:,}",
        f"{one.due:,}",
        span(overview.at - one.oldest_due) if is_late and one.oldest_due is not None else "",
    )


def _text(column: str, value: str) -> Text:
    if value in ("0", ""):
        return Text(value, "dim", justify="right")
    if column in ("upstream", "orders"):
        return Text(value, "bold yellow" if value == "paused" else "")
    return Text(value, STATE_STYLES.get(column, "bold yellow" if column == UNKNOWN else ""), justify="right")
