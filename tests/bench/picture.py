"""The end-to-end figures as a picture: requests a second, and what each costs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from matplotlib.figure import Figure

from tests.bench.row import Row, figure

OURS, THEIRS = "#1f6f54", "#9aa5a0"


def draw(rows: Sequence[Row], path: Path) -> None:
    """Write a PNG: a pair of bars for each row that has a peer, by unit."""
    units = list(dict.fromkeys(row.unit for row in rows if row.peers))
    drawing = Figure(figsize=(9, 2.8 * len(units)), layout="constrained", dpi=120)
    for place, unit in enumerate(units, 1):
        axes = drawing.add_subplot(len(units), 1, place)
        shown = [row for row in rows if row.unit == unit and row.peers]
        names = ["Trunkline", *(row.peer or "" for row in shown)]
        values = [shown[0].value, *(median(row.peers) for row in shown)]
        bars = axes.barh(names, values, color=[OURS, *[THEIRS] * len(shown)])
        axes.bar_label(bars, [figure(value) for value in values], padding=4)
        axes.invert_yaxis()
        axes.margins(x=0.12)
        axes.set_title(f"{shown[0].name} ({unit})", loc="left", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    drawing.savefig(path)
