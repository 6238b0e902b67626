"""The live screen's application: its keys that hold everywhere, and its help."""

from __future__ import annotations

from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.screen import ModalScreen
from textual.widgets import Static

from worker.cli.live.board import BoardScreen
from worker.cli.live.desk import Desk

HELP = """\
Arrows     from figure to figure; Tab to what wants a person, and back
Enter      the requests behind the figure; there: the story of one
Escape     back
r          have it looked at now; on a figure: all that it counts
c          cancel it; on a figure: all that it counts
R, C       in a list: the same for all of the list
p          pause the upstream of the row, or resume it
F5         in a list: read it anew
?          this help
q          quit; what was ordered goes on without this screen

Whatever is not safe shows first what it does and what it may cost, and has you type how many it is about.

Escape: back"""


class Help(ModalScreen[None]):
    BINDINGS: ClassVar[list[BindingType]] = [("escape,question_mark", "app.pop_screen", "Back")]
    CSS = """
    Help { align: center middle; }
    Help > Static {
        width: 80; max-width: 95%; height: auto; padding: 1 2; border: thick $primary; background: $surface;
    }
    """

    def compose(self) -> ComposeResult:
        yield Static(HELP, markup=False)


class Live(App[None]):
    """Ends when the person leaves it."""

    TITLE = "trunkline"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [("question_mark", "help", "Help"), ("q", "quit", "Quit")]

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk

    def on_mount(self) -> None:
        self.push_screen(BoardScreen(self._desk))

    def action_help(self) -> None:
        self.push_screen(Help())
