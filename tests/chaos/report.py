"""The table of the matrix: verdicts as they come, one JSON line each, and Markdown made of them.

python -m tests.chaos.report chaos.jsonl > deploy/proof.md
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.chaos.judge import Verdict

INVARIANTS = tuple(f"I{n}" for n in range(1, 8))


def record(path: Path, verdict: Verdict) -> None:
    with path.open("a") as file:
        file.write(json.dumps(verdict.as_dict()) + "\n")


def table(rows: Iterable[Mapping[str, Any]]) -> str:
    """Markdown, a line for each verdict."""
    head = ("fault", "requests", "faults", *INVARIANTS, "held", "drain p50 / p99", "goes on after", "≤ at 95 %", "seed")
    lines = [_line(head), _line(["---"] * len(head))]
    lines += [_line(_cells(row)) for row in rows]
    return "\n".join(lines) + "\n"


def _cells(row: Mapping[str, Any]) -> Sequence[str]:
    requests = row["requests"]
    drain = "-" if row["drain_p50"] is None else f"{row['drain_p50']:.1f} / {row['drain_p99']:.1f} s"
    return (
        row["name"],
        f"{requests:,}",
        f"{row['faults']:,}",
        *(str(row["violations"][name]) for name in INVARIANTS),
        f"{row['held'] / requests:.1%}" if requests else "-",
        drain,
        f"{row['goes_on_after']:.1f} s",
        _bound(requests),
        str(row["seed"]),
    )


def _bound(requests: int) -> str:
    """Where nothing was seen in n requests, the rate is below 3/n with 95 % confidence (the rule of three)."""
    return f"{3 / requests:.2%}" if requests else "-"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    rows = [json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]
    sys.stdout.write(table(rows))


if __name__ == "__main__":
    main()
