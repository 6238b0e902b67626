"""What people and programs are shown: JSON where it is asked for, tables for people, plain lines for pipes."""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What could drive a terminal or turn its text around: names come from outside."""

NARROWEST = 20
"""Columns that a folding cell gets at the least; a terminal that has less breaks the line itself."""

GAP = 2
"""Columns between two cells, as rich pads them."""

WHOLE: Mapping[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
"""An id is copied: it is never broken, also where the line gets too long by it."""

STATE_STYLES: Mapping[str, str] = {
    "completed": "green",
    "failed": "red",
    "held": "bold yellow",
    "cancelled": "dim",
    "submitting": "cyan",
    "accepted": "cyan",
    "queued": "blue",
    "ok": "green",
    "fault": "bold red",
}


def say(text: str) -> None:
    click.echo(plain(text))


def warn(text: str) -> None:
    """Tell people something beside the answer: on standard error, so that a pipe gets the answer alone."""
    click.echo(plain(text), err=True)


def say_json(value: Any) -> None:
    """One JSON value: indented for a reader, on one line for a program."""
    indent = 2 if sys.stdout.isatty() else None
    click.echo(json.dumps(value, indent=indent, default=str))


def say_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, folding: int = 1) -> None:
    """A table on a terminal, where the last `folding` columns are broken to fit; elsewhere a line a row, cells parted
    by tabs, with a header. A terminal that is too narrow for it gets each row by itself, a line a cell."""
    if not sys.stdout.isatty():
        for row in [columns, *rows]:
            click.echo("\t".join(_cell(value).replace("\t", " ").replace("\n", " ") for value in row))
        return
    terminal = Console()
    firm = len(columns) - folding
    widths = [max(map(cell_len, cells)) for cells in zip(columns, *(map(_cell, row) for row in rows), strict=True)]
    narrowest = sum(widths[:firm]) + sum(min(width, NARROWEST) for width in widths[firm:]) + GAP * (len(widths) - 1)
    if narrowest > terminal.width and rows:
        for line in records(columns, rows, terminal.width):
            click.echo(line)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for position, column in enumerate(columns):
        if position < firm:  # ids and numbers are copied: never broken
            table.add_column(column, min_width=widths[position], no_wrap=True)
        else:
            table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(value), style=STATE_STYLES.get(str(value), "")) for value in row))
    terminal.print(table)


def records(columns: Sequence[str], rows: Sequence[Sequence[Any]], width: int) -> Iterator[str]:
    """The rows one below the other, a line a cell, an empty line between two rows; empty cells are left out.

    Text is broken between words to fit. What has no gap, such as an id, stays whole: it gets a line of its own where
    it does not fit beside its name.
    """
    margin = max(map(cell_len, columns), default=0) + 2
    for number, row in enumerate(rows):
        if number:
            yield ""
        for name, value in zip(columns, row, strict=True):
            if text := " ".join(_cell(value).split()):
                yield from _field(name, text, margin, width)


def _field(name: str, text: str, margin: int, width: int) -> Iterator[str]:
    room = max(width - margin, NARROWEST)
    if max(map(cell_len, text.split())) > room:
        yield name
        yield from textwrap.wrap(text, max(width - 2, NARROWEST), **WHOLE, initial_indent="  ", subsequent_indent="  ")
        return
    first, *rest = textwrap.wrap(text, room, **WHOLE)
    yield f"{name:<{margin}}{first}"
    yield from (" " * margin + line for line in rest)


def say_fields(fields: Mapping[str, Any]) -> None:
    """Names and values, one a line; what is absent is left out."""
    shown = {name: value for name, value in fields.items() if value is not None}
    width = max(map(len, shown), default=0)
    if sys.stdout.isatty():
        texts = [json.dumps(value) if isinstance(value, dict | list) else value for value in shown.values()]
        for line in records(list(shown), [texts], Console().width):
            click.echo(line)
        return
    for name, value in shown.items():
        text = json.dumps(value) if isinstance(value, dict | list) else str(value)
        click.echo(f"{name:<{width}}  {plain(text)}")


def plain(text: str) -> str:
    """The text without what could drive a terminal."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def _cell(value: Any) -> str:
    return "" if value is None else plain(str(value))
