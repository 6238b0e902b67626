"""The end-to-end figures as a picture: requests a second, and what each costs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from matplotlib.figure import Figure

from tests.bench.end_to_end import CPU_EACH, END_TO_END
from tests.bench.row import Row, figure

OURS, THEIRS = "#1f6f54", "#9aa5a0"

DRAWN = (END_TO_END, CPU_EACH)
"""Rows of one name stand in one chart; those of other names are in the table alone."""


def draw(rows: Sequence[Row], path: Path) -> None:
    """Write a PNG: for each name of `DRAWN` a bar of ours, and one for each peer beside it."""
    names_drawn = [name for name in DRAWN if any(row.name == name for row in rows)]
    drawing = Figure(figsize=(9, 2.8 * len(names_drawn)), layout="constrained", dpi=120)
    for place, drawn in enumerate(names_drawn, 1):
        axes = drawing.add_subplot(len(names_drawn), 1, place)
        shown = [row for row in rows if row.name == drawn and row.peers]
        names = ["Trunkline", *(row.peer or "" for row in shown)]
        values = [shown[0].value, *(median(row.peers) for row in shown)]
        bars = axes.barh(names, values, color=[OURS, *[THEIRS] * len(shown)])
        axes.bar_label(bars, [figure(value) for value in values], padding=4)
        axes.invert_yaxis()
        axes.margins(x=0.12)
        axes.set_title(f"{drawn} ({shown[0].unit})", loc="left", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    drawing.savefig(path)
