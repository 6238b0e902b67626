"""Asking before something is done: what it brings about, why it is wanted, and how many it is about, typed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from worker.cli.output import plain


class Asking(ModalScreen[str | None]):
    """Ends with the note, or None where the person thought better of it. `word` is what has to be typed; None: it is
    safe."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "leave", "Leave it")]
    CSS = """
    Asking { align: center middle; }
    Asking > VerticalScroll {
        width: 90%; max-width: 100; height: auto; max-height: 90%; padding: 1 2; border: thick $warning;
        background: $surface;
    }
    Asking .fault { color: $error; }
    """

    def __init__(self, question: str, sentences: Sequence[str], word: str | None, *, needs_note: bool) -> None:
        super().__init__()
        self._question, self._sentences, self._word, self._needs_note = question, sentences, word, needs_note

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield Static(plain(self._question), markup=False)
            yield Static("\n".join(map(plain, self._sentences)) + "\n", markup=False)
            yield Input(placeholder="why, in a sentence" + ("" if self._needs_note else " (may stay empty)"), id="note")
            if self._word is not None:
                yield Input(placeholder=f"type {self._word} to go on", id="word")
            yield Static("Enter: do it.  Escape: leave it.", id="fault", markup=False)

    def on_mount(self) -> None:
        self.query_one("#note", Input).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.input.id == "note" and self._word is not None:
            self.query_one("#word", Input).focus()
            return
        note = self.query_one("#note", Input).value.strip()
        fault = self._fault(note)
        if fault is None:
            self.dismiss(note)
            return
        shown = self.query_one("#fault", Static)
        shown.add_class("fault")
        shown.update(fault)

    def _fault(self, note: str) -> str | None:
        if self._needs_note and not note:
            return "Say why: it is kept with each request. Escape: leave it."
        if self._word is not None and self.query_one("#word", Input).value.strip().replace(",", "") != self._word:
            return f"Type {self._word} to go on. Escape: leave it."
        return None

    def action_leave(self) -> None:
        self.dismiss(None)
